"""RunRecorder: the files of a run, what goes into them when, and that trackers cannot harm it."""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from rayseg.core.record import Record
from rayseg.tracking.recorder import RunRecorder
from tests.unit.tracking.listening import Listener, resume
from tests.unit.tracking.runs import attempt, event, read, train, val, without_times


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture
def recorder(tmp_path: Path, listener: Listener, clock: Clock):
    recorder = RunRecorder(tmp_path / "run", [listener], clock)
    recorder.start({"name": "demo", "seed": 7})
    yield recorder
    recorder.finish("finished")


def run_json(recorder: RunRecorder) -> dict[str, Any]:
    return json.loads((recorder.run_dir / "run.json").read_text())


def log_lines(recorder: RunRecorder) -> list[str]:
    return (recorder.run_dir / "log.txt").read_text().splitlines()


def begin(recorder: RunRecorder, number: int, start_from: str | None = None) -> None:
    recorder.record(attempt(number, start_from))


def test_run_json_has_its_keys_from_the_start(recorder: RunRecorder):
    facts = run_json(recorder)
    assert list(facts) == [
        *(
            "uid",
            "name",
            "status",
            "seed",
            "iter",
            "epoch",
            "best",
            "last_checkpoint",
            "attempt",
            "world_size",
            "threads",
        ),
        *(
            "error",
            "started",
            "launched",
            "updated",
            "finished",
            "times",
            "attempts",
            "warnings",
            "versions",
            "git",
            "command",
            "tracking",
            "host",
            "cwd",
        ),
    ]
    assert facts["status"] == "running"
    assert facts["seed"] == 7
    assert facts["started"] == 1000.0
    assert "rayseg" in facts["versions"] or "torch" in facts["versions"]


def test_events_become_facts(recorder: RunRecorder):
    recorder.restore(0, "train", [])
    begin(recorder, 1)
    recorder.record(train(10))
    recorder.record(val(10))
    recorder.record(event("best", 10, metric="mIoU", value=0.75, iter=10))
    recorder.record(event("checkpoint", 12, name="iter_12", iter=12, bytes=5_000_000, seconds=0.25))
    facts = run_json(recorder)
    assert facts["attempt"] == 1
    assert facts["world_size"] == 2
    assert facts["threads"] == 1
    assert facts["iter"] == 12
    assert facts["epoch"] == 1
    assert facts["best"] == {"mIoU": {"value": 0.75, "iter": 10}}
    assert facts["last_checkpoint"] == "iter_12"
    recorder.record(event("ended", 17, status="finished", iter=17))
    assert run_json(recorder)["iter"] == 17


def test_run_json_follows_iterations_every_few_seconds(recorder: RunRecorder):
    recorder.record(train(1, time=2000.0))
    recorder.record(train(2, time=2004.0))
    assert run_json(recorder)["iter"] == 1
    recorder.record(train(3, time=2005.0))
    assert run_json(recorder)["iter"] == 3


def test_the_end_is_written(recorder: RunRecorder, clock: Clock):
    begin(recorder, 1)
    recorder.record(train(10))
    clock.now += 75
    recorder.finish("failed", "ValueError: at s3://user:secret-pass@host/x")
    facts = run_json(recorder)
    assert facts["status"] == "failed"
    assert facts["finished"] == 1075.0
    assert facts["error"] == "ValueError: at s3://user:***@host/x"
    assert "failed at iteration 10, nothing was saved: ValueError" in log_lines(recorder)[-2]
    assert log_lines(recorder)[-1].endswith(f"everything is in {recorder.run_dir}")


def contents(run_dir: Path) -> dict[str, bytes]:
    return {str(path.relative_to(run_dir)): path.read_bytes() for path in run_dir.rglob("*") if path.is_file()}


def test_nothing_is_written_after_the_end(recorder: RunRecorder, listener: Listener):
    recorder.finish("interrupted")
    before = contents(recorder.run_dir)
    recorder.record(train(1))
    recorder.warn("late")
    recorder.finish("finished")
    assert contents(recorder.run_dir) == before
    assert [call[0] for call in listener.calls] == ["start", "flush", "finish"]


def test_a_second_value_of_an_iteration_reaches_no_one(recorder: RunRecorder, listener: Listener):
    recorder.record(val(10))
    recorder.record(val(10, mIoU=0.0))
    assert [record.data["mIoU"] for record in listener.records] == [val(10).data["mIoU"]]
    assert len(read(recorder.run_dir / "metrics.jsonl")) == 1
    assert "val numbers of iteration 10 are there already" in log_lines(recorder)[-1]


def test_log_lines_have_time_and_level(recorder: RunRecorder):
    recorder.record(Record("log", 0, 0, 0.0, data={"level": "DEBUG", "message": "too much"}))
    recorder.record(Record("log", 0, 0, 0.0, data={"level": "ERROR", "message": "two\nlines"}))
    stamp = "1970/01/01 " if not os.environ.get("TZ") else ""
    assert [line[20:] for line in log_lines(recorder)] == ["- ERROR - two", "- ERROR - lines"]
    assert log_lines(recorder)[0].startswith(stamp)


def test_python_logging_reaches_log_and_trackers(recorder: RunRecorder, listener: Listener):
    level = logging.getLogger("rayseg").level
    logging.getLogger("rayseg.data").info("found %d images", 3)
    logging.getLogger("rayseg.data").debug("not this")
    logging.getLogger("somelib").info("nor this")
    try:
        raise ValueError("odd")
    except ValueError:
        logging.getLogger("somelib").exception("it failed")
    text = "\n".join(log_lines(recorder))
    assert " - INFO - found 3 images" in text
    assert " - ERROR - it failed" in text
    assert " - ERROR - ValueError: odd" in text
    assert "this" not in text
    assert [record.data["level"] for record in listener.records] == ["INFO", "ERROR"]
    recorder.finish("finished")
    logging.getLogger("rayseg.data").info("after the end")
    assert "after the end" not in "\n".join(log_lines(recorder))
    assert logging.getLogger("rayseg").level != level


