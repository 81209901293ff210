"""A run that fails says so on one line, with the place; tracebacks are in log.txt. What is passed over is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.system.conftest import Rayseg  # isort: skip

HOOK = """
from rayseg import Hook

class Refuse(Hook):
    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter == 2:
            raise ValueError("no more\\nof this")
"""
NAN = """
from torch import nn

class NanLoss(nn.Module):
    def forward(self, logits, labels):
        return logits.sum() * float("nan")
"""
REASON = "ValueError: no more; of this (in hook Refuse, stage after_train_iter, at iter 2)"


def test_an_exception_of_a_hook(rayseg: Rayseg, config: Path) -> None:
    config.with_name("refusing.py").write_text(HOOK)
    hooks = "custom_hooks=[dict(type='refusing.Refuse')]"
    answer = rayseg("train", config, hooks, "--local", "--json", "--work-dir", "run")
    assert answer.code == 1
    assert json.loads(answer.out)["error"] == REASON
    assert answer.errors == [f"{REASON}; more in {Path('run').absolute() / 'log.txt'}"]
    assert answer.err.count("no more") == 1
    assert "Traceback" not in answer.err
    assert "Traceback" in Path("run/log.txt").read_text()
    recorded = json.loads(Path("run/run.json").read_text())["error"]
    assert recorded.startswith(f"{REASON}\nTraceback")


def test_a_secret_in_an_exception_is_not_told(rayseg: Rayseg, config: Path) -> None:
    config.with_name("telling.py").write_text(HOOK.replace("no more\\nof this", "token=abcdefghijk123"))
    answer = rayseg(
        "train", config, "custom_hooks=[dict(type='telling.Refuse')]", "--local", "--json", "--work-dir", "t"
    )
    assert answer.code == 1
    assert "token=***" in answer.err
    assert "abcdefghijk123" not in answer.out + answer.err + Path("t/log.txt").read_text()


def test_a_loss_that_is_no_number_is_told_once(rayseg: Rayseg, config: Path) -> None:
    config.with_name("nan_loss.py").write_text(NAN)
    loss = "model.loss=dict(_delete_=True, type='nan_loss.NanLoss')"
    answer = rayseg("train", config, loss, "--local", "-q", "default_hooks.logger.interval=1")
    assert answer.code == 0
    assert [line for line in answer.err.splitlines() if "the loss is nan at iteration 1" in line] == (
        answer.err.splitlines()
    )


def test_test_and_predict_tell_of_damage_and_keep_pictures_by_iteration(
    rayseg: Rayseg, config: Path, data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    every = "default_hooks.checkpoint.interval=2"
    assert rayseg("train", config, every, "--local", "-q", "--work-dir", "run").code == 0
    Path("run/checkpoints/iter_4/model.safetensors").write_bytes(b"")
    tested = rayseg("test", "run", "--json")
    assert json.loads(tested.out)["checkpoint"] == "iter_2"
    assert caplog.text.count("model.safetensors has 0 bytes") == 1
    assert [path.name for path in Path("run/visuals/test").iterdir()] == ["iter_2"]
    assert rayseg("predict", "run", data / "images" / "val" / "0.png", "-q").code == 0
    assert caplog.text.count("model.safetensors has 0 bytes") == 2


def test_predictions_that_cannot_be_written(rayseg: Rayseg, config: Path, data: Path) -> None:
    assert rayseg("train", config, "--local", "-q", "--work-dir", "run").code == 0
    answer = rayseg("predict", "run", data / "images" / "val", "--out", data / "classes.txt")
    assert answer.code == 2
    assert answer.errors[0].startswith(f"--out {data / 'classes.txt'}: cannot be written")


def test_predictions_replace_no_file(rayseg: Rayseg, config: Path, data: Path, tmp_path: Path) -> None:
    assert rayseg("train", config, "--local", "-q", "--work-dir", "run").code == 0
    images = data / "images" / "val"
    label = tmp_path / "out" / "masks" / "1.png"
    label.parent.mkdir(parents=True)
    label.write_bytes(b"drawn by hand")
    answer = rayseg("predict", "run", images, "--out", "out")
    assert (answer.code, answer.errors) == (
        2,
        ["--out: out/masks/1.png is there already; name another directory, or --force replaces it"],
    )
    assert [path.name for path in (tmp_path / "out").rglob("*.png")] == ["1.png"]
    assert label.read_bytes() == b"drawn by hand"
    assert rayseg("predict", "run", images, "--out", "out", "--force").code == 0
    assert label.read_bytes() != b"drawn by hand"
    assert "and 5 more is there already" in rayseg("predict", "run", images, "--out", "out").err


def test_a_report_replaces_no_other_file(rayseg: Rayseg, config: Path) -> None:
    assert rayseg("train", config, "--local", "-q", "--work-dir", "run").code == 0
    before = config.read_text()
    answer = rayseg("report", "run", "--out", config)
    assert (answer.code, answer.errors) == (
        2,
        [f"--out {config}: a report is an HTML page; expected a name that ends in .html"],
    )
    assert config.read_text() == before


def test_data_that_changed_since_the_start_is_said(rayseg: Rayseg, config: Path, data: Path, tmp_path: Path) -> None:
    assert rayseg("train", config, "--local", "-q", "--work-dir", "run").code == 0
    (data / "images/train/0.png").unlink()
    (data / "annotations/train/0.png").unlink()
    resumed = rayseg("train", "run", "--resume", "--local", "train_cfg.max_iters=6")
    assert resumed.code == 0
    said = f"train: the data is not what the run had: 6 images in {data} then, 5 images in {data} now"
    assert said in (tmp_path / "run/log.txt").read_text()
    assert [one["message"] for one in json.loads((tmp_path / "run/run.json").read_text())["warnings"]] == [said]
    assert rayseg("train", "run", "--resume", "--local", "train_cfg.max_iters=8").code == 0
    assert (tmp_path / "run/log.txt").read_text().count("the data is not what the run had") == 1


def test_a_checkpoint_of_another_model(rayseg: Rayseg, config: Path) -> None:
    assert rayseg("train", config, "--local", "-q", "--work-dir", "run").code == 0
    answer = rayseg("test", "run", "model.net.kernel_size=3")
    assert (answer.code, len(answer.err.splitlines())) == (2, 1)
    assert answer.errors[0].startswith("model: iter_4 does not fit it: size mismatch for net.weight")
