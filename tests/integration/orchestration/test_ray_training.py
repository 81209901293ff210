"""Two Ray Train workers train; the run directory holds everything; one process computes the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rayseg.config import load_config
from rayseg.orchestration import train
from rayseg.orchestration.results import RunResult
from rayseg.orchestration.source import read_source, resolved

from tests.integration.orchestration.conftest import Workspace  # isort: skip
from tests.processes import numbers  # isort: skip


def test_the_run_finishes(undisturbed: RunResult) -> None:
    assert (undisturbed.status, undisturbed.iter, undisturbed.error) == ("finished", 12, None)
    assert 0.3 < undisturbed.metrics["mIoU"] <= 1
    facts = json.loads((undisturbed.run_dir / "run.json").read_text())
    assert (facts["status"], facts["attempt"], facts["world_size"], facts["iter"]) == ("finished", 1, 2, 12)
    assert (facts["global_batch_size"], facts["last_checkpoint"], facts["threads"]) == (4, "iter_12", 1)
    assert facts["best"] == undisturbed.best
    assert undisturbed.best["mIoU"]["iter"] in (6, 12)


def test_its_config_loads_to_the_same_config(undisturbed: RunResult, workspace: Workspace) -> None:
    run_dir = undisturbed.run_dir
    saved, _ = resolved(read_source(run_dir)[0])
    assert saved.dump() == (run_dir / "config.py").read_text() == load_config(run_dir / "config.py").dump()
    assert saved == resolved(read_source(workspace.config)[0])[0]
    assert (run_dir / "code" / "user_code.py").read_text() == (workspace.path / "user_code.py").read_text()


def test_each_number_is_there_once(undisturbed: RunResult) -> None:
    lines = numbers(undisturbed.run_dir)
    train_iters = [line["iter"] for line in lines if line["mode"] == "train"]
    assert train_iters == [2, 4, 6, 8, 10, 12]
    assert [(line["iter"], set(line) >= {"mIoU", "IoU.dark", "loss"}) for line in lines if line["mode"] == "val"] == [
        (6, True),
        (12, True),
    ]
    assert not list(undisturbed.run_dir.glob("metrics.attempt_*"))


def test_log_and_worker_logs(undisturbed: RunResult) -> None:
    log = (undisturbed.run_dir / "log.txt").read_text()
    assert "training begins (attempt 1, 2 workers, global batch 4" in log
    assert "saved iter_12" in log
    assert "WARN" not in log
    logs = sorted((undisturbed.run_dir / "logs").iterdir())
    assert [path.name for path in logs] == ["rank_0000.log", "rank_0001.log"]
    assert [path.read_text() for path in logs] == ["", ""]


def test_checkpoints_and_pictures(undisturbed: RunResult) -> None:
    run_dir = undisturbed.run_dir
    for name in ("iter_4", "iter_8", "iter_12"):
        manifest = json.loads((run_dir / "checkpoints" / name / "manifest.json").read_text())
        assert {"model.safetensors", "training_state.pt", "rank_0000.pt", "rank_0001.pt"} <= set(manifest["files"])
    pictures = sorted(path.relative_to(run_dir / "visuals" / "val") for path in run_dir.rglob("visuals/val/*/*.png"))
    assert pictures == [Path(f"iter_{at}", f"{index}.png") for at in (12, 6) for index in range(5)]
    assert not (run_dir / ".ray").exists()


def test_two_workers_and_one_process_have_the_same_loss_curve(workspace: Workspace, cluster: str) -> None:
    overrides = {
        "model.net.type": "user_code.GroupNormNet",
        "train_dataloader.dataset.pipeline": [],
        "default_hooks.logger.interval": 1,
        "train_cfg.val_interval": 12,
        "default_hooks.checkpoint.interval": -1,
    }
    runs = [
        train(workspace.config, work_dir=workspace.path / name, overrides=overrides, local=local)
        for name, local in (("on_ray", False), ("in_one_process", True))
    ]
    assert [run.status for run in runs] == ["finished", "finished"]
    workers, process = ([line["loss"] for line in numbers(run.run_dir) if line["mode"] == "train"] for run in runs)
    assert len(workers) == 12
    assert workers == pytest.approx(process, rel=1e-5)
    assert process[-1] < 0.9 * process[0]
    assert runs[0].metrics["mIoU"] == pytest.approx(runs[1].metrics["mIoU"], abs=0.01)
    attempts = [(run.run_dir / "log.txt").read_text() for run in runs]
    assert "2 workers, global batch 4" in attempts[0]
    assert "1 worker, global batch 4" in attempts[1]
