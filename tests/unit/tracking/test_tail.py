"""Following metrics.jsonl: each line once, whole lines only, across restarts of run and follower."""

from __future__ import annotations

import math
import threading
from pathlib import Path
from typing import Any

import pytest

from rayseg.core.record import Record
from rayseg.tracking.json_lines import encode_record
from rayseg.tracking.recorder import RunRecorder
from rayseg.tracking.tail import MetricsTail, read_metrics
from rayseg.tracking.tracker import RunInfo, Tracker
from tests.unit.tracking.runs import attempt, train, val


def iters(lines: Any) -> list[tuple[str, int]]:
    return [(line["mode"], line["iter"]) for line in lines]


def test_lines_are_given_once_and_whole(tmp_path: Path):
    tail = MetricsTail(tmp_path)
    path = tmp_path / "metrics.jsonl"
    assert list(tail.new_lines()) == []
    line = encode_record(train(2))
    path.write_bytes(encode_record(train(1)) + line[:20])
    assert iters(tail.new_lines()) == [("train", 1)]
    assert iters(tail.new_lines()) == []
    with path.open("ab") as file:
        file.write(line[20:] + encode_record(val(2, x=math.inf)))
    found = list(tail.new_lines())
    assert iters(found) == [("train", 2), ("val", 2)]
    assert found[1]["x"] == math.inf
    assert math.isnan(found[1]["IoU.water"])


def test_the_cursor_outlives_the_follower(tmp_path: Path):
    (tmp_path / "metrics.jsonl").write_bytes(b"".join(encode_record(train(i)) for i in (1, 2, 3)))
    tail = MetricsTail(tmp_path, "mlflow")
    for line in tail.new_lines():
        if line["iter"] < 3:
            tail.mark_done(line)
    tail.save()
    assert iters(MetricsTail(tmp_path, "mlflow").new_lines()) == [("train", 3)]
    assert len(list(MetricsTail(tmp_path, "wandb").new_lines())) == 3
    tail.retry()
    assert iters(tail.new_lines()) == [("train", 3)]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"train": "x"}'])
def test_a_damaged_cursor_starts_from_the_beginning(tmp_path: Path, text: str):
    (tmp_path / "trackers").mkdir()
    (tmp_path / "trackers" / "mlflow.json").write_text(text)
    (tmp_path / "metrics.jsonl").write_bytes(encode_record(train(1)))
    assert iters(MetricsTail(tmp_path, "mlflow").new_lines()) == [("train", 1)]


class Remote(Tracker):
    """A tracker such as MLflow's: a thread of its own follows the file; ``server`` keeps what arrived."""

    def __init__(self, server: list[dict[str, Any]]) -> None:
        self.server = server
        self.news = threading.Event()
        self.ending = False

    def start(self, run: RunInfo) -> None:
        self.tail = MetricsTail(run.run_dir, "remote")
        self.thread = threading.Thread(target=self.follow)
        self.thread.start()

    def write(self, record: Record) -> None:
        self.news.set()

    def follow(self) -> None:
        while True:
            self.news.wait()
            self.news.clear()
            ending = self.ending
            for line in self.tail.new_lines():
                self.server.append(line)
                self.tail.mark_done(line)
            self.tail.save()
            if ending:
                return

    def flush(self, timeout_s: float) -> None:
        self.ending = True
        self.news.set()
        self.thread.join(timeout_s)


def test_a_tracker_that_follows_the_file_sends_each_value_once(tmp_path: Path):
    """The first attempt reaches 30; the second starts from 20, makes 30 again, and adds val@20."""
    server: list[dict[str, Any]] = []
    first = RunRecorder(tmp_path, [Remote(server)])
    first.start({})
    first.restore(0, "train", [])
    first.record(attempt(1))
    for record in (train(10), train(20), train(30)):
        first.record(record)
    first.finish("failed", "killed")
    assert iters(server) == [("train", 10), ("train", 20), ("train", 30)]

    second = RunRecorder(tmp_path, [Remote(server)])
    second.start({})
    second.restore(20, "train", [train(20), val(20)])
    second.record(attempt(2, "iter_20"))
    for record in (train(30, loss=9.0), train(40)):
        second.record(record)
    second.finish("finished")
    assert sorted(iters(server)) == [("train", 10), ("train", 20), ("train", 30), ("train", 40), ("val", 20)]
    assert next(line for line in server if line["iter"] == 30)["loss"] == train(30).data["loss"], (
        "the first value stays"
    )


def test_cutting_back_under_a_follower_gives_nothing_twice(tmp_path: Path):
    recorder = RunRecorder(tmp_path)
    recorder.start({})
    tail = MetricsTail(tmp_path)
    for at in (10, 20, 30):
        recorder.record(train(at, only_the_first_attempt_has=0.123456789))
    assert len(list(tail.new_lines())) == 3
    recorder.restore(10, "train", [])
    assert iters(tail.new_lines()) == []
    for at in (20, 30, 40):
        recorder.record(train(at))
    assert iters(tail.new_lines()) == [("train", 40)]
    recorder.finish("finished")
    assert iters(read_metrics(tmp_path)) == [("train", at) for at in (10, 20, 30, 40)]
