"""Hook: stages and their fallbacks, priorities, refused names, and the period helpers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from rayseg.core.errors import ConfigError
from rayseg.engine.hook import FALLBACKS, PRIORITIES, STAGES, Hook, overrides, priority_number
from rayseg.engine.hook_list import HookList

ITER_STAGES = [stage for stage in FALLBACKS if stage.endswith("_iter")]
EPOCH_STAGES = [stage for stage in FALLBACKS if stage.endswith("_epoch")]


def test_the_stages_are_mmengines() -> None:
    assert len(STAGES) == len(set(STAGES)) == 22
    assert {"before_run", "after_run", "before_save_checkpoint", "after_load_checkpoint"} < set(STAGES)
    assert len(ITER_STAGES) == len(EPOCH_STAGES) == 6


class Fallbacks(Hook):
    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def _before_epoch(self, runner: Any, **given: Any) -> None:
        self.calls.append(("_before_epoch", given))

    def _after_epoch(self, runner: Any, **given: Any) -> None:
        self.calls.append(("_after_epoch", given))

    def _before_iter(self, runner: Any, **given: Any) -> None:
        self.calls.append(("_before_iter", given))

    def _after_iter(self, runner: Any, **given: Any) -> None:
        self.calls.append(("_after_iter", given))


@pytest.mark.parametrize("mode", ["train", "val", "test"])
def test_fallbacks_get_the_mode_and_all_that_the_stage_gets(mode: str) -> None:
    hook = Fallbacks()
    getattr(hook, f"before_{mode}_epoch")(None)
    getattr(hook, f"before_{mode}_iter")(None, 3, {"inputs": 1})
    getattr(hook, f"after_{mode}_iter")(None, 3, {"inputs": 1}, {"loss": 2})
    getattr(hook, f"after_{mode}_epoch")(None)
    assert hook.calls == [
        ("_before_epoch", {"mode": mode}),
        ("_before_iter", {"mode": mode, "batch_idx": 3, "data_batch": {"inputs": 1}}),
        ("_after_iter", {"mode": mode, "batch_idx": 3, "data_batch": {"inputs": 1}, "outputs": {"loss": 2}}),
        ("_after_epoch", {"mode": mode}),
    ]


@pytest.mark.parametrize("stage", STAGES)
def test_a_plain_hook_overrides_nothing(stage: str) -> None:
    assert not overrides(Hook(), stage)
    assert overrides(Fallbacks(), stage) == (stage in FALLBACKS)


def test_a_stage_set_on_the_instance_counts() -> None:
    hook = Hook()
    hook.after_train = lambda runner: None  # type: ignore[method-assign]
    assert overrides(hook, "after_train")
    assert not overrides(hook, "after_run")


def test_a_stage_inherited_from_a_users_base_class_counts() -> None:
    class Base(Hook):
        def after_val(self, runner: Any) -> None: ...

    class Derived(Base):
        pass

    assert overrides(Derived(), "after_val")


@pytest.mark.parametrize(
    ("name", "meant"),
    [("after_train_itr", "after_train_iter"), ("before_trian", "before_train"), ("_after_itre", "_after_iter")],
)
def test_a_method_that_looks_like_a_stage_is_refused(name: str, meant: str) -> None:
    with pytest.raises(ConfigError, match=f"Wrong.{name} is not a hook stage; did you mean '{meant}'"):
        type("Wrong", (Hook,), {name: lambda self, runner: None})


def test_other_methods_are_the_users_own() -> None:
    assert type("Right", (Hook,), {"run_after_train": lambda self: None, "beforehand": lambda self: None})


@pytest.mark.parametrize(("priority", "number"), [*PRIORITIES.items(), ("very_low", 90), (0, 0), (45, 45), (100, 100)])
def test_priorities(priority: int | str, number: int) -> None:
    assert priority_number(priority) == number


@pytest.mark.parametrize("priority", [-1, 101, True, 1.5, None, "", "NORMALL"])
def test_wrong_priorities(priority: Any) -> None:
    with pytest.raises(ConfigError, match="expected an int from 0 to 100 or one of HIGHEST") as caught:
        priority_number(priority)
    assert ("did you mean 'NORMAL'" in str(caught.value)) == (priority == "NORMALL")


def run(**counts: int) -> Any:
    return SimpleNamespace(**counts)


def test_the_first_iteration_is_number_one() -> None:
    hook = Hook()
    assert [i for i in range(9) if hook.every_n_train_iters(run(iter=i), 3)] == [2, 5, 8]
    assert [i for i in range(9) if hook.every_n_train_iters(run(iter=i), 3, start=2)] == [1, 4, 7]
    assert [e for e in range(6) if hook.every_n_epochs(run(epoch=e), 2)] == [1, 3, 5]
    assert [i for i in range(6) if hook.every_n_inner_iters(i, 2)] == [1, 3, 5]


def test_a_period_of_zero_never_comes() -> None:
    hook = Hook()
    assert not any(hook.every_n_train_iters(run(iter=i), 0) or hook.every_n_inner_iters(i, -1) for i in range(5))


def test_the_last_ones() -> None:
    hook = Hook()
    assert [i for i in range(5) if hook.is_last_train_iter(run(iter=i, max_iters=4))] == [3]
    assert [e for e in range(5) if hook.is_last_train_epoch(run(epoch=e, max_epochs=2))] == [1]
    assert [i for i in range(5) if hook.end_of_epoch([0, 0, 0], i)] == [2]


def test_a_mixin_may_not_hide_a_misspelt_stage() -> None:
    mixin = type("Mixin", (), {"after_train_itr": lambda self, runner: None})
    with pytest.raises(ConfigError, match=r"Wrong\.after_train_itr is not a hook stage"):
        type("Wrong", (mixin, Hook), {})


@pytest.mark.parametrize("name", ["aftr_train_iter", "befor_run", "afterrun"])
def test_a_stage_misspelt_at_its_beginning_is_refused_too(name: str) -> None:
    with pytest.raises(ConfigError, match=f"Wrong.{name} is not a hook stage; did you mean"):
        type("Wrong", (Hook,), {name: lambda self, runner: None})


def test_triggered_stages_are_those_that_are_overridden() -> None:
    assert Hook().get_triggered_stages() == []
    assert Fallbacks().get_triggered_stages() == [stage for stage in Hook.stages if stage in FALLBACKS]


def test_iterations_under_their_older_name() -> None:
    hook = Hook()
    assert [at for at in range(12) if hook.every_n_iters(run(iter=at), 4)] == [3, 7, 11]
    assert [at for at in range(12) if hook.every_n_iters(run(iter=at), 4, start=3)] == [2, 6, 10]


@pytest.mark.parametrize(
    ("stage", "method", "expected"),
    [
        ("after_train_iter", lambda self, runner: None, "(runner, batch_idx, data_batch, outputs)"),
        ("after_train_iter", lambda self, runner, batch_idx, data, outputs: None, "(runner, batch_idx, data_batch"),
        ("after_val_epoch", lambda self, runner: None, "(runner, metrics)"),
        ("before_save_checkpoint", lambda self, runner: None, "(runner, checkpoint)"),
        ("before_run", lambda self: None, "(runner)"),
    ],
)
def test_a_stage_that_cannot_be_called_is_refused_when_it_is_registered(stage: str, method: Any, expected: str) -> None:
    hook = type("Wrong", (Hook,), {stage: method})()
    with pytest.raises(ConfigError) as caught:
        HookList().register(hook)
    assert f"Wrong.{stage} cannot be called" in str(caught.value)
    assert f"its arguments are {expected}" in str(caught.value)
