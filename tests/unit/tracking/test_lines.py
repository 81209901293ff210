"""A run in words: interval lines as MM users know them, percent for fractions, events, how a run ended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rayseg.core.record import Record
from rayseg.tracking.lines import RunLines, duration, ending_lines, number, shown_path
from tests.unit.tracking.runs import attempt, event

NUMBERS = {
    "decode.loss_ce": 0.25,
    "grad_norm": 1.5,
    "iter_time": 0.5,
    "loss": 0.75,
    "data_time": 0.0123,
    "lr": 0.002,
    "lr.backbone": 0.001,
    "weight_decay.backbone": 0.05,
    "samples_per_s": 16.0,
    "eta_s": 83.9,
    "host_memory_mb": 812.4,
}


def scalars(mode: str, at_iter: int, epoch: int, data: dict[str, Any]) -> Record:
    return Record("scalars", at_iter, epoch, 0.0, mode=mode, data=data)


def begun(**facts: Any) -> RunLines:
    lines = RunLines()
    lines.of(attempt(1, **facts))
    return lines


def test_an_interval_line_reads_as_mmengines():
    line = begun(max_iters=300).of(scalars("train", 50, 2, NUMBERS))
    assert line == [
        (
            "INFO",
            "Iter(train) [ 50/300]  lr: 2.0000e-03  eta: 0:01:23  time: 0.5000  data_time: 0.0123  memory: 812  "
            "grad_norm: 1.5000  loss: 0.7500  decode.loss_ce: 0.2500",
        )
    ]


def test_memory_is_the_devices_when_there_is_one():
    (_, line), *_ = begun().of(scalars("train", 50, 0, {"memory_mb": 4000.2, "host_memory_mb": 812.4}))
    assert line.endswith("memory: 4000")


@pytest.mark.parametrize(
    ("at_iter", "epoch", "place"), [(10, 0, "[1][10/60]"), (60, 0, "[1][60/60]"), (65, 1, "[2][ 5/60]")]
)
def test_an_epoch_loop_counts_epochs(at_iter: int, epoch: int, place: str):
    (_, line), *_ = begun(max_iters=180, max_epochs=3).of(scalars("train", at_iter, epoch, {"loss": 1.0}))
    assert line == f"Epoch(train) {place}  loss: 1.0000"


def test_a_validation_of_an_epoch_loop_names_the_epochs_done():
    (_, line), *_ = begun(max_iters=180, max_epochs=3).of(scalars("val", 60, 1, {"mIoU": 0.5}))
    assert line == "Epoch(val) [1/3]  mIoU: 50.00 %"


def test_a_validation_shows_its_table_and_then_its_line_in_percent():
    data = {
        "mIoU": 0.9612,
        "aAcc": 1.0,
        "IoU.land": 0.98,
        "IoU.water": 0.94,
        "Acc.land": 0.99,
        "Acc.water": 0.9,
        "loss": 0.1,
    }
    lines = begun(max_iters=300).of(scalars("val", 300, 2, data))
    assert [text for _, text in lines] == [
        "class              IoU      Acc",
        "-------------  -------  -------",
        "land           98.00 %  99.00 %",
        "water (worst)  94.00 %  90.00 %",
        "-------------  -------  -------",
        "mean           96.00 %  94.50 %",
        "Iter(val) [300/300]  mIoU: 96.12 %  aAcc: 100.00 %  loss: 0.1000",
    ]
    assert len(begun().of(scalars("val", 300, 2, data), table=False)) == 1


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("loss", 0.69314, "0.6931"),
        ("loss", 0.00001, "1.0000e-05"),
        ("loss", 0.0, "0.0000"),
        ("loss", float("nan"), "nan"),
        ("loss", float("inf"), "inf"),
        ("queue", 3, "3"),
        ("mIoU", 0.98765, "98.77 %"),
        ("prefix/mDice", 0.5, "50.00 %"),
        ("IoU.a.b", 0.5, "50.00 %"),
        ("mIoU", float("nan"), "-"),
        ("mIoUx", 0.5, "0.5000"),
        ("eta_s", float("nan"), "-"),
        ("note", "text", "text"),
    ],
)
def test_numbers_for_people(name: str, value: Any, text: str):
    assert number(name, value) == text


def test_durations():
    assert duration(0) == "0:00:00"
    assert duration(90061) == "1 day, 1:01:01"
    assert duration(float("inf")) == "-"


@pytest.mark.parametrize(
    ("record", "lines"),
    [
        (
            attempt(1, global_batch_size=8, device="cpu"),
            [("INFO", "training begins (attempt 1, 2 workers, global batch 8, cpu, threads 1, seed 7)")],
        ),
        (
            attempt(2, "iter_60", reason="worker 1 died", world_size=1),
            [
                ("WARNING", "the workers were started again: worker 1 died"),
                ("INFO", "training goes on from iter_60 (attempt 2, 1 worker, threads 1, seed 7)"),
            ],
        ),
        (event("warning", message="careful"), [("WARNING", "careful")]),
        (
            event("checkpoint", name="iter_60", iter=60, bytes=12_345_678, seconds=0.5),
            [("INFO", "saved iter_60 (12.3 MB, 0.50 s)")],
        ),
        (event("best", metric="mIoU", value=0.5, iter=60), [("INFO", "best mIoU so far: 50.00 %")]),
        (event("best", metric="loss", value=0.5, iter=60), [("INFO", "best loss so far: 0.5000")]),
        (event("stopping", reason="SIGTERM"), [("WARNING", "stopping (SIGTERM): the state is saved first")]),
        (event("val_start"), []),
        (event("restored", iter=3), [("INFO", "restored: iter: 3")]),
        (
            event("hooks", table=[["before_run", [[10, "RuntimeInfoHook"], [50, "my"]]]]),
            [("INFO", "hooks, in the order of their calls:"), ("INFO", "  before_run: RuntimeInfoHook (10), my (50)")],
        ),
        (Record("image", 1, 0, 0.0, mode="val", data={"path": "visuals/a.png", "tag": "a"}), []),
    ],
)
def test_events_in_words(record: Record, lines: list[tuple[str, str]]):
    assert RunLines().of(record) == lines


def facts(**values: Any) -> dict[str, Any]:
    return {
        "status": "finished", "iter": 300, "best": {}, "last_checkpoint": "iter_300", "error": None,
        "launched": 0.0, "finished": 72.0, **values,
    }  # fmt: skip


def test_endings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    run_dir = tmp_path / "work_dirs" / "a"
    best = {"mIoU": {"value": 0.9612, "iter": 200}}
    where = ("INFO", "everything is in work_dirs/a")
    assert ending_lines(facts(best=best), run_dir) == [
        ("INFO", "finished: 300 iterations, 0:01:12; best mIoU 96.12 % at iteration 200"),
        where,
    ]
    assert ending_lines(facts(status="interrupted", iter=120, last_checkpoint="iter_120"), run_dir) == [
        ("WARNING", "interrupted at iteration 120, saved as iter_120; go on with: rayseg train work_dirs/a --resume"),
        where,
    ]
    assert ending_lines(facts(status="failed", iter=9, last_checkpoint=None, error="ValueError: x"), run_dir) == [
        ("ERROR", "failed at iteration 9, nothing was saved: ValueError: x"),
        where,
    ]


def test_a_path_elsewhere_is_shown_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert shown_path(tmp_path / "run") == str(tmp_path / "run")
