"""EMAHook: the average by hand, validation with it, when it begins, and the arguments that it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from rayseg.core.errors import ConfigError
from rayseg.engine import state
from rayseg.engine.hook import Hook
from rayseg.hooks.ema import EMAHook
from tests.unit.engine.training import At, Run, Stop, build, epochs, iterations, train

NAME = "net.head.weight"


class Watch(Hook):
    """The head's weights after each iteration, in validation, and after it."""

    priority = "LOWEST"

    def __init__(self) -> None:
        self.raw: list[torch.Tensor] = []
        self.in_val: dict[int, torch.Tensor] = {}
        self.after: dict[int, torch.Tensor] = {}
        self.steps: list[int] = []

    def _weights(self, runner: Any) -> torch.Tensor:
        return runner.model.state_dict()[NAME].clone()

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        self.raw.append(self._weights(runner))
        self.steps.append(next(h for h in runner.hooks if isinstance(h, EMAHook)).average.steps)

    def before_val_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        self.in_val[runner.iter] = self._weights(runner)

    def after_val(self, runner: Any) -> None:
        self.after[runner.iter] = self._weights(runner)


def averaged(tmp_path: Path, train_cfg: dict[str, Any], **options: Any) -> tuple[Run, Watch]:
    watch = Watch()
    hook = {"type": "EMAHook", "momentum": 0.25, **options}
    return train(tmp_path, watch, train_cfg=train_cfg, custom_hooks=[hook], param_scheduler=None), watch


def by_hand(raw: list[torch.Tensor], momentum: float) -> torch.Tensor:
    average = raw[0].clone()
    for weights in raw[1:]:
        average = average + momentum * (weights - average)
    return average


def exported(run: Run) -> torch.Tensor:
    return state.load_model_file(run.runner.checkpointer.store.load("last"))[NAME]


def test_validation_uses_the_average_and_training_goes_on_with_the_raw_weights(tmp_path: Path) -> None:
    run, watch = averaged(tmp_path, iterations(6, val_interval=3))
    for at in (3, 6):
        torch.testing.assert_close(watch.in_val[at], by_hand(watch.raw[:at], 0.25))
        assert torch.equal(watch.after[at], watch.raw[at - 1])
    torch.testing.assert_close(exported(run), by_hand(watch.raw, 0.25))


def test_the_average_does_not_disturb_training(tmp_path: Path) -> None:
    with_average, _ = averaged(tmp_path / "a", iterations(6, val_interval=3))
    without = train(tmp_path / "b", train_cfg=iterations(6, val_interval=3), param_scheduler=None)
    one, other = with_average.runner.model.state_dict(), without.runner.model.state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("name", ["begin_iter", "start_iters"])
def test_it_begins_at_an_iteration_with_a_copy(tmp_path: Path, name: str) -> None:
    run, watch = averaged(tmp_path, iterations(8, val_interval=2), **{name: 5})
    assert watch.steps == [0, 0, 0, 0, 1, 2, 3, 4]
    assert torch.equal(watch.in_val[4], watch.raw[3]), "until then the live weights are validated"
    torch.testing.assert_close(watch.in_val[6], by_hand(watch.raw[4:6], 0.25))
    torch.testing.assert_close(exported(run), by_hand(watch.raw[4:], 0.25))


def test_it_may_begin_by_epochs(tmp_path: Path) -> None:
    _, watch = averaged(tmp_path, epochs(3), begin_epoch=2)
    assert watch.steps == [0] * 4 + [*range(1, 9)]


def test_nothing_is_averaged_before_it_begins(tmp_path: Path) -> None:
    watch, stop = Watch(), Stop()
    hook = {"type": "EMAHook", "begin_iter": 100}
    asks = At("after_train_iter", 1, stop)
    run = train(tmp_path, watch, asks, stop=stop, train_cfg=iterations(100), custom_hooks=[hook], param_scheduler=None)
    assert torch.equal(exported(run), watch.raw[-1])
    training = state.load_torch(run.runner.checkpointer.store.load("last"), "training_state.pt")
    assert training["raw_weights"] == {}


