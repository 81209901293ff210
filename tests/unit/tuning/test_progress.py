"""Progress: a line for each trial of the search that ends, the same live as out of the journal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rayseg.tuning.progress import Progress, sweep_info

EVENTS: list[dict[str, Any]] = [
    {"event": "launch", "time": 0.0, "command": "tune"},
    {"event": "proposed", "time": 1.0, "trial": "0000", "number": 0, "draw": {}},
    {"event": "proposed", "time": 1.0, "trial": "0001", "number": 1, "draw": {}},
    {"event": "proposed", "time": 1.0, "trial": "0002", "number": 2, "draw": {}},
    {"event": "ended", "time": 2.0, "trial": "0002", "status": "failed", "iter": 0, "reason": "no"},
    {"event": "result", "time": 3.0, "trial": "0000", "iter": 5, "values": {"mIoU": 0.4}},
    {"event": "ended", "time": 4.0, "trial": "0000", "status": "finished", "iter": 5, "reason": ""},
    {"event": "result", "time": 5.0, "trial": "0001", "iter": 5, "values": {"mIoU": 0.6}},
    {"event": "ended", "time": 6.0, "trial": "0001", "status": "interrupted", "iter": 5, "reason": "SIGINT"},
    {"event": "result", "time": 7.0, "trial": "0001", "iter": 9, "values": {"mIoU": 0.5}},
    {"event": "ended", "time": 8.0, "trial": "0001", "status": "stopped", "iter": 9, "reason": "ASHA"},
    {"event": "proposed", "time": 9.0, "trial": "0001_s1", "number": 3, "draw": {}, "repeat_of": "0001", "seed": 1},
    {"event": "ended", "time": 9.0, "trial": "0001_s1", "status": "finished", "iter": 9, "reason": ""},
    {"event": "ended", "time": 9.0, "trial": "unknown", "status": "finished", "iter": 9, "reason": ""},
]
LINES = [
    {"mode": "best", "iter": 2, "time": 4.0, "mIoU": 0.4, "trial": 0},
    {"mode": "best", "iter": 3, "time": 8.0, "mIoU": 0.6, "trial": 1},
]


def test_a_line_for_each_trial_that_ends_with_a_score_known():
    assert list(Progress("mIoU", "max", EVENTS).tail({}).new_lines()) == LINES
    lowest = list(Progress("mIoU", "min", EVENTS).tail({}).new_lines())
    assert [(line["mIoU"], line["trial"]) for line in lowest] == [(0.4, 0), (0.4, 0)]


def test_lines_come_once_whenever_they_are_asked_for():
    progress = Progress("mIoU", "max")
    tail = progress.tail({})
    found = []
    for event in EVENTS:
        new = progress.take(event)
        lines = list(tail.new_lines())
        assert len(lines) == new
        found += lines
    assert found == LINES
    assert list(progress.tail({"best": 2}).new_lines()) == LINES[1:]
    assert list(progress.tail({"best": 3, "train": 0}).new_lines()) == []


def test_the_sweep_as_a_run_has_its_best_score_under_the_metric():
    facts: dict[str, Any] = {"uid": "a", "metric": "mIoU", "best": None}
    ids: dict[str, str] = {}
    run = sweep_info(Path("/s"), facts, {"a": 1}, Progress("mIoU", "max"), ids.__setitem__, print, print)
    assert run.facts() == {"uid": "a", "metric": "mIoU", "best": {}}
    facts["best"] = {"trial": "0001", "value": 0.6, "iter": 5}
    assert run.facts()["best"] == {"mIoU": {"trial": "0001", "value": 0.6, "iter": 5}}
    run.remember("mlflow_run_id", "r")
    assert ids == {"mlflow_run_id": "r"}