def test_a_torn_log_line_does_not_swallow_the_next(tmp_path: Path):
    (tmp_path / "log.txt").write_text("2026/01/01 00:00:00 - INFO - it was cu")
    recorder = RunRecorder(tmp_path)
    recorder.start({})
    recorder.warn("careful")
    recorder.finish("finished")
    assert log_lines(recorder)[0].endswith("it was cu")
    assert log_lines(recorder)[1].endswith(" - WARNING - careful")


def test_secrets_reach_neither_log_nor_trackers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)  # outside the repository, whose difference from its commit is kept
    monkeypatch.setenv("WANDB_API_KEY", "0123456789abcdef0123")
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/rayseg", "train", "c.py", "trackers.x.password=hunter2hunter2"])
    listener = Listener()
    recorder = RunRecorder(tmp_path, [listener])
    recorder.start({"store": "s3://me:topsecret@bucket"})
    recorder.record(event("warning", message="login with 0123456789abcdef0123 failed"))
    recorder.record(Record("log", 0, 0, 0.0, data={"level": "INFO", "message": "hf_abcdefghijklmnopqrstuvwx"}))
    recorder.finish("failed", "Authorization: Bearer abcdefgh12345")
    everything = repr(contents(tmp_path)) + repr(listener.calls)
    for secret in ("0123456789abcdef0123", "hunter2", "topsecret", "hf_abc", "abcdefgh12345"):
        assert secret not in everything
    assert run_json(recorder)["command"] == "rayseg train c.py 'trackers.x.password=***'".replace("'", "")


def test_a_restart_goes_back_to_its_checkpoint(tmp_path: Path):
    whole, broken = resume(tmp_path / "whole"), resume(tmp_path / "broken")
    records = [train(10), val(10), train(20), val(20), train(30), val(30)]
    for recorder in (whole, broken):
        recorder.restore(0, "train", [])
        begin(recorder, 1)
    for record in records:
        whole.record(record)
    whole.finish("finished")
    for record in (*records[:3], records[4]):  # the owner never got val@20, and went on to 30
        broken.record(record)
    broken.finish("failed", "killed")

    second = resume(tmp_path / "broken")
    second.restore(20, "train", [*records[:4]])
    begin(second, 2, "iter_20")
    for record in records[4:]:
        second.record(record)
    second.finish("finished")
    assert without_times(read(tmp_path / "broken/metrics.jsonl")) == without_times(
        read(tmp_path / "whole/metrics.jsonl")
    )
    assert [line["iter"] for line in read(tmp_path / "broken/metrics.attempt_1.jsonl")] == [30]
    facts = run_json(second)
    assert facts["attempt"] == 2
    assert facts["last_checkpoint"] == "iter_20"
    assert facts["error"] is None
    assert "metrics.attempt_1.jsonl has them" in (tmp_path / "broken/log.txt").read_text()


def test_a_restart_without_checkpoint_begins_anew(recorder: RunRecorder):
    recorder.restore(0, "train", [])
    begin(recorder, 1)
    recorder.record(train(10))
    recorder.restore(0, "train", [])
    begin(recorder, 2)
    assert read(recorder.run_dir / "metrics.jsonl") == []
    assert run_json(recorder)["iter"] == 0
    assert [line["iter"] for line in read(recorder.run_dir / "metrics.attempt_1.jsonl")] == [10]


@pytest.mark.parametrize(("values", "wanted"), [([0.5, 0.4, 0.6], (0.5, 10)), ([0.5, 0.6, 0.3], (0.5, 10))])
def test_a_best_from_beyond_the_checkpoint_is_undone(recorder: RunRecorder, values: list[float], wanted: tuple):
    """Whether more or less is better shows in the values themselves."""
    recorder.restore(0, "train", [])
    begin(recorder, 1)
    for at, value in zip((10, 20, 30), values, strict=True):
        recorder.record(val(at, mIoU=value))
    recorder.record(event("best", 30, metric="mIoU", value=values[2], iter=30))
    recorder.restore(20, "train", [])
    assert run_json(recorder)["best"] == {"mIoU": {"value": wanted[0], "iter": wanted[1]}}
    recorder.restore(5, "train", [])
    assert run_json(recorder)["best"] == {}


def test_a_best_before_the_checkpoint_stays(recorder: RunRecorder):
    recorder.record(val(10, mIoU=0.9))
    recorder.record(event("best", 10, metric="mIoU", value=0.9, iter=10))
    recorder.restore(10, "train", [])
    assert run_json(recorder)["best"] == {"mIoU": {"value": 0.9, "iter": 10}}
    recorder.restore(10, "val_due", [])
    assert run_json(recorder)["best"] == {}


def test_what_trackers_remember_outlives_a_restart(tmp_path: Path):
    listener = Listener()
    recorder = resume(tmp_path, listener)
    listener.run.remember("wandb_run_id", "abc")
    listener.run.warn("slow server")
    recorder.finish("interrupted")
    again = Listener()
    resume(tmp_path, again).finish("finished")
    assert again.run.facts()["tracking"] == {"wandb_run_id": "abc"}
    assert "slow server" in (tmp_path / "log.txt").read_text()