@pytest.mark.parametrize(
    ("train_cfg", "options", "message"),
    [
        (iterations(3), {"begin_iter": 4}, "EMAHook.begin_iter: 4 is beyond the end of the run, 3"),
        (epochs(3), {"begin_epoch": 4}, "EMAHook.begin_epoch: 4 is beyond the end of the run, 3"),
        (iterations(8), {"begin_epoch": 3}, "EMAHook.begin_epoch: 3 is beyond the end of the run, 2"),
    ],
)
def test_an_average_that_never_begins_is_refused(
    tmp_path: Path, train_cfg: dict[str, Any], options: dict[str, int], message: str
) -> None:
    run = build(tmp_path, train_cfg=train_cfg, custom_hooks=[{"type": "EMAHook", **options}], param_scheduler=None)
    with pytest.raises(ConfigError, match=message):
        run.runner.train()
    assert run.scalars("train") == {}


def test_other_averages(tmp_path: Path) -> None:
    run, watch = averaged(tmp_path, iterations(5), ema_type="StochasticWeightAverage")
    torch.testing.assert_close(exported(run), torch.stack(watch.raw).mean(0))


def test_an_interval(tmp_path: Path) -> None:
    """The first update, then each second one."""
    run, watch = averaged(tmp_path, iterations(6), interval=2)
    torch.testing.assert_close(exported(run), by_hand(watch.raw[0::2], 0.25))


@pytest.mark.parametrize("update_buffers", [True, False])
def test_buffers_are_the_live_ones_unless_they_are_averaged(tmp_path: Path, update_buffers: bool) -> None:
    run, _ = averaged(tmp_path, iterations(6), update_buffers=update_buffers)
    name = "net.encoder.1.running_mean"
    saved = state.load_model_file(run.runner.checkpointer.store.load("last"))[name]
    assert torch.equal(saved, run.runner.model.state_dict()[name]) != update_buffers


@pytest.mark.parametrize("update_buffers", [True, False])
def test_a_resume_has_the_same_average(tmp_path: Path, update_buffers: bool) -> None:
    options = {"begin_iter": 2, "update_buffers": update_buffers}
    straight, _ = averaged(tmp_path / "a", iterations(8), **options)
    averaged(tmp_path / "b", iterations(5), **options)
    resumed, watch = averaged(tmp_path / "b", iterations(8), **options)
    assert watch.steps == [5, 6, 7]
    one, other = (state.load_model_file(run.runner.checkpointer.store.load("last")) for run in (straight, resumed))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"begin_iter": 1, "start_iters": 2}, "give begin_iter or start_iters, which mean the same, not both"),
        ({"begin_iter": 1, "begin_epoch": 1}, "give begin_iter or begin_epoch, not both"),
        ({"start_iters": 1, "begin_epoch": 1}, "give begin_iter or begin_epoch, not both"),
    ],
)
def test_contradictions_are_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        EMAHook(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "ignored"),
    [
        ({"gamma": 5}, ["gamma"]),
        ({"ema_type": "StochasticWeightAverage", "momentum": 0.1, "gamma": 5}, ["gamma", "momentum"]),
        ({"ema_type": "MomentumAnnealingEMA", "momentum": 0.1, "gamma": 5}, []),
        ({"strict_load": False}, ["strict_load"]),
    ],
)
def test_what_its_kind_has_no_use_for_is_noted(options: dict[str, Any], ignored: list[str]) -> None:
    assert [note.split()[0] for note in EMAHook(**options).notes] == [f"EMAHook.{name}" for name in ignored]


def test_a_wrong_momentum_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"EMAHook.momentum: expected a number above 0 and below 1, found 2"):
        build(tmp_path, custom_hooks=[{"type": "EMAHook", "momentum": 2.0}]).runner.train()


def test_a_test_has_no_average_of_its_own(tmp_path: Path) -> None:
    """The weights that are tested are the saved ones already."""
    from rayseg.engine.build import build_testing, resolve_config
    from rayseg.engine.host import LocalHost
    from tests.toys import toy_config

    config = resolve_config(toy_config(custom_hooks=[{"type": "EMAHook"}]))
    runner = build_testing(config, LocalHost(device="cpu"), tmp_path)
    assert runner.test() is not None
    assert next(hook for hook in runner.hooks if isinstance(hook, EMAHook)).average is None
