"""Following metrics.jsonl: each line once, whole lines only, across restarts of run and follower."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from rayseg.tracking.json_lines import encode_record
from rayseg.tracking.metrics_file import METRICS_FILE
from rayseg.tracking.recorder import RunRecorder
from rayseg.tracking.tail import MetricsTail, read_metrics
from tests.unit.tracking.runs import train, val


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


@pytest.mark.parametrize(
    "head", ['"epoch": 0', '"epoch": 0, "time": "noon"', '"epoch": "x", "time": 1.5', '"time": 1.5']
)
def test_a_line_without_a_time_or_an_epoch_is_damaged(tmp_path: Path, head: str):
    good = '{"mode": "train", "iter": 2, "epoch": 0, "time": 1.5}'
    (tmp_path / METRICS_FILE).write_text(f'{{"mode": "train", "iter": 1, {head}, "loss": 1.0}}\n{good}\n')
    assert iters(read_metrics(tmp_path)) == [("train", 2)]


def test_what_another_has_given_is_left_out(tmp_path: Path):
    lines = [*(train(i) for i in (1, 2, 3)), val(3)]
    (tmp_path / "metrics.jsonl").write_bytes(b"".join(encode_record(record) for record in lines))
    cursor = {"train": 2}
    assert iters(MetricsTail(tmp_path, cursor).new_lines()) == [("train", 3), ("val", 3)]
    assert cursor == {"train": 2}
    assert len(list(MetricsTail(tmp_path).new_lines())) == 4


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
