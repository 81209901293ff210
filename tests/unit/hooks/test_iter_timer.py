"""IterTimerHook: data time, iteration time and the estimate of the end, by a clock that the test turns."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from rayseg.engine.message_hub import MessageHub
from rayseg.hooks import iter_timer
from rayseg.hooks.iter_timer import IterTimerHook


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now

    def turn(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The hook's clock."""
    clock = Clock()
    monkeypatch.setattr(iter_timer, "time", clock)
    return clock


@pytest.fixture
def runner() -> Any:
    """What the hook needs of a runner."""
    return SimpleNamespace(message_hub=MessageHub(), iter=0, max_iters=10)


def iteration(hook: IterTimerHook, runner: Any, clock: Clock, data: float, work: float) -> None:
    clock.turn(data)
    hook.before_train_iter(runner, batch_idx=runner.iter)
    clock.turn(work)
    hook.after_train_iter(runner, batch_idx=runner.iter)
    runner.iter += 1


def test_times_of_iterations(clock: Clock, runner: Any) -> None:
    hook = IterTimerHook()
    hook.before_train(runner)
    hook.before_train_epoch(runner)
    iteration(hook, runner, clock, data=1, work=2)
    iteration(hook, runner, clock, data=0.5, work=4)
    assert runner.message_hub.get_scalar("train/data_time").last() == [1, 0.5]
    assert runner.message_hub.get_scalar("train/time").last() == [3, 4.5]


def test_the_end_is_estimated_from_the_mean(clock: Clock, runner: Any) -> None:
    hook = IterTimerHook()
    hook.before_train(runner)
    hook.before_train_epoch(runner)
    iteration(hook, runner, clock, data=1, work=1)
    assert runner.message_hub.get_info("eta") == 2 * 9
    iteration(hook, runner, clock, data=1, work=3)
    assert runner.message_hub.get_info("eta") == 3 * 8


def test_at_the_last_iteration_nothing_is_left(clock: Clock, runner: Any) -> None:
    runner.iter = 9
    hook = IterTimerHook()
    hook.before_train(runner)
    hook.before_train_epoch(runner)
    iteration(hook, runner, clock, data=1, work=1)
    assert runner.message_hub.get_info("eta") == 0


def test_a_resumed_process_estimates_from_its_own_iterations(clock: Clock, runner: Any) -> None:
    hook = IterTimerHook()
    for start in (0, 5):
        runner.iter = start
        hook.before_train(runner)
        hook.before_train_epoch(runner)
        iteration(hook, runner, clock, data=0, work=1 + start)
    assert runner.message_hub.get_info("eta") == 6 * 4


def test_a_validation_is_no_time_of_training(clock: Clock, runner: Any) -> None:
    hook = IterTimerHook()
    hook.before_train(runner)
    hook.before_train_epoch(runner)
    iteration(hook, runner, clock, data=1, work=1)
    hook.before_val_epoch(runner)
    clock.turn(3)
    hook.before_val_iter(runner, batch_idx=0)
    clock.turn(50)
    hook.after_val_iter(runner, batch_idx=0)
    clock.turn(7)
    hook.after_val(runner)
    iteration(hook, runner, clock, data=0.25, work=1)
    hub = runner.message_hub
    assert hub.get_scalar("train/data_time").last() == [1, 0.25]
    assert hub.get_scalar("train/time").last() == [2, 1.25]
    assert hub.get_scalar("val/data_time").last() == [3]
    assert hub.get_scalar("val/time").last() == [53]
    assert hub.get_info("eta") == pytest.approx(8 * 3.25 / 2)
