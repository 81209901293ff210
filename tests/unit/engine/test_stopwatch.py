"""Where the time of a run goes: every part is measured, and what is published adds up."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from rayseg.engine import stopwatch
from rayseg.engine.stopwatch import Part
from tests.unit.engine.training import At, hooks, iterations, train, validation


def test_a_part_adds_up_also_when_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([1.0, 3.0, 10.0, 14.5])
    monkeypatch.setattr(stopwatch, "perf_counter", lambda: next(times))
    part = Part()
    with part:
        pass
    with pytest.raises(KeyError), part:
        raise KeyError
    assert part.seconds == 6.5


def test_a_run_says_where_its_time_went(tmp_path: Path) -> None:
    pauses = [At("before_train_iter", 1, lambda _: time.sleep(0.05)), At("before_val", 2, lambda _: time.sleep(0.1))]
    begin = time.perf_counter()
    run = train(
        tmp_path, *pauses, train_cfg=iterations(4, val_interval=2), default_hooks=hooks(2), val_dataloader=validation()
    )
    whole = time.perf_counter() - begin
    told = run.events("times")
    assert len(told) == 3, "after each validation and at the end"
    first, last = told[0], told[-1]
    assert set(last) == {"data", "forward", "backward", "hooks", "validation", "checkpoint"}
    assert all(seconds > 0 for seconds in last.values())
    assert all(last[part] >= first[part] for part in last)
    assert last["hooks"] >= 0.05
    assert first["validation"] >= 0.1
    assert sum(last.values()) < whole
