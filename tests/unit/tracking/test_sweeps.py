"""A run as a trial of a sweep: what it is called, and where what trials share is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rayseg.tracking.mlflow import MLflow
from rayseg.tracking.sweeps import best_trial, drawn_name, own_folder, run_params, shared_dir, shown_name
from rayseg.tracking.tensorboard import TensorBoard
from rayseg.tracking.tracker import RunInfo
from rayseg.tracking.wandb import WandB

SWEEP = {"uid": "5d38", "name": "first"}


def trial(root: Path, **facts: Any) -> Path:
    run_dir = root / "toys" / "first" / "trials" / "0003"
    run_dir.mkdir(parents=True)
    (run_dir / "run.json").write_text(json.dumps({"uid": "a1", "sweep": SWEEP, **facts}))
    return run_dir


def info(run_dir: Path, **facts: Any) -> RunInfo:
    return RunInfo(run_dir, lambda: facts, lambda key, value: None, lambda message: None)


def test_stores_of_trials_are_where_a_run_in_the_place_of_the_sweep_has_them(tmp_path: Path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    run_dir = trial(tmp_path)
    sweep_dir = run_dir.parents[1]
    assert shared_dir(run_dir) == shared_dir(sweep_dir) == tmp_path / "toys"
    for tracker in (MLflow(), MLflow("sqlite:///x/all.db")):
        assert tracker.uri(run_dir) == tracker.uri(sweep_dir)
    monkeypatch.chdir(run_dir.parent)
    assert MLflow().local_store(Path("0003")) == tmp_path / "toys" / "mlflow.db"


def test_a_run_in_a_directory_of_that_name_and_a_trial_elsewhere_are_runs(tmp_path: Path):
    plain = tmp_path / "trials" / "run"
    assert shared_dir(plain) == tmp_path / "trials"
    moved = trial(tmp_path).rename(tmp_path / "best")
    assert shared_dir(moved) == tmp_path


@pytest.mark.parametrize(
    ("log_dir", "folder"),
    [
        (None, "toys/first/trials/0003/tensorboard"),
        ("events", "toys/first/trials/0003/events"),
        ("../events", "toys/first/trials/../trials/events/first/0003"),
        ("{root}/events", "events/first/0003"),
    ],
)
def test_tensorboard_keeps_trials_apart(tmp_path: Path, log_dir: str | None, folder: str):
    run_dir = trial(tmp_path)
    found = TensorBoard(log_dir and log_dir.format(root=tmp_path)).local_store(run_dir)
    assert found.resolve() == (tmp_path / folder).resolve()
    assert own_folder(tmp_path / "all", tmp_path / "run") == tmp_path / "all", "of a run it stays as it is"


@pytest.mark.parametrize(
    ("given", "sweep", "name"),
    [(None, None, "0003"), ("mine", None, "mine"), (None, SWEEP, "first/0003"), ("mine", SWEEP, "mine/0003")],
)
def test_names(given: str | None, sweep: dict[str, str] | None, name: str):
    assert shown_name(given, info(Path("/x/0003"), sweep=sweep)) == name


def test_what_was_drawn_comes_first_and_without_secrets(tmp_path: Path):
    (tmp_path / "config.py").write_text("model = dict(width=8)\n")
    draw = {"crop": [256, 512], "optim[adam].lr": 0.1, "url": "http://me:hunter2hunter2@host"}
    params = run_params(info(tmp_path, draw=draw))
    assert list(params.items()) == [
        ("sampled/crop", "[256, 512]"),
        ("sampled/optim.adam.lr", "0.1"),
        ("sampled/url", "http://me:***@host"),
        ("model.width", "8"),
    ]
    assert run_params(info(tmp_path)) == {"model.width": "8"}
    assert drawn_name("a[b].c[2].d") == "sampled/a.b.c.2.d"


def test_a_config_at_hand_is_not_read_again(tmp_path: Path):
    (tmp_path / "config.py").write_text("model = dict(width=8)\n")
    run = RunInfo(tmp_path, dict, lambda *_: None, lambda _: None, config={"model": {"width": 9, "token": "abcdefgh"}})
    assert run_params(run) == {"model.width": "9", "model.token": "***"}


def test_the_best_trial():
    assert best_trial({"best": {"mIoU": {"value": 0.5, "iter": 3, "trial": "0002"}}}) == "0002"
    assert best_trial({"best": {"mIoU": {"value": 0.5, "iter": 3}}}) == best_trial({"best": None}) == ""


@pytest.mark.parametrize(
    ("given", "environment", "sweep", "wanted"),
    [
        (None, {}, None, {"group": None}),
        ("mine", {}, None, {"group": "mine"}),
        (None, {}, SWEEP, {"group": "first", "job_type": "trial"}),
        ("mine", {"WANDB_RUN_GROUP": "theirs"}, SWEEP, {"group": "mine", "job_type": "trial"}),
        (None, {"WANDB_RUN_GROUP": "t", "WANDB_JOB_TYPE": "j"}, SWEEP, {"group": "t", "job_type": "j"}),
    ],
)
def test_the_trials_of_a_sweep_are_a_group_at_wandb(monkeypatch, given, environment, sweep, wanted):
    for name in ("WANDB_RUN_GROUP", "WANDB_JOB_TYPE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert WandB(group=given)._grouped(info(Path("/x/0003"), sweep=sweep)) == wanted
