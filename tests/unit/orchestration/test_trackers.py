"""Trackers out of a config, and what is refused before a run begins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rayseg.config import Config
from rayseg.core.errors import ConfigError
from rayseg.orchestration import trackers
from rayseg.orchestration.trackers import build_trackers, require_one_store
from rayseg.reporting.tracker import Report
from rayseg.tracking.console import Console
from rayseg.tracking.mlflow import MLflow
from rayseg.tracking.tensorboard import TensorBoard
from rayseg.tracking.tracker import Tracker


def built(console: Tracker | None = None, **section: Any) -> list[Tracker]:
    return build_trackers(Config({"trackers": section}), console)


def test_the_terminal_is_first_and_none_is_off():
    found = built(report={"type": "Report"}, mine={"type": "MLflow"}, off=None, t={"type": "Console", "quiet": True})
    assert [type(tracker) for tracker in found] == [Console, Report, MLflow]
    mine = Console()
    found = built(mine, report={"type": "Report"}, t={"type": "Console", "quiet": True})
    assert found[0] is mine
    assert [type(tracker) for tracker in found] == [Console, Report]


def test_references_to_the_environment_are_resolved(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WHERE", "http://host")
    (tracker,) = built(m={"type": "MLflow", "tracking_uri": "${env:WHERE}/x"})
    assert isinstance(tracker, MLflow)
    assert tracker.tracking_uri == "http://host/x"


class Half:
    """It begins and never ends."""

    def start(self, run: Any) -> None: ...

    def write(self, record: Any) -> None: ...


class Refuses:
    """It cannot be made."""

    def __init__(self) -> None:
        raise OSError("no room\nanywhere, password=hunter2hunter2")


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"type": "MLflo"}, "trackers.m: unknown tracker 'MLflo'; did you mean 'MLflow'?"),
        ({"type": Half}, "trackers.m: Half has no flush() and no finish()"),
        ({"type": Refuses}, "trackers.m: it cannot be made: OSError: no room; anywhere, password=***"),
        ({"type": "WandB", "mode": "of"}, "trackers.m: WandB: mode"),
    ],
)  # fmt: skip
def test_what_is_no_tracker(section: dict[str, Any], message: str):
    with pytest.raises(ConfigError) as error:
        built(m=section)
    assert str(error.value).startswith(message)


def test_a_store_of_one_node_is_refused_on_several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run_dir = tmp_path / "runs" / "a"
    elsewhere = MLflow(tracking_uri=f"sqlite:///{tmp_path}/local/x.db")
    both = [Console(), elsewhere, MLflow(), MLflow("http://host"), TensorBoard()]
    require_one_store(both, run_dir, nodes=3)
    monkeypatch.setattr(trackers, "_file_system", lambda path: int("local" in path.parts))
    require_one_store(both, run_dir, nodes=1)
    with pytest.raises(ConfigError, match=f"MLflow: {tmp_path}/local/x.db is on another .* each of the 3 nodes"):
        require_one_store(both, run_dir, nodes=3)
    require_one_store([*both[:1], *both[2:]], run_dir, nodes=3)


def test_the_file_system_of_what_is_not_there_yet(tmp_path: Path):
    assert trackers._file_system(tmp_path / "a" / "b") == tmp_path.stat().st_dev
    assert trackers._file_system(Path("/proc/self")) != tmp_path.stat().st_dev
