"""MLflow: names, places and addresses, without MLflow."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rayseg.core.errors import ConfigError
from rayseg.tracking.mlflow import MLflow, _best, _numbers, _own_tags
from rayseg.tracking.mlflow_names import MAX_NAME, taken_name
from rayseg.tracking.tracker import RunInfo


def run_info(run_dir: Path, **facts: str) -> RunInfo:
    return RunInfo(run_dir, lambda: facts, lambda key, value: None, lambda message: None)


@pytest.mark.parametrize(
    ("given_uri", "uri", "store"),
    [
        (None, "sqlite:////data/demo/mlflow.db", "/data/demo/mlflow.db"),
        ("sqlite:///../all.db", "sqlite:////data/all.db", "/data/all.db"),
        ("sqlite:////data/all.db", "sqlite:////data/all.db", "/data/all.db"),
        ("file:///data/my%20runs", "file:///data/my%20runs", "/data/my runs"),
        ("mlruns", "file:///data/demo/mlruns", "/data/demo/mlruns"),
        ("http://localhost:5000", "http://localhost:5000", None),
        ("postgresql://db/mlflow", "postgresql://db/mlflow", None),
        ("databricks", "databricks", None),
        ("databricks://profile", "databricks://profile", None),
    ],
)
def test_where_runs_are_tracked(monkeypatch, given_uri: str | None, uri: str, store: str | None):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    run_dir = Path("/data/demo/run")
    assert MLflow(given_uri).uri(run_dir) == uri
    assert MLflow(given_uri).local_store(run_dir) == (Path(store) if store else None)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", given_uri or "")
    assert MLflow().uri(run_dir) == uri


def test_a_path_that_no_sqlite_uri_can_hold_is_refused(monkeypatch, tmp_path: Path):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    run_dir = tmp_path / "what?" / "run #2 100%"
    with pytest.raises(ConfigError, match=r"no SQLite URI can hold a path with a question mark: .*mlflow\.db; set"):
        MLflow().begin(run_info(run_dir))
    assert MLflow("file:mlruns").uri(run_dir) == f"file://{tmp_path}/what%3F/mlruns"
    MLflow("http://h").begin(run_info(run_dir))
    assert MLflow().uri(tmp_path / "run #2 100% é" / "a?") == f"sqlite:///{tmp_path}/run #2 100% é/mlflow.db"


def test_the_destination_has_no_password(tmp_path: Path):
    tracker = MLflow("https://ana:s3cretPassw0rd@host/mlflow")
    tracker.begin(run_info(tmp_path / "demo" / "run"))
    assert tracker.delivery.destination == "https://ana:***@host/mlflow, experiment demo"


def test_the_experiment(tmp_path: Path):
    run = tmp_path / "demo" / "run"
    assert MLflow("http://h").destination(run_info(run)) == "http://h, experiment demo"
    assert MLflow("http://h").destination(run_info(run, experiment="seg")) == "http://h, experiment seg"
    assert MLflow("http://h", "mine").destination(run_info(run, experiment="seg")) == "http://h, experiment mine"


@given(st.lists(st.text(max_size=300), unique=True, min_size=1, max_size=5))
@example(["a&b", "a%b", "a_b"])
@example(["..", ".", "", "a//b", "a/", "/a", "a/./b", "a/../b"])
def test_any_name_becomes_one_that_mlflow_takes_and_no_two_become_one(names: list[str]):
    taken = [taken_name(f"val/IoU.{name}") for name in names] + [taken_name(f"val/{name}") for name in names]
    assert len(set(taken)) == len({f"val/IoU.{name}" for name in names} | {f"val/{name}" for name in names})
    for name in taken:
        assert re.fullmatch(r"[/\w.\- ]+", name)
        assert posixpath.normpath(name) == name
        assert len(name) <= MAX_NAME


def test_plain_names_stay():
    for name in ("train/loss", "val/IoU.land", "train/lr.decode_head", "val/prefix/aAcc", "val/IoU.low plants"):
        assert taken_name(name) == name


def test_the_best_scores_in_words():
    best = {"mIoU": {"value": 0.96812, "iter": 60}, "aAcc": {"value": 0.5, "iter": 20}}
    text = "best mIoU 96.81 % at iteration 60 of 80, best aAcc 50.00 % at iteration 20 of 80"
    assert _best({"best": best, "iter": 80}) == text
    assert _best({}) == _best({"best": None}) == ""
    sweep = {"mIoU": {"value": 0.5, "iter": 60, "trial": "0003"}}
    assert _best({"best": sweep}) == "best mIoU 50.00 % at iteration 60 of trial 0003"


def test_the_source_is_the_config_else_the_command():
    assert _own_tags({"config": {"file": "/a/b.py"}, "command": "rayseg x"})["mlflow.source.name"] == "/a/b.py"
    assert _own_tags({"config": None, "command": "rayseg x"})["mlflow.source.name"] == "rayseg x"
    assert _own_tags({})["mlflow.source.name"] == "rayseg"


def test_numbers_of_a_line():
    line = {"mode": "train", "iter": 4, "epoch": 2, "time": 1.5, "loss": 0.5, "n": 3, "on": True, "text": "x", "l": [1]}
    assert list(_numbers(line)) == [("loss", 0.5), ("n", 3.0), ("epoch", 2.0)]
    of_sweep = {"mode": "best", "iter": 4, "time": 1.0, "mIoU": 0.5, "trial": 3}
    assert list(_numbers(of_sweep)) == [("mIoU", 0.5), ("trial", 3.0)], "the mark comes last"
