"""From one checkpoint, one, two and three ranks find the identical metrics on a set that none of them divides."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from rayseg.core.record import Record
from rayseg.engine.host import LocalHost
from rayseg.engine.runner import Runner
from rayseg.orchestration import train

from tests.distributed import run_ranks  # isort: skip
from tests.toys import ToyDataset, toy_config  # isort: skip

IMAGES = 7


def config() -> dict[str, Any]:
    """Six iterations of a global batch of six, which all three world sizes divide."""
    dataset = {"type": ToyDataset, "size": IMAGES, "first": 100, "test_mode": True}
    return toy_config(
        train_dataloader={"global_batch_size": 6, "dataset": {"type": ToyDataset}},
        val_dataloader={"batch_size": 2, "dataset": dataset},
        train_cfg={"type": "IterBasedTrainLoop", "max_iters": 6, "val_interval": 6},
    )


def validate(run_dir: Path) -> tuple[dict[str, Any], int]:
    """The metrics of the validation that is due at the run's last checkpoint, and how many images this rank saw."""
    records: list[Record] = []
    runner = Runner.from_config(config(), host=LocalHost(records.append), work_dir=run_dir)
    assert runner.start_from is not None
    assert (runner.start_from.name, runner.start_from.facts["phase"]) == ("iter_6", "val_due")
    runner.train()
    seen = sum(len(batch["data_samples"]) for batch in runner.val_dataloader)
    return next((r.data for r in records if r.mode == "val"), {}), seen


@pytest.mark.world_size(3)
def test_metrics_do_not_depend_on_the_world_size(tmp_path: Path) -> None:
    trained = train(config(), work_dir=tmp_path / "trained", local=True)
    assert trained.status == "finished"
    found = {}
    for world_size in (1, 2, 3):
        run_dir = tmp_path / f"world_{world_size}"
        shutil.copytree(trained.run_dir, run_dir)
        answers = run_ranks(validate, world_size, run_dir) if world_size > 1 else [validate(run_dir)]
        found[world_size] = answers[0][0]
        assert sum(images for _, images in answers) == IMAGES
    assert found[1]["mIoU"] > 0.1
    for metrics in found.values():
        assert metrics == pytest.approx(trained.metrics, rel=0, abs=0, nan_ok=True)
