"""HookList: order, dispatch lists, unique names, state, and what becomes of exceptions."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rayseg.core.errors import ConfigError
from rayseg.engine.hook import Hook
from rayseg.engine.hook_list import HookList

RUNNER: Any = SimpleNamespace(iter=7)


class Named(Hook):
    """Notes its name when training begins and when it ends."""

    def __init__(self, name: str, calls: list[str], error: Exception | None = None) -> None:
        self.name, self.calls, self.error = name, calls, error

    def before_train(self, runner: Any) -> None:
        self.calls.append(self.name)
        if self.error:
            raise self.error

    after_train = before_train


@settings(deadline=None)
@given(st.lists(st.integers(0, 100), max_size=12))
def test_lower_priorities_first_and_ties_in_order_of_registration(priorities: list[int]) -> None:
    calls: list[str] = []
    hooks = HookList()
    for index, priority in enumerate(priorities):
        hooks.register(Named(str(index), calls), priority=priority)
    hooks.call("before_train", RUNNER)
    assert calls == [str(i) for i in sorted(range(len(priorities)), key=lambda i: (priorities[i], i))]


def test_given_priority_then_the_classs_own_then_normal() -> None:
    class Early(Named):
        priority = "HIGH"

    calls: list[str] = []
    hooks = HookList()
    for hook, priority in (
        (Named("normal", calls), None),
        (Early("class", calls), None),
        (Early("given", calls), "VERY_LOW"),
        (Named("number", calls), 49),
    ):
        hooks.register(hook, priority=priority)
    hooks.call("before_train", RUNNER)
    assert calls == ["class", "number", "normal", "given"]


def test_a_stage_costs_only_the_hooks_that_have_it() -> None:
    hooks = HookList()
    for _ in range(5):
        hooks.register(Hook())
    hooks.register(Named("one", []), name="one")
    assert hooks.table() == [("before_train", [(50, "one")]), ("after_train", [(50, "one")])]
    assert len(hooks) == 6


def test_arguments_arrive() -> None:
    class Takes(Hook):
        def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
            self.got = (runner, metrics)

    hook = Takes()
    hooks = HookList()
    hooks.register(hook)
    hooks.call("after_val_epoch", RUNNER, metrics={"mIoU": 0.5})
    assert hook.got == (RUNNER, {"mIoU": 0.5})


@pytest.mark.parametrize("value", [Hook, object(), {"type": "LoggerHook"}])
def test_what_is_no_hook_is_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match="is not a hook: derive it from"):
        HookList().register(value)


def test_an_exception_says_hook_stage_and_iteration_and_ends_the_stage() -> None:
    calls: list[str] = []
    hooks = HookList()
    hooks.register(Named("bad", calls, ValueError("oh")), name="my_hook")
    hooks.register(Named("next", calls))
    with pytest.raises(ValueError, match="oh") as caught:
        hooks.call("before_train", RUNNER)
    assert caught.value.__notes__ == ["in hook my_hook, stage before_train, at iter 7"]
    assert calls == ["bad"]


def test_end_stages_reach_every_hook_and_raise_the_first_failure() -> None:
    calls: list[str] = []
    hooks = HookList()
    hooks.register(Named("a", calls, ValueError("first")), name="a")
    hooks.register(Named("b", calls, KeyError("second")))
    hooks.register(Named("c", calls))
    with pytest.raises(ValueError, match="first") as caught:
        hooks.call("after_train", RUNNER)
    assert calls == ["a", "b", "c"]
    assert caught.value.__notes__ == ["in hook a, stage after_train, at iter 7"]


class Counter(Hook):
    def __init__(self) -> None:
        self.count = 0

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.count = state["count"]


def counters(*names: str | None) -> tuple[HookList, list[Counter]]:
    hooks, made = HookList(), [Counter() for _ in names]
    for hook, name in zip(made, names, strict=True):
        hooks.register(hook, name=name)
    return hooks, made


def test_each_instance_has_its_own_state() -> None:
    hooks, made = counters(None, None, "mine", None)
    for hook in made:
        hook.count = random.randrange(1000)
    hooks.register(Hook())
    saved = hooks.state_dict()
    assert list(saved) == ["Counter", "Counter#2", "mine", "Counter#3"]

    others, restored = counters(None, None, "mine", None)
    assert others.load_state_dict(saved) == []
    assert [hook.count for hook in restored] == [hook.count for hook in made]


def test_a_saved_state_that_no_hook_answers_to_is_told() -> None:
    hooks, (mine,) = counters("mine")
    assert hooks.load_state_dict({"gone": {"count": 1}, "mine": {"count": 2}}) == ["gone"]
    assert mine.count == 2
