"""Schedules of momentum, weight decay and named numbers, and those that follow a metric."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from rayseg.core.errors import ConfigError
from rayseg.optim.group_values import group_value
from rayseg.optim.plateau import ReduceOnPlateauLR
from rayseg.optim.schedulers import build_param_schedulers
from rayseg.optim.wrapper import OptimWrapper
from tests.unit.optim.schedule_run import FORMULAS, LR, NAMES


class Run:
    """Schedules of an optimizer with a decayed group and one that is not, stepped by iterations."""

    def __init__(self, kind: str, *cfgs: dict[str, Any], iters: int = 20, **defaults: Any) -> None:
        weights = [nn.Parameter(torch.zeros(1)) for _ in range(2)]
        groups = [{"params": weights[:1]}, {"params": weights[1:], "lr": 10 * LR, "weight_decay": 0.0}]
        optimizer = getattr(torch.optim, kind)(groups, lr=LR, weight_decay=0.04, **defaults)
        self.wrapper = OptimWrapper(optimizer)
        self.schedulers = build_param_schedulers(
            list(cfgs), self.wrapper, epoch_length=1, max_iters=iters, by_epoch_loop=False
        )

    def values(self, name: str) -> list[float]:
        return [group_value(group, name) for group in self.wrapper.param_groups]

    def curve(self, name: str, count: int) -> list[float]:
        found = []
        for _ in range(count):
            found.append(self.values(name)[0])
            for scheduler in self.schedulers:
                scheduler.step()
        return found

    def state(self) -> dict[str, Any]:
        return {"optim": self.wrapper.state_dict(), "schedulers": [item.state_dict() for item in self.schedulers]}

    def load(self, state: dict[str, Any]) -> None:
        self.wrapper.load_state_dict(state["optim"])
        for scheduler, saved in zip(self.schedulers, state["schedulers"], strict=True):
            scheduler.load_state_dict(saved)


def half_cosine(first: float, last: float, progress: float) -> float:
    return last + (first - last) * (1 + math.cos(math.pi * progress)) / 2


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("SGD", {"momentum": 0.9}),
        ("RMSprop", {"momentum": 0.9}),
        ("AdamW", {}),
        ("NAdam", {}),
        ("Muon", {"momentum": 0.9}),
    ],
)
def test_momentum_of_every_kind(kind: str, options: dict[str, Any]) -> None:
    if kind == "Muon":
        weight = nn.Parameter(torch.zeros(2, 2))
        wrapper = OptimWrapper(torch.optim.Muon([weight], lr=LR, momentum=0.9))
        (scheduler,) = build_param_schedulers(
            {"type": "LinearMomentum", "start_factor": 0.5, "end": 5},
            wrapper,
            epoch_length=1,
            max_iters=9,
            by_epoch_loop=False,
        )
        assert wrapper.get_momentum() == {"momentum": [0.45]} == {"momentum": scheduler.get_last_value()}
        return
    run = Run(kind, {"type": "LinearMomentum", "start_factor": 0.5, "end": 5}, **options)
    assert run.curve("momentum", 7) == pytest.approx([0.9 * (0.5 + 0.5 * min(t, 4) / 4) for t in range(7)])
    assert run.wrapper.get_momentum()["momentum"] == pytest.approx([0.9, 0.9])
    assert run.curve("lr", 3) == [LR] * 3


def test_the_other_betas_stay() -> None:
    run = Run("AdamW", {"type": "ConstantMomentum", "factor": 0.5, "end": 5}, betas=(0.8, 0.95))
    assert [group["betas"] for group in run.wrapper.param_groups] == [(0.4, 0.95)] * 2
    assert "momentum" not in run.wrapper.param_groups[0]


def test_cosine_weight_decay_as_in_dino_goes_up_and_leaves_exempt_groups_alone() -> None:
    run = Run("AdamW", {"type": "CosineAnnealingWeightDecay", "eta_min": 0.4})
    for t in range(20):
        assert run.values("weight_decay") == pytest.approx([half_cosine(0.04, 0.4, t / 20), 0.0])
        run.curve("weight_decay", 1)


def test_several_numbers_at_once_do_not_disturb_each_other() -> None:
    run = Run(
        "AdamW",
        {"type": "LinearLR", "start_factor": 0.5, "end": 5},
        {"type": "CosineAnnealingMomentum", "eta_min": 0.8},
        {"type": "PolyParamScheduler", "param_name": "weight_decay", "eta_min": 0.01},
        {"type": "StepParamScheduler", "param_name": "lr", "step_size": 10},
    )
    run.curve("lr", 12)
    assert run.values("lr") == pytest.approx([0.1 * LR, LR])
    assert run.values("momentum") == pytest.approx([half_cosine(0.9, 0.8, 12 / 20)] * 2)
    assert run.values("weight_decay") == pytest.approx([0.01 + 0.03 * (1 - 12 / 19), 0.0])


@pytest.mark.parametrize("cfg", [cfg for cfg, _ in FORMULAS], ids=NAMES)
def test_a_shape_is_the_same_for_whatever_it_schedules(cfg: dict[str, Any]) -> None:
    shape = cfg["type"].removesuffix("LR")
    if shape in ("OneCycle", "WSD"):
        return
    same = dict(cfg, eta_min=cfg["eta_min"] / LR * 0.9) if "eta_min" in cfg else cfg
    run = Run("AdamW", {**same, "type": f"{shape}Momentum"})
    expected = Run("AdamW", cfg)
    assert run.curve("momentum", 20) == pytest.approx([lr / LR * 0.9 for lr in expected.curve("lr", 20)])


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_resumed_run_has_the_same_values_bit_for_bit(data: st.DataObject) -> None:
    shapes = st.sampled_from([cfg for cfg, _ in FORMULAS if cfg["type"] not in ("OneCycleLR", "WSDLR")])
    cfgs: list[dict[str, Any]] = [{"type": "ReduceOnPlateauLR", "patience": 1, "cooldown": 1, "factor": 0.5}]
    for cfg in data.draw(st.lists(shapes, min_size=1, max_size=4)):
        family = data.draw(st.sampled_from(["LR", "Momentum", "WeightDecay"]))
        cfgs.append({**cfg, "type": cfg["type"].removesuffix("LR") + family, "begin": data.draw(st.integers(0, 9))})
    metrics = data.draw(st.lists(st.sampled_from([0.1, 0.2, 0.3, math.nan]), min_size=20, max_size=20))
    cut = data.draw(st.integers(0, 20))

    def advance(run: Run, first: int, last: int) -> list[list[float]]:
        found = []
        for at in range(first, last):
            run.curve("lr", 1)
            for scheduler in run.schedulers:
                scheduler.observe({"mIoU": metrics[at]})
            found.append([value for name in ("lr", "momentum", "weight_decay") for value in run.values(name)])
        return found

    whole = advance(Run("AdamW", *cfgs), 0, 20)
    first, second = Run("AdamW", *cfgs), Run("AdamW", *cfgs)
    advance(first, 0, cut)
    second.load(first.state())
    assert second.state() == first.state()
    assert advance(second, cut, 20) == whole[cut:]


def test_wsd_goes_on_where_it_stayed_when_the_run_is_made_longer() -> None:
    cfg = {"type": "WSDLR", "warmup": 2, "decay": 5}
    short = Run("SGD", cfg, iters=20)
    short.curve("lr", 15)
    longer = Run("SGD", cfg, iters=40)
    longer.load(short.state())
    rest = longer.curve("lr", 25)
    assert rest[:21] == [LR] * 21
    assert rest == Run("SGD", cfg, iters=40).curve("lr", 40)[15:]


def observed(metrics: list[float], **options: Any) -> list[float]:
    """The learning rate after each validation, one each iteration."""
    run = Run("SGD", {"type": "ReduceOnPlateauLR", "factor": 0.5, **options}, iters=len(metrics))
    found = []
    for metric in metrics:
        run.curve("lr", 1)
        run.schedulers[0].observe({"mIoU": metric, "loss": metric})
        found.append(run.values("lr")[0] / LR)
    return found


@pytest.mark.parametrize(("monitor", "expected"), [("mIoU", [1, 1, 1, 0.5]), ("loss", [1, 0.5, 0.25, 0.25])])
def test_the_rule_is_guessed_from_the_metrics_name(monitor: str, expected: list[float]) -> None:
    assert observed([0.1, 0.2, 0.3, 0.05], monitor=monitor, patience=0) == expected


def test_a_told_rule_stands() -> None:
    assert observed([0.1, 0.2, 0.3], monitor="mIoU", rule="less", patience=0) == [1, 0.5, 0.25]


def test_a_metric_that_is_no_number_is_no_better() -> None:
    assert observed([0.1, math.nan, math.nan, 0.2], patience=1) == [1, 1, 0.5, 0.5]


def test_epochs_may_be_said_in_an_iteration_loop_as_long_as_no_window_is() -> None:
    assert observed([0.1, 0.1], patience=0, by_epoch=True) == [1, 0.5]
    with pytest.raises(ConfigError, match=r"ReduceOnPlateauLR\.by_epoch: expected False"):
        observed([0.1], by_epoch=True, begin=1)


def test_a_metric_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(ConfigError, match=r"monitor: no metric 'miou' in the validation; did you mean 'mIoU'\?"):
        observed([0.1], monitor="miou")
    with pytest.raises(ConfigError, match="no metric 'xyz' in the validation; it has loss, mIoU"):
        observed([0.1], monitor="xyz")


def test_a_reduction_acts_beside_other_schedules() -> None:
    run = Run("SGD", {"type": "PolyLR"}, {"type": "ReduceOnPlateauLR", "patience": 0, "factor": 0.5})
    for metric in (0.1, 0.1):
        run.curve("lr", 1)
        run.schedulers[1].observe({"mIoU": metric})
    assert run.values("lr")[0] == pytest.approx(LR * (1 - 2 / 19) / 2)
    assert isinstance(run.schedulers[1], ReduceOnPlateauLR)
    run.curve("lr", 1)
    assert run.values("lr")[0] == pytest.approx(LR * (1 - 3 / 19) / 2)
