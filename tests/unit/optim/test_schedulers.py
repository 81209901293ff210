"""Schedules against their formulas, chained, by iteration and epoch, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from rayseg.core.errors import ConfigError
from rayseg.core.registries import PARAM_SCHEDULERS
from rayseg.optim.schedule import ParamScheduler
from rayseg.optim.schedulers import build_param_schedulers
from rayseg.optim.simple_schedules import StepLR
from tests.unit.optim.schedule_run import FORMULAS, HEAD_LR, LR, NAMES, Run, wrapper_of

FAMILIES = {"Momentum": "momentum", "WeightDecay": "weight_decay"}


def test_every_registered_name_has_a_formula_here() -> None:
    """Except the one that follows a metric; and each shape has the same name for what it schedules."""
    names = sorted(set(PARAM_SCHEDULERS.known()) - {"PolyLRRatio"})
    assert {cfg["type"] for cfg, _ in FORMULAS} | {"ReduceOnPlateauLR"} == {n for n in names if n.endswith("LR")}
    shapes = {name.removesuffix("LR") for name in names if name.endswith("LR")} - {"WSD"}
    for suffix, but in (("Momentum", {"OneCycle"}), ("WeightDecay", {"OneCycle"}), ("ParamScheduler", set[str]())):
        assert {name.removesuffix(suffix) for name in names if name.endswith(suffix)} == shapes - but
    for name in names:
        shape = next(name.removesuffix(end) for end in ("LR", *FAMILIES, "ParamScheduler") if name.endswith(end))
        scheduler = PARAM_SCHEDULERS.resolve(name)
        assert isinstance(scheduler, type)
        assert issubclass(scheduler, PARAM_SCHEDULERS.resolve(f"{shape}LR"))  # type: ignore[arg-type]
        assert scheduler.__name__ == name


@pytest.mark.parametrize(("cfg", "formula"), FORMULAS, ids=NAMES)
def test_the_whole_run_is_the_window_when_no_end_is_given(cfg: dict[str, Any], formula: Callable[[int], float]) -> None:
    assert Run(cfg, 20).curve(20) == pytest.approx([formula(t) for t in range(20)], rel=1e-9, abs=1e-15)


@pytest.mark.parametrize(("cfg", "formula"), FORMULAS, ids=NAMES)
def test_before_the_window_nothing_and_after_it_the_last_value(
    cfg: dict[str, Any], formula: Callable[[int], float]
) -> None:
    curve = Run(dict(cfg, begin=5, end=25), 30).curve(30)
    expected = [LR] * 5 + [formula(t) for t in range(20)] + [formula(19)] * 5
    assert curve == pytest.approx(expected, rel=1e-9, abs=1e-15)


@pytest.mark.parametrize("cfg", [cfg for cfg, _ in FORMULAS if "eta_min" not in cfg], ids=lambda cfg: cfg["type"])
def test_groups_keep_their_multiple(cfg: dict[str, Any]) -> None:
    run = Run(cfg, 20)
    for _ in range(20):
        assert run.lrs[1] == pytest.approx(10 * run.lrs[0])
        run.step()


def test_an_absolute_minimum_is_the_same_for_every_group() -> None:
    run = Run({"type": "PolyLR", "eta_min": 1e-3}, 11)
    run.curve(10)
    assert run.lrs == (1e-3, 1e-3)


def test_poly_raises_a_group_whose_lr_is_below_the_minimum() -> None:
    run = Run({"type": "PolyLR", "eta_min": 0.05}, 11)
    run.curve(5)
    assert run.lrs == pytest.approx((0.03, 0.075))


def test_warm_up_then_poly() -> None:
    cfgs = [
        {"type": "LinearLR", "start_factor": 0.1, "begin": 0, "end": 10, "by_epoch": False},
        {"type": "PolyLR", "power": 0.9, "eta_min": 1e-4, "begin": 10, "end": 30, "by_epoch": False},
    ]
    expected = [LR * (0.1 + 0.9 * t / 9) for t in range(10)]
    expected += [1e-4 + (LR - 1e-4) * (1 - t / 19) ** 0.9 for t in range(20)]
    for listed in (cfgs, cfgs[::-1]):
        assert Run(listed, 30).curve(30) == pytest.approx(expected, rel=1e-9)


def test_overlapping_schedules_multiply_and_gaps_hold() -> None:
    cfgs = [
        {"type": "LinearLR", "start_factor": 0.5, "end": 5},
        {"type": "PolyLR", "end": 20},
        {"type": "StepLR", "step_size": 1, "gamma": 0.1, "begin": 25, "end": 27},
    ]
    expected = [LR * (0.5 + 0.5 * min(t, 4) / 4) * (1 - min(t, 19) / 19) * (0.1 if t >= 26 else 1.0) for t in range(30)]
    assert Run(cfgs, 30).curve(30) == pytest.approx(expected, abs=1e-15)


def test_a_later_window_begins_from_what_the_earlier_ones_give() -> None:
    cfgs = [
        {"type": "StepLR", "step_size": 3, "gamma": 0.1, "end": 5},
        {"type": "PolyLR", "begin": 10, "end": 15, "eta_min": 1e-4},
    ]
    curve = Run(cfgs, 15).curve(15)
    assert curve[9:] == pytest.approx([1e-3, *(1e-4 + 9e-4 * (1 - t / 4) for t in range(5))])


def test_by_epoch_is_what_the_loop_counts() -> None:
    by_epoch = Run({"type": "StepLR", "step_size": 1, "gamma": 0.5}, 15, by_epoch_loop=True)
    assert by_epoch.schedulers[0].by_epoch is True
    assert by_epoch.curve(15) == pytest.approx([LR] * 5 + [LR / 2] * 5 + [LR / 4] * 5)
    by_iter = Run({"type": "StepLR", "step_size": 1, "gamma": 0.5}, 15)
    assert by_iter.schedulers[0].by_epoch is False
    assert by_iter.curve(3) == pytest.approx([LR, LR / 2, LR / 4])


def test_the_end_of_a_run_by_epochs() -> None:
    run = Run({"type": "PolyLR"}, 15, by_epoch_loop=True)
    assert run.curve(15) == pytest.approx([LR] * 5 + [LR / 2] * 5 + [0.0] * 5)


def test_iterations_and_epochs_mix() -> None:
    cfgs = [
        {"type": "LinearLR", "start_factor": 0.5, "end": 5, "by_epoch": False},
        {"type": "StepLR", "step_size": 1, "by_epoch": True},
    ]
    expected = [LR * (0.5 + 0.5 * min(t, 4) / 4) * 0.1 ** (t // 5) for t in range(15)]
    assert Run(cfgs, 15, by_epoch_loop=True).curve(15) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("in_epochs", "in_iters"),
    [
        ({"type": "LinearLR", "end": 2}, {"type": "LinearLR", "end": 10}),
        ({"type": "StepLR", "step_size": 1, "begin": 1}, {"type": "StepLR", "step_size": 5, "begin": 5}),
        ({"type": "MultiStepLR", "milestones": [1, 2]}, {"type": "MultiStepLR", "milestones": [5, 10]}),
        ({"type": "CosineAnnealingLR", "T_max": 2}, {"type": "CosineAnnealingLR", "T_max": 10}),
        (
            {"type": "CosineRestartLR", "periods": [1, 2], "restart_weights": [1.0, 0.5]},
            {"type": "CosineRestartLR", "periods": [5, 10], "restart_weights": [1.0, 0.5]},
        ),
        (
            {"type": "OneCycleLR", "eta_max": 0.1, "total_steps": 3},
            {"type": "OneCycleLR", "eta_max": 0.1, "total_steps": 15},
        ),
        ({"type": "PolyLR"}, {"type": "PolyLR", "end": 15}),
    ],
    ids=lambda cfg: cfg["type"],
)
def test_epochs_are_converted_to_iterations(in_epochs: dict[str, Any], in_iters: dict[str, Any]) -> None:
    converted = dict(in_epochs, by_epoch=True, convert_to_iter_based=True)
    for by_epoch_loop in (True, False):
        run = Run(converted, 15, by_epoch_loop=by_epoch_loop)
        assert run.schedulers[0].by_epoch is False
        assert run.curve(15) == Run(in_iters, 15).curve(15)


def test_last_step_begins_later() -> None:
    whole = Run({"type": "PolyLR"}, 20).curve(20)
    assert Run({"type": "PolyLR", "last_step": 9}, 20).curve(10) == whole[10:]


def test_nothing_to_schedule() -> None:
    nothing: tuple[Any, ...] = (None, [], {})
    for cfgs in nothing:
        run = Run(cfgs, 5)
        assert run.schedulers == []
        assert run.lrs == (LR, HEAD_LR)


def test_the_same_configs_can_be_built_twice() -> None:
    live = StepLR(step_size=1, by_epoch=True, convert_to_iter_based=True)
    curves = [Run([live], 15).curve(15) for _ in range(2)]
    assert curves[0] == curves[1]
    assert live.step_size == 1


def test_a_short_run_never_leaves_the_warm_up() -> None:
    cfgs = [{"type": "LinearLR", "start_factor": 0.1, "end": 1500}, {"type": "PolyLR", "begin": 1500}]
    assert Run(cfgs, 3).curve(3) == pytest.approx([LR * (0.1 + 0.9 * t / 1499) for t in range(3)])


@pytest.mark.parametrize("cfg", [cfg for cfg, _ in FORMULAS], ids=NAMES)
def test_a_run_of_one_iteration(cfg: dict[str, Any]) -> None:
    (lr,) = Run(cfg, 1).curve(1)
    assert math.isfinite(lr)


@dataclass(kw_only=True)
class HalvedLR(ParamScheduler):
    """A user's own schedule."""

    share: float = 0.5

    def at(self, step: int) -> tuple[float, float]:
        return self.share**step, 1.0


