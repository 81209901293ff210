"""The verbs after one another, as a user calls them: train, test, predict, resume; in this process, without Ray."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from tests.system.conftest import Answer, Rayseg  # isort: skip


def numbers(run_dir: Path) -> list[tuple[str, int]]:
    """(mode, iter) of each line of ``metrics.jsonl``."""
    lines = map(json.loads, (run_dir / "metrics.jsonl").read_text().splitlines())
    return [(line["mode"], line["iter"]) for line in lines]


def finished(answer: Answer) -> dict:
    """The JSON object of a verb that went well, which is all that stdout holds."""
    assert answer.code == 0, answer.err
    return json.loads(answer.out)


def test_train_test_predict_resume(rayseg: Rayseg, config: Path, data: Path, tmp_path: Path) -> None:
    log_all = "default_hooks.logger.interval=2"
    run = finished(rayseg("train", config, log_all, "--local", "--work-dir", "run", "--json"))
    run_dir = tmp_path / "run"
    assert (run["status"], run["iter"], run["run_dir"]) == ("finished", 4, str(run_dir))
    assert 0 <= run["metrics"]["mIoU"] <= 1
    assert numbers(run_dir) == [("train", 2), ("val", 2), ("train", 4), ("val", 4)]

    tested = finished(rayseg("test", run_dir, "--json", "--checkpoint", "last"))
    assert tested["metrics"]["mIoU"] == run["metrics"]["mIoU"]
    assert json.loads(Path(tested["path"]).read_text())["metrics"] == tested["metrics"]
    assert (tested["checkpoint"], tested["images"]) == ("iter_4", 3)

    images = data / "images" / "val"
    predicted = finished(rayseg("predict", run_dir, images, "--out", "out", "--json"))
    assert len(predicted["masks"]) == len(predicted["overlays"]) == 3
    mask = np.asarray(Image.open(predicted["masks"][0]))
    assert mask.shape == (24, 24)
    assert set(np.unique(mask)) <= {0, 1}

    resumed = rayseg("train", run_dir, "--resume", "--local", "train_cfg.max_iters=6", "-q")
    assert (resumed.code, resumed.out, resumed.err) == (0, "", "")
    assert numbers(run_dir)[4:] == [("train", 6), ("val", 6)]


def test_a_dry_run_touches_nothing(rayseg: Rayseg, config: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    plan = finished(rayseg("train", config, "--dry-run", "--json"))
    assert plan["data"] == {"train": 6, "val": 3}
    assert plan["batch"]["global"] == 2
    assert plan["model"]["parameters"] == 3 * 2 + 2
    assert plan["validations"]["at"] == [2, 4]
    assert sorted(path for path in tmp_path.rglob("*") if "__pycache__" not in path.parts) == before


def test_a_picture_of_a_batch(rayseg: Rayseg, config: Path, tmp_path: Path) -> None:
    shown = finished(rayseg("data", "show", config, "--out", "batch.png", "--json"))
    assert shown["path"] == str(tmp_path / "batch.png")
    with Image.open(shown["path"]) as picture:
        assert picture.width >= 2 * 16
