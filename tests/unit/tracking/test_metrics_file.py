"""metrics.jsonl: strict JSON, full digits, each (mode, iter) once, torn lines mended, cut back to a checkpoint."""

from __future__ import annotations

import errno
import json
import math
import os
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rayseg.core.record import Record
from rayseg.tracking.files import RecordingError
from rayseg.tracking.json_lines import decode_line, encode, encode_record
from rayseg.tracking.metrics_file import MetricsFile, Position
from tests.unit.tracking.runs import Checkpoint, read, train, val, without_times


@pytest.fixture
def metrics(tmp_path: Path):
    file = MetricsFile(tmp_path / "metrics.jsonl")
    yield file
    file.close()


def test_a_line_holds_the_head_then_the_data_in_the_order_given():
    line = encode_record(Record("scalars", 20, 1, 5.5, mode="train", data={"z": 1, "a": 0.1}))
    assert line == b'{"mode": "train", "iter": 20, "epoch": 1, "time": 5.5, "z": 1, "a": 0.1}\n'


def test_data_cannot_overwrite_the_head():
    line = encode_record(Record("scalars", 20, 1, 5.5, mode="train", data={"time": 0.3, "iter": -1}))
    assert json.loads(line) == {"mode": "train", "iter": 20, "epoch": 1, "time": 5.5}


def test_nan_is_null_and_infinities_are_strings():
    line = encode_record(train(1, a=math.nan, b=math.inf, c=-math.inf, d=[math.nan, {"e": math.inf}]))
    assert b'"a": null, "b": "Infinity", "c": "-Infinity", "d": [null, {"e": "Infinity"}]' in line
    value = decode_line(line)
    assert math.isnan(value["a"])
    assert value["b"] == math.inf
    assert value["c"] == -math.inf
    assert value["d"][1] == {"e": math.inf}


@given(st.floats() | st.integers() | st.booleans() | st.text().filter(lambda text: "Infinity" not in text))
def test_values_come_back_as_they_were(value: Any):
    line = encode_record(Record("scalars", 1, 0, 0.0, mode="val", data={"x": value}))
    if isinstance(value, str):
        value = value.encode("utf-8", "replace").decode()
    found = decode_line(line)["x"]
    assert type(found) is type(value)
    assert found == value or (math.isnan(found) and math.isnan(value))
    assert line.count(b"\n") == 1


def test_numpy_scalars_are_numbers_and_arrays_are_refused():
    numpy = pytest.importorskip("numpy")
    assert (
        encode({"a": numpy.float64(0.1), "b": numpy.int32(3), "c": numpy.float32(0.5)})
        == '{"a": 0.1, "b": 3, "c": 0.5}'
    )
    with pytest.raises(TypeError, match="JSON values only, found ndarray"):
        encode({"a": numpy.zeros(3)})


@pytest.mark.parametrize(
    "line", ["", "{", "[1]", "null", '{"mode": 1, "iter": 2}', '{"mode": "val", "iter": true}', "\0\0"]
)
def test_damaged_lines_are_none(line: str):
    assert decode_line(line) is None


@pytest.mark.parametrize("torn", [b"{", b'{"mode": "train", "iter": 3', b"\0\0\0\0", b'{"mode": "train"}', b"\xff\xfe"])
def test_a_torn_last_line_is_cut_off(tmp_path: Path, torn: bytes):
    path = tmp_path / "metrics.jsonl"
    whole = encode_record(train(1)) + encode_record(train(2))
    path.write_bytes(whole + torn)
    file = MetricsFile(path)
    assert path.read_bytes() == whole
    assert file.append(train(3))
    file.close()
    assert [line["iter"] for line in read(path)] == [1, 2, 3]