def test_a_schedule_of_ones_own() -> None:
    assert Run([{"type": HalvedLR, "share": 0.25, "end": 3}], 5).curve(4) == [LR, LR / 4, LR / 16, LR / 16]


@pytest.mark.parametrize(
    ("cfg", "expected"),
    [
        (
            {"type": "PolyLR", "by_epoch": True},
            "param_scheduler.0: PolyLR.by_epoch: expected False, or convert",
        ),
        (
            {"type": "PolyLR", "by_epoch": False, "convert_to_iter_based": True},
            "expected True beside convert",
        ),
        ({"type": "PolyLR", "begin": -1}, "PolyLR.begin: expected at least 0, found -1"),
        ({"type": "PolyLR", "begin": 5, "end": 5}, "PolyLR.end: expected more than begin=5, found 5"),
        ({"type": "PolyLR", "powr": 1}, "powr"),
        ({"type": "PloyLR"}, "unknown parameter scheduler 'PloyLR'; did you mean 'PolyLR'?"),
        ({"type": "LinearLR", "start_factor": 2.0}, "LinearLR.start_factor: expected a number from 0 to 1, found 2.0"),
        ({"type": "ConstantLR", "factor": -1.0}, "ConstantLR.factor"),
        (
            {"type": "PolyLR", "eta_min": 0.0, "eta_min_ratio": 0.1},
            "PolyLR.eta_min_ratio: expected None beside eta_min",
        ),
        ({"type": "StepLR", "step_size": 0}, "StepLR.step_size: expected at least 1"),
        ({"type": "StepLR"}, "step_size"),
        ({"type": "CosineAnnealingLR", "T_max": 0}, "CosineAnnealingLR.T_max: expected at least 1"),
        (
            {"type": "CosineAnnealingLR", "eta_min": 0.0, "eta_min_ratio": 0.1},
            "eta_min_ratio: expected None beside eta_min",
        ),
        ({"type": "CosineRestartLR", "periods": [2, 3]}, r"restart_weights: expected 2 of them, one for each period"),
        ({"type": "CosineRestartLR", "periods": []}, "periods: expected one or more counts"),
        ({"type": "OneCycleLR", "eta_max": 0.0}, "OneCycleLR.eta_max: expected a number above 0"),
        ({"type": "OneCycleLR", "eta_max": 1.0, "pct_start": 2.0}, "OneCycleLR.pct_start"),
        ({"type": "OneCycleLR", "eta_max": 1.0, "total_steps": 0}, "OneCycleLR.total_steps"),
        ({"type": "OneCycleLR", "eta_max": [1.0]}, "OneCycleLR.eta_max: expected a number, or 2 of them"),
        ({"type": "OneCycleLR", "eta_max": [1.0, 0.0]}, "OneCycleLR.eta_max: expected a number above 0"),
        ({"type": "OneCycleParamScheduler", "param_name": "momentum"}, "param_name: expected 'lr'"),
        ({"type": "WSDLR", "warmup": -1}, "WSDLR.warmup: expected at least 0, found -1"),
        ({"type": "WSDLR", "decay": -1}, "WSDLR.decay: expected at least 0"),
        ({"type": "WSDLR", "decay_ratio": 1.5}, "WSDLR.decay_ratio: expected a number from 0 to 1"),
        ({"type": "WSDLR", "decay_shape": "steep"}, "decay_shape: expected one of linear, cosine, sqrt, exponential"),
        ({"type": "WSDLR", "decay_shape": "exponential"}, "WSDLR.end_factor: expected a number above 0"),
        ({"type": "ReduceOnPlateauLR", "factor": 1.0}, "factor: expected a number from 0 to below 1, found 1.0"),
        ({"type": "ReduceOnPlateauLR", "patience": -1}, "patience: expected at least 0"),
        ({"type": "ReduceOnPlateauLR", "min_value": [0.1]}, "min_value: expected a number, or 2 of them"),
        ({"type": "PolyParamScheduler"}, "param_name"),
        ({"type": "PolyLR", "param_name": "momentum"}, "param_name"),
        ({"type": "PolyParamScheduler", "param_name": "momentun"}, "has no 'momentun' to schedule; did you mean 'mom"),
        ({"type": "PolyParamScheduler", "param_name": "nesterov"}, "SGD has no 'nesterov' to schedule; it has lr, "),
        ({"type": "PolyMomentum"}, "param_scheduler.0: PolyMomentum: SGD's momentum is 0 in every group"),
        ({"type": "PolyWeightDecay"}, "weight_decay is 0 in every group"),
        ({"type": "torch.nn.Linear", "in_features": 1, "out_features": 1}, "expected a subclass of ParamScheduler"),
    ],
)
def test_wrong_arguments_are_refused(cfg: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        Run(cfg, 10)


def test_one_cycle_needs_a_learning_rate_to_be_a_multiple_of() -> None:
    with pytest.raises(ConfigError, match="the optimizer's lr must be above 0"):
        build_param_schedulers(
            {"type": "OneCycleLR", "eta_max": 1.0}, wrapper_of(lr=0.0), epoch_length=1, max_iters=9, by_epoch_loop=False
        )


def test_a_schedule_shows_its_arguments() -> None:
    assert repr(Run({"type": "PolyLR", "power": 0.9}, 5).schedulers[0]) == (
        "PolyLR(begin=0, end=None, by_epoch=False, convert_to_iter_based=False, last_step=-1, verbose=False, "
        "eta_min=None, eta_min_ratio=None, power=0.9)"
    )
