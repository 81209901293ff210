"""Bad input: found before anything starts, said on a line each, exit code 2."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.system.conftest import Rayseg  # isort: skip


@pytest.mark.parametrize(
    ("override", "error"),
    [
        (
            "optim_wrapper.optimizer.momentun=0.9",
            "optim_wrapper.optimizer.momentun: SGD takes no 'momentun' (found 0.9); did you mean 'momentum'?",
        ),
        ("train_cfg.max_iters='4'", "train_cfg.max_iters: expected int, found '4'; write the number without quotes"),
        ("custom_hooks=[dict(type='EMAHok')]", "custom_hooks.0.type: unknown hook 'EMAHok'; did you mean 'EMAHook'?"),
        ("model.type=Segmentr", "model.type: unknown model 'Segmentr'; did you mean 'Segmentor'?"),
        ("model.net.type=smp.Unett", "model.net.type: unknown network 'smp.Unett'; did you mean 'smp.Unet'?"),
        ("model.net.type=no_such.Net", "model.net.type: no module named 'no_such' (for 'no_such.Net')"),
        ("num_workers=4", "num_workers: no such section; say scaling.num_workers (training workers) or "),
    ],
)  # fmt: skip
def test_a_wrong_config(rayseg: Rayseg, config: Path, override: str, error: str) -> None:
    answer = rayseg("train", config, override, "--local")
    assert (answer.code, answer.out) == (2, "")
    assert len(answer.errors) == len(answer.err.splitlines()) == 1
    assert answer.errors[0].startswith(f"command line: {error}")
    assert not Path("work_dirs").exists()


def test_several_errors_at_once(rayseg: Rayseg, config: Path) -> None:
    answer = rayseg("train", config, "scaling.num_worker=2", "train_cfg.val_intervall=1", "optim_wrapper.type=Adam")
    assert answer.code == 2
    assert [line.split(": ")[1] for line in sorted(answer.errors)] == [
        "optim_wrapper.type",
        "scaling.num_worker",
        "train_cfg.val_intervall",
    ]


def test_an_open_leaf_is_named(rayseg: Rayseg, config: Path) -> None:
    answer = rayseg("train", config, "optim_wrapper.optimizer.lr=loguniform(1e-3, 1e-1)")
    assert answer.code == 2
    assert answer.errors == [
        "command line: optim_wrapper.optimizer.lr: still open: 'rayseg tune' draws it, here give it a value"
    ]


def test_an_environment_variable_that_is_not_set(rayseg: Rayseg, config: Path) -> None:
    answer = rayseg("train", config, "load_from=${env:NO_SUCH_WEIGHTS}")
    assert answer.code == 2
    assert "NO_SUCH_WEIGHTS is not set" in answer.errors[0]


def test_no_data(rayseg: Rayseg, config: Path) -> None:
    answer = rayseg("train", config, "train_dataloader.dataset.data_root=data/bluemarble", "--local")
    assert answer.code == 2
    assert "data/bluemarble" in answer.errors[0]
    assert "rayseg data prepare bluemarble" in answer.errors[0]


def test_the_file_that_names_the_data(rayseg: Rayseg, config: Path) -> None:
    base = config.rename(config.with_name("base.py"))
    config.write_text("_base_ = 'base.py'\ntrain_dataloader = dict(num_workers=0)\n")
    wrong = "train_dataloader.dataset.data_root: no such directory 'nowhere' (looked at "
    given = rayseg("train", config, "train_dataloader.dataset.data_root=nowhere", "--local", "--dry-run")
    assert given.code == 2
    assert given.errors[0].startswith(f"command line: {wrong}")
    base.write_text(base.read_text() + "train_dataloader['dataset']['data_root'] = 'nowhere'\n")
    assert rayseg("train", config, "--local", "--dry-run").errors[0].startswith(f"{base}: {wrong}")
    override = "train_dataloader.dataset.split=vall"
    base.write_text(base.read_text().replace("'nowhere'", repr(str(config.with_name("data")))))
    answer = rayseg("train", config, override, "--local", "--dry-run").errors
    assert [line.partition(": no such")[0] for line in answer] == ["command line: train_dataloader.dataset: split"]


def test_a_mask_value_outside_the_classes(rayseg: Rayseg, config: Path, data: Path) -> None:
    Image.fromarray(np.full((24, 24), 7, np.uint8)).save(data / "annotations" / "val" / "1.png")
    answer = rayseg("train", config, "--local")
    assert answer.code == 2
    assert any("1.png" in line and "7" in line for line in answer.errors)
    assert not Path("work_dirs").exists()
    checked = rayseg("data", "check", config, "--json")
    assert checked.code == 2
    report = json.loads(checked.out)
    assert not report["ok"]
    assert [bool(split["problems"]) for split in report["splits"]][:2] == [False, True]


def test_an_image_without_a_mask(rayseg: Rayseg, config: Path, data: Path) -> None:
    (data / "annotations" / "train" / "3.png").unlink()
    answer = rayseg("train", config, "--local")
    assert answer.code == 2
    assert len(answer.errors) == 1
    assert "3.png" in answer.errors[0]


def test_an_empty_data_set(rayseg: Rayseg, config: Path, data: Path) -> None:
    for path in (data / "images" / "val").iterdir():
        path.unlink()
    answer = rayseg("train", config, "--local")
    assert answer.code == 2
    assert str(data / "images" / "val") in answer.errors[0]


def test_more_workers_than_can_be_placed(rayseg: Rayseg, config: Path) -> None:
    answer = rayseg("train", config, "--workers", "1000")
    assert answer.code == 2
    assert answer.errors[0].startswith("scaling.num_workers: 1000 workers of 1 CPU each cannot be placed")
    assert not Path("work_dirs").exists()


@pytest.fixture
def used(rayseg: Rayseg, config: Path, tmp_path: Path) -> Path:
    """A directory that looks as if a run of ``config`` had written its first number there."""
    run_dir = tmp_path / "used"
    run_dir.mkdir()
    (run_dir / "config.py").write_text(rayseg("config", config).out)
    (run_dir / "metrics.jsonl").write_text('{"mode": "train", "iter": 1, "epoch": 0, "time": 0.0, "loss": 1.0}\n')
    return run_dir


def test_a_used_directory(rayseg: Rayseg, config: Path, used: Path) -> None:
    before = sorted(used.iterdir())
    answer = rayseg("train", config, "--work-dir", used, "--local")
    assert answer.code == 2
    assert answer.errors == [f"{used} already holds a run's numbers: go on with --resume, or name another --work-dir"]
    assert sorted(used.iterdir()) == before


def test_a_changed_config_on_resume(rayseg: Rayseg, config: Path, used: Path) -> None:
    answer = rayseg("train", config, "--work-dir", used, "--resume", "optim_wrapper.optimizer.lr=0.2", "--local")
    assert answer.code == 2
    assert answer.errors == [
        "command line: optim_wrapper.optimizer.lr: a resume may not change it: the run has 0.1, now 0.2"
    ]


def test_nothing_to_resume(rayseg: Rayseg, config: Path, tmp_path: Path) -> None:
    answer = rayseg("train", config, "--work-dir", tmp_path / "new", "--resume", "--local")
    assert answer.code == 2
    assert "holds no run to resume" in answer.errors[0]
    assert not (tmp_path / "new").exists()
