"""Bad input to a sweep: one line, exit code 2, no directory is made and Ray is not started."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

import rayseg.orchestration.cluster as cluster
from rayseg.orchestration.source import read_source

from tests.system.conftest import Answer, Rayseg  # isort: skip

LEAF = "optim_wrapper.optimizer.lr=loguniform(1e-3, 1e-1)"
GRID = "tune.searcher=dict(type='Grid')"
ASHA = "tune.scheduler=dict(type='ASHA', grace_iters=2)"


@pytest.fixture
def tune(rayseg: Rayseg, config: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Answer]:
    """``rayseg tune tiny.py ...``; a start of Ray fails the test."""
    monkeypatch.setattr(cluster, "_connect", lambda scaling: pytest.fail("Ray is started"))
    return lambda *arguments: rayseg("tune", config, *arguments)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ([LEAF, "tune.metric=mIou"], "tune.metric: no metric 'mIou' in the validation; did you mean 'mIoU'?"),
        ([LEAF, "val_dataloader=None"], "tune.metric: there is no validation to give it; the config needs a val_"),
        ([LEAF, "tune.mode=maxx"], "tune.mode: expected 'max' | 'min' | None, found 'maxx'; did you mean 'max'?"),
        (["train_cfg.max_iters=choice([])"], "train_cfg.max_iters: choice needs at least one option"),
        (
            ["optim_wrapper.optimizer.lr=uniform(0.1, 0.01)"],
            "optim_wrapper.optimizer.lr: uniform(0.1, 0.01): low must be below high",
        ),
        (
            ["optim_wrapper.optimizer.lr=loguniform(0, 0.1)"],
            "optim_wrapper.optimizer.lr: loguniform(0, 0.1): low must be above 0",
        ),
        (
            ["optim_wrapper.optimizer.lr=loguniform(0.1)"],
            "optim_wrapper.optimizer.lr: loguniform() missing 1 required positional argument",
        ),
        (["optim_wrapper.optimizer.lr=logunifrom(0.1, 1)"], "optim_wrapper.optimizer.lr: "),
        (
            [LEAF, "--workers", "1000"],
            "scaling.num_workers: 1000 workers of 1 CPU each cannot be placed: this machine",
        ),
        (
            [LEAF, GRID],
            "optim_wrapper.optimizer.lr: loguniform(0.001, 0.1) has no end, so not every point can be tried",
        ),
        (
            ["train_cfg.max_iters=grid([4, 6])", "tune.searcher=dict(type='Optuna')"],
            "train_cfg.max_iters: grid means every value, Optuna chooses",
        ),
        (["train_cfg.max_iters=choice([4, 6])", GRID, "--num-samples", "3"], "tune.num_samples: the grid has 2 points"),
        ([], "nothing is open: give a leaf a choice"),
        (
            [LEAF, "tune.searcher=dict(type='Optunna')"],
            "tune.searcher.type: unknown searcher 'Optunna'; did you mean 'Optuna'?",
        ),
        (
            [LEAF, "tune.searcher=dict(type='Optuna', sed=1)"],
            "tune.searcher.sed: Optuna takes no 'sed' (found 1); did you mean 'seed'?",
        ),
        (
            [LEAF, "tune.searcher=dict(type='Optuna', n_ei_candidates=0)"],
            "tune.searcher.n_ei_candidates: expected at least 1, found 0",
        ),
        (
            [LEAF, "tune.scheduler=dict(type='ASHAA', grace_iters=2)"],
            "tune.scheduler.type: unknown scheduler of trials 'ASHAA'; did you mean 'ASHA'?",
        ),
        (
            [LEAF, "tune.scheduler=dict(type='ASHA', grace_iters=2, reduction=2)"],
            "tune.scheduler.reduction: ASHA takes no 'reduction' (found 2)",
        ),
        ([LEAF, "tune.scheduler=dict(type='ASHA')"], "tune.scheduler: ASHA needs 'grace_iters' (int)"),
        (
            [LEAF, "tune.scheduler=dict(type='ASHA', grace_iters=4)"],
            "tune.scheduler.grace_iters: 4, and a trial has 4 iterations: none is ever",
        ),
        (
            [LEAF, "tune.scheduler=dict(type='ASHA', grace_iters=2, reduction_factor=1.0)"],
            "tune.scheduler.reduction_factor: expected more than 1, found 1",
        ),
        (
            [LEAF, ASHA, "train_cfg.val_interval=4"],
            "train_cfg.val_interval: 4, and a trial has 4 iterations: only its last",
        ),
        ([LEAF, "tune.num_sample=3"], "tune.num_sample: "),
        ([LEAF, "tune.time_budget=0"], "tune.time_budget: "),
        ([LEAF, "tune.max_failures=-1"], "tune.max_failures: "),
        (
            ["train_dataloader.batch_size=choice([2, 0])"],
            "train_dataloader.batch_size[1]: expected int (at least 1) | None, found 0",
        ),
        (["model.net.kernel_size=choice([1, 2.5])"], "model.net.kernel_size"),
        ([LEAF, "--resume", "--work-dir", "nothing"], "nothing holds no sweep to resume; start one without --resume"),
        ([LEAF, "--num-samples", "0"], "Invalid value for '--num-samples'"),
    ],
    ids=lambda value: " ".join(value)[-60:] if isinstance(value, list) else "",
)
def test_one_line(tune: Callable[..., Answer], tmp_path: Path, arguments: list[str], error: str) -> None:
    before = sorted(tmp_path.iterdir())
    for dry in ([], ["--dry-run"]):
        answer = tune(*arguments, *dry)
        assert (answer.code, answer.out) == (2, ""), answer
        assert len(answer.err.splitlines()) == len(answer.errors) == 1, answer.err
        assert error in answer.errors[0]
        if error.startswith(("tune", "optim", "train", "model")):
            assert answer.errors[0].startswith(("command line: ", str(tmp_path / "tiny.py"))), "the file is named"
        assert "Traceback" not in answer.err
    assert sorted(tmp_path.iterdir()) == before


@pytest.fixture
def sweep_dir(config: Path, tmp_path: Path) -> Path:
    """A directory as a sweep leaves it that has written its first line."""
    path = tmp_path / "sweep"
    path.mkdir()
    (path / "config.py").write_text(read_source(config, [LEAF])[0].dump())
    (path / "journal.jsonl").write_text(json.dumps({"event": "launch", "time": 0.0, "command": ""}) + "\n")
    return path


def test_a_directory_that_holds_a_sweep(tune: Callable[..., Answer], sweep_dir: Path) -> None:
    before = {path: path.read_bytes() for path in sweep_dir.iterdir()}
    answer = tune(LEAF, "--work-dir", sweep_dir)
    assert answer.code == 2
    assert answer.errors == [f"{sweep_dir} already holds a sweep: go on with --resume, or name another --work-dir"]
    assert {path: path.read_bytes() for path in sweep_dir.iterdir()} == before


def test_a_sweep_directory_without_resume(rayseg: Rayseg, tune: Callable[..., Answer], sweep_dir: Path) -> None:
    answer = rayseg("tune", sweep_dir)
    assert (answer.code, len(answer.errors)) == (2, 1)
    assert "--resume" in answer.errors[0]


def test_a_changed_space(tune: Callable[..., Answer], sweep_dir: Path) -> None:
    changes = ["optim_wrapper.optimizer.lr=loguniform(1e-3, 1.0)", "tune.num_samples=9", "train_cfg.max_iters=6"]
    answer = tune(*changes, "--work-dir", sweep_dir, "--resume")
    assert answer.code == 2
    resumed = "a resumed sweep may not change it: the sweep has"
    assert answer.errors == [
        f"command line: train_cfg.max_iters: {resumed} 4, now 6",
        f"command line: optim_wrapper.optimizer.lr: {resumed} loguniform(0.001, 0.1), now loguniform(0.001, 1.0)",
    ]


def test_a_run_directory_is_no_sweep(rayseg: Rayseg, tune: Callable[..., Answer], config: Path, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    (run_dir / "config.py").write_text(rayseg("config", config).out)
    (run_dir / "metrics.jsonl").write_text('{"mode": "train", "iter": 1, "epoch": 0, "time": 0.0, "loss": 1.0}\n')
    before = sorted(run_dir.iterdir())
    given = rayseg("tune", run_dir, LEAF)
    assert given.code == 2
    assert given.errors == [f"{run_dir} is a run, not a sweep; give its config, or a sweep directory"]
    named = tune(LEAF, "--work-dir", run_dir)
    assert named.code == 2
    assert named.errors == [f"{run_dir} holds a run; name another --work-dir for the sweep"]
    assert sorted(run_dir.iterdir()) == before


def test_a_config_that_is_not_there(rayseg: Rayseg, tune: Callable[..., Answer], tmp_path: Path) -> None:
    answer = rayseg("tune", "no_such.py", LEAF)
    assert (answer.code, len(answer.errors)) == (2, 1)
    assert "no_such.py" in answer.errors[0]


@pytest.mark.parametrize("what", ["a file", "an empty directory", "a run", "nothing"])
def test_export_of_no_sweep(rayseg: Rayseg, config: Path, tmp_path: Path, what: str) -> None:
    path = {"a file": config, "nothing": tmp_path / "nothing"}.get(what, tmp_path / "there")
    if what in ("an empty directory", "a run"):
        path.mkdir()
    if what == "a run":
        (path / "metrics.jsonl").touch()
    answer = rayseg("tune", path, "--export-best", "2")
    assert (answer.code, answer.out, len(answer.errors)) == (2, "", 1), answer.err
    assert str(path) in answer.errors[0]
    assert "no sweep" in answer.errors[0]


def test_export_before_there_is_a_score(rayseg: Rayseg, sweep_dir: Path) -> None:
    answer = rayseg("tune", sweep_dir, "--export-best", "2")
    assert answer.code == 2
    assert answer.errors == [f"{sweep_dir}: no trial has a score yet, so there is nothing to export"]
    assert not (sweep_dir / "best_configs").exists()


def test_a_directory_that_cannot_be_written(
    tune: Callable[..., Answer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    if os.access(locked, os.W_OK):  # root may write anywhere but on a file system that is read-only
        access = os.access
        monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != locked and access(path, mode))
    answer = tune(LEAF, "--work-dir", locked / "deep" / "sweep")
    assert answer.code == 2
    assert answer.errors == [
        f"--work-dir {locked / 'deep' / 'sweep'}: cannot be written: {locked} is read-only for this user"
    ]
    assert not list(locked.iterdir())


def test_a_file_in_the_way(tune: Callable[..., Answer], config: Path) -> None:
    answer = tune(LEAF, "--work-dir", config)
    assert answer.code == 2
    assert answer.errors == [f"--work-dir {config}: a file is in the way"]
    below = tune(LEAF, "--work-dir", config / "below")
    assert (below.code, len(below.errors)) == (2, 1)
    assert str(config) in below.errors[0]
