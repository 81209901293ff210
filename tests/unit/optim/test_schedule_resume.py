"""Schedules that go on: the same learning rates after a resume, longer runs, and what hooks do in between."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.optim.schedule_run import FORMULAS, NAMES, Run


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_resumed_run_has_the_same_learning_rates_bit_for_bit(data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.sampled_from([cfg for cfg, _ in FORMULAS]), min_size=1, max_size=3))
    cfgs = []
    for cfg in chosen:
        begin = data.draw(st.integers(0, 15))
        cfgs.append(dict(cfg, begin=begin, end=data.draw(st.one_of(st.none(), st.integers(begin + 1, 35)))))
    cut = data.draw(st.integers(0, 30))
    whole = Run(cfgs, 30)
    expected = whole.curve(30)
    first = Run(cfgs, 30)
    first.curve(cut)
    second = Run(cfgs, 30)
    second.load(first.saved(), cut)
    assert second.curve(30 - cut) == expected[cut:]
    assert second.lrs == whole.lrs


@pytest.mark.parametrize("cfg", [cfg for cfg, _ in FORMULAS], ids=NAMES)
@pytest.mark.parametrize("explicit", [False, True])
def test_a_larger_max_iters_continues_as_if_it_had_been_meant(cfg: dict[str, Any], explicit: bool) -> None:
    """The schedule of the longer run from the resume on, twice in a row; with ``end`` unsaid or equal to the run's."""
    if explicit:
        cfg = dict(cfg, end=20)
    run = Run(cfg, 20)
    run.curve(20)
    for before, after in ((20, 30), (30, 45)):
        longer = Run(cfg, after)
        longer.load(run.saved(), before)
        meant = Run(dict(cfg, end=after) if explicit else cfg, after)
        meant.curve(before)
        assert longer.lrs == meant.lrs
        assert longer.curve(after - before) == meant.curve(after - before)
        run = longer


def test_an_explicit_t_max_and_total_steps_that_reach_to_the_end_move_with_it() -> None:
    for cfg, meant in (
        ({"type": "CosineAnnealingLR", "T_max": 20}, {"type": "CosineAnnealingLR"}),
        ({"type": "OneCycleLR", "eta_max": 0.1, "total_steps": 20}, {"type": "OneCycleLR", "eta_max": 0.1}),
    ):
        run = Run(cfg, 20)
        run.curve(20)
        longer = Run(cfg, 30)
        longer.load(run.saved(), 20)
        assert longer.curve(10) == Run(meant, 30).curve(30)[20:]


def test_an_end_before_the_runs_stays() -> None:
    cfg = {"type": "PolyLR", "end": 10, "eta_min": 1e-4}
    run = Run(cfg, 20)
    run.curve(20)
    longer = Run(cfg, 30)
    longer.load(run.saved(), 20)
    assert longer.curve(10) == [1e-4] * 10


def test_several_schedules_continue_together_whatever_the_order_of_loading() -> None:
    cfgs = [
        {"type": "LinearLR", "start_factor": 0.5, "end": 5},
        {"type": "PolyLR"},
        {"type": "StepLR", "step_size": 8, "end": 9},
    ]
    run = Run(cfgs, 20)
    run.curve(20)
    meant = Run(cfgs, 40)
    meant.curve(20)
    for order in ([0, 1, 2], [1, 2, 0], [2, 1, 0]):
        longer = Run(cfgs, 40)
        state = run.saved()
        longer.wrapper.load_state_dict(state["optim"])
        for index in order:
            longer.schedulers[index].load_state_dict(state["schedulers"][index])
        assert longer.lrs == meant.lrs


def test_what_a_hook_does_to_the_learning_rate_stays_a_multiple() -> None:
    plain = Run({"type": "PolyLR", "power": 0.9}, 20).curve(20)
    run = Run({"type": "PolyLR", "power": 0.9}, 20)
    run.curve(10)
    run.wrapper.param_groups[0]["lr"] *= 0.5
    resumed = Run({"type": "PolyLR", "power": 0.9}, 20)
    resumed.load(run.saved(), 10)
    rest = run.curve(10)
    assert rest == pytest.approx([lr / 2 for lr in plain[10:]])
    assert resumed.curve(10) == rest


def test_what_a_hook_sets_in_a_gap_stays() -> None:
    run = Run({"type": "StepLR", "step_size": 2, "end": 5}, 20)
    run.curve(8)
    run.wrapper.param_groups[0]["lr"] = 0.5
    assert run.curve(5) == [0.5] * 5