def test_a_whole_last_line_without_newline_is_kept(tmp_path: Path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(encode_record(train(1)) + encode_record(train(2))[:-1])
    MetricsFile(path).close()
    assert path.read_bytes() == encode_record(train(1)) + encode_record(train(2))


def test_a_torn_line_longer_than_a_block_is_cut_off(tmp_path: Path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(encode_record(train(1)) + b'{"x": "' + b"a" * 200_000)
    MetricsFile(path).close()
    assert path.read_bytes() == encode_record(train(1))


def test_an_iteration_that_is_there_stays_as_it_is(tmp_path: Path, metrics: MetricsFile):
    assert metrics.append(train(10))
    assert metrics.append(val(10))
    assert not metrics.append(train(10, loss=99.0))
    assert not metrics.append(train(5))
    reopened = MetricsFile(metrics.path)
    assert not reopened.append(train(10, loss=99.0))
    assert reopened.append(train(11))
    reopened.close()
    assert [(line["mode"], line["iter"]) for line in read(metrics.path)] == [("train", 10), ("val", 10), ("train", 11)]


def test_cutting_back_moves_what_is_beyond(tmp_path: Path, metrics: MetricsFile):
    for record in (train(10), val(10), train(20), val(20), train(30)):
        metrics.append(record)
    visited: list[dict] = []
    counts = metrics.cut_back(Position(20, "val_due"), [], tmp_path / "moved.jsonl", visited.append)
    assert counts == {"kept": 3, "added": 0, "moved": 2, "damaged": 0}
    assert [(line["mode"], line["iter"]) for line in read(metrics.path)] == [("train", 10), ("val", 10), ("train", 20)]
    assert [(line["mode"], line["iter"]) for line in read(tmp_path / "moved.jsonl")] == [("val", 20), ("train", 30)]
    assert [line["iter"] for line in visited] == [10]
    assert metrics.append(val(20)), "the validation that was due is made again"


def test_the_validation_of_a_checkpoint_after_it_stays(tmp_path: Path, metrics: MetricsFile):
    for record in (train(10), val(10), train(20), val(20)):
        metrics.append(record)
    before = metrics.path.read_bytes()
    assert metrics.cut_back(Position(20), [], tmp_path / "moved.jsonl")["moved"] == 0
    assert metrics.path.read_bytes() == before
    assert not (tmp_path / "moved.jsonl").exists()
    assert not metrics.append(val(20))


def test_what_a_checkpoint_carries_is_added_in_its_place(tmp_path: Path, metrics: MetricsFile):
    for record in (train(10), train(30), train(40)):
        metrics.append(record)
    carried = [train(10), val(10), train(20), train(30), val(30), train(40)]
    counts = metrics.cut_back(Position(30, "val_due"), carried, tmp_path / "moved.jsonl")
    assert counts == {"kept": 2, "added": 2, "moved": 1, "damaged": 0}
    found = [(line["mode"], line["iter"]) for line in read(metrics.path)]
    assert found == [("train", 10), ("val", 10), ("train", 20), ("train", 30)]


def test_damaged_and_double_lines_leave_the_file(tmp_path: Path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(
        encode_record(train(10)) + b"rubbish\n" + encode_record(train(10, loss=2.0)) + encode_record(train(20))
    )
    file = MetricsFile(path)
    counts = file.cut_back(Position(20), [], tmp_path / "moved.jsonl")
    file.close()
    assert counts == {"kept": 2, "added": 0, "moved": 1, "damaged": 1}
    assert [line["loss"] for line in read(path)] == [train(10).data["loss"], train(20).data["loss"]]
    assert read(tmp_path / "moved.jsonl")[0]["loss"] == 2.0


def test_moving_twice_adds_nothing_twice(tmp_path: Path, metrics: MetricsFile):
    """A crash between the two replacements leaves the lines in both files; the next attempt cuts back again."""
    metrics.append(train(10))
    metrics.append(train(20))
    before = metrics.path.read_bytes()
    metrics.cut_back(Position(10), [], tmp_path / "moved.jsonl")
    metrics.path.write_bytes(before)
    metrics.cut_back(Position(10), [], tmp_path / "moved.jsonl")
    assert [line["iter"] for line in read(tmp_path / "moved.jsonl")] == [20]
    assert [line["iter"] for line in read(metrics.path)] == [10]


def test_lines_reach_the_other_file_before_they_leave_this_one(
    tmp_path: Path, metrics: MetricsFile, monkeypatch: pytest.MonkeyPatch
):
    metrics.append(train(10))
    metrics.append(train(20))
    before = metrics.path.read_bytes()
    real = os.replace

    def replace_others(source: Path, target: Path) -> None:
        if target == metrics.path:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        real(source, target)

    monkeypatch.setattr(os, "replace", replace_others)
    with pytest.raises(RecordingError, match=r"metrics\.jsonl: cannot be written: Read-only file system"):
        metrics.cut_back(Position(10), [], tmp_path / "moved.jsonl")
    assert metrics.path.read_bytes() == before
    assert [line["iter"] for line in read(tmp_path / "moved.jsonl")] == [20]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["metrics.jsonl", "moved.jsonl"]


@dataclass(frozen=True)
class Crash:
    """The workers come this far beyond their start; the owner had written fewer; then some bytes of a line."""

    progress: int
    owner_lag: int
    torn: int


CARRIED = 8
crashes = st.lists(st.builds(Crash, st.integers(0, 30), st.integers(0, CARRIED), st.integers(0, 40)), max_size=5)


def whole_run(log_every: int, val_every: int, save_every: int, iters: int) -> list[Record | Checkpoint]:
    """What workers do, in order: numbers, checkpoints before validation, validations, checkpoints of the best."""
    steps: list[Record | Checkpoint] = []
    recent: list[Record] = []
    for at in range(1, iters + 1):
        if at % log_every == 0:
            recent.append(train(at))
            steps.append(recent[-1])
        val_due = at % val_every == 0
        if at % save_every == 0:
            steps.append(Checkpoint(at, "val_due" if val_due else "train", recent[-CARRIED:]))
        if val_due:
            recent.append(val(at))
            steps.append(recent[-1])
            if at % save_every and at % 2:
                steps.append(Checkpoint(at, "train", recent[-CARRIED:]))
    return steps


def play_attempt(path: Path, steps: list, start: int, stop: int, crash: Crash, number: int) -> list[Record]:
    """One owner process: opens, cuts back to the checkpoint before ``start``, writes what workers do until ``stop``."""
    file = MetricsFile(path)
    checkpoint = steps[start - 1] if start else Checkpoint(0, "train", [])
    moved_to = path.with_name(f"metrics.attempt_{number}.jsonl")
    file.cut_back(Position(checkpoint.iter, checkpoint.phase), checkpoint.carried, moved_to)
    done = [replace(step, time=float(number)) for step in steps[start:stop] if isinstance(step, Record)]
    written = done[: len(done) - crash.owner_lag] if crash.owner_lag else done
    for record in written:
        file.append(record)
    file.close()
    if crash.torn and len(written) < len(done):
        with path.open("ab") as tail:
            tail.write(encode_record(done[len(written)])[: crash.torn])
    return written


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 4), st.integers(1, 7), st.integers(1, 6), crashes)
def test_any_crashes_and_restarts_give_the_uninterrupted_file(log_every, val_every, save_every, crashes):
    steps = whole_run(log_every, val_every, save_every, 30)
    wanted = [json.loads(encode_record(step)) for step in steps if isinstance(step, Record)]
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "metrics.jsonl")
        written: list[Record] = []
        start = 0
        for number, crash in enumerate(crashes):
            stop = min(start + crash.progress, len(steps))
            written += play_attempt(path, steps, start, stop, crash, number)
            start = max((i + 1 for i in range(stop) if isinstance(steps[i], Checkpoint)), default=0)
        written += play_attempt(path, steps, start, len(steps), Crash(0, 0, 0), len(crashes))
        found = read(path)
        moved = [line for other in Path(directory).glob("metrics.attempt_*.jsonl") for line in read(other)]
        assert not list(Path(directory).glob(".*")), "temporary files are left"
    assert without_times(found) == without_times(wanted)
    lines = {json.dumps(line) for line in found + moved}
    assert {json.dumps(json.loads(encode_record(record))) for record in written} <= lines, "a written line is lost"
