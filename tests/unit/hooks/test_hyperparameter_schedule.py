"""HyperparameterScheduleHook: the right numbers in the right groups from the right iteration on, resumed or not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from rayseg.core.errors import ConfigError
from rayseg.engine.hook import Hook
from rayseg.hooks.hyperparameter_schedule import HyperparameterScheduleHook
from tests.unit.engine.training import build, hooks, iterations, train

LR, DECAY = "optim_wrapper.optimizer.lr", "optim_wrapper.optimizer.weight_decay"
TABLE = [{"pattern": "net.encoder.{layer}", "layer": "layer"}, {"pattern": "net.head", "layer": "head"}]


class Groups(Hook):
    """What each iteration finds in the groups, by name: the numbers of ``options``."""

    priority = "VERY_HIGH"

    def __init__(self, *options: str) -> None:
        self.options = options
        self.seen: list[dict[str, Any]] = []

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        groups = runner.optim_wrapper.param_groups
        self.seen.append({group["name"]: tuple(group[option] for option in self.options) for group in groups})


def scheduled(*changes: tuple[int, dict[str, Any]]) -> dict[str, Any]:
    return {"type": "HyperparameterScheduleHook", "changes": [{"iter": at, "values": v} for at, v in changes]}


def seen(
    tmp_path: Path, options: tuple[str, ...], wrapper: dict[str, Any], *changes: Any, **sections: Any
) -> list[dict[str, Any]]:
    hook = Groups(*options)
    given = {"train_cfg": iterations(4), "param_scheduler": None, "custom_hooks": [scheduled(*changes)], **sections}
    train(tmp_path, hook, optim_wrapper=wrapper, **given)
    return hook.seen


def test_plain_groups_have_exactly_the_new_values(tmp_path: Path) -> None:
    wrapper = {"optimizer": {"type": "AdamW", "lr": 0.01, "weight_decay": 0.05, "betas": (0.9, 0.99)}}
    changes = (1, {LR: 0.003, "optim_wrapper.optimizer.betas.1": 0.95}), (3, {DECAY: 0.1})
    found = seen(tmp_path, ("lr", "weight_decay", "betas"), wrapper, *changes)
    assert [at["default"] for at in found] == [
        (0.01, 0.05, (0.9, 0.99)),
        (0.003, 0.05, (0.9, 0.95)),
        (0.003, 0.05, (0.9, 0.95)),
        (0.003, 0.1, (0.9, 0.95)),
    ]


def test_multipliers_act_on_the_new_values(tmp_path: Path) -> None:
    wrapper = {
        "optimizer": {"type": "SGD", "lr": 0.1, "weight_decay": 0.01},
        "paramwise_cfg": {"bias_lr_mult": 2.0, "norm_decay_mult": 0.0},
    }
    mult = {"optim_wrapper.paramwise_cfg.bias_lr_mult": 3.0}
    found = seen(tmp_path, ("lr", "weight_decay"), wrapper, (1, {LR: 0.2}), (2, mult))
    assert [at["bias"][0] for at in found] == pytest.approx([0.2, 0.4, 0.6, 0.6])
    assert [at["default"] for at in found] == [(0.1, 0.01), (0.2, 0.01), (0.2, 0.01), (0.2, 0.01)]
    assert [at["norm"][1] for at in found] == [0.0] * 4


def test_the_rate_of_layer_decay(tmp_path: Path) -> None:
    wrapper = {
        "constructor": "LearningRateDecayOptimizerConstructor",
        "optimizer": {"type": "AdamW", "lr": 0.1},
        "paramwise_cfg": {"decay_rate": 0.5, "layer_table": TABLE},
    }
    change = (2, {"optim_wrapper.paramwise_cfg.decay_rate": 0.8})
    found = seen(tmp_path, ("lr",), wrapper, change)
    for at, rate in ((1, 0.5), (2, 0.8), (3, 0.8)):
        rates = {name.split("_")[1]: value for name, (value,) in found[at].items()}
        assert rates == pytest.approx({"0": 0.1 * rate**2, "1": 0.1 * rate, "2": 0.1})


def test_schedules_act_on_from_the_new_value(tmp_path: Path) -> None:
    schedules = [{"type": "PolyLR", "power": 1.0, "begin": 0, "end": 9, "by_epoch": False}]
    wrapper = {"optimizer": {"type": "SGD", "lr": 0.8}}
    found = seen(tmp_path, ("lr",), wrapper, (3, {LR: 0.4}), param_scheduler=schedules, train_cfg=iterations(8))
    whole = [0.8 * (1 - at / 8) for at in range(8)]
    assert [at["default"][0] for at in found] == pytest.approx(whole[:3] + [rate / 2 for rate in whole[3:]])


def test_a_warmup_that_begins_at_nothing_is_not_lost(tmp_path: Path) -> None:
    """The value is 0 when it changes, so that no multiple of it could say what is meant."""
    warmup = [{"type": "LinearLR", "start_factor": 1e-9, "begin": 0, "end": 4, "by_epoch": False}]
    wrapper = {"optimizer": {"type": "SGD", "lr": 0.4}}
    found = seen(tmp_path, ("lr",), wrapper, (0, {LR: 0.8}), param_scheduler=warmup, train_cfg=iterations(5))
    assert found[4]["default"][0] == pytest.approx(0.8)


@pytest.mark.parametrize("named", ["betas.0", "momentum"])
def test_momentum_under_a_schedule(tmp_path: Path, named: str) -> None:
    kind = {"type": "AdamW", "lr": 0.1, "betas": (0.8, 0.99)} if named == "betas.0" else {"type": "SGD", "lr": 0.1}
    optimizer = kind if named == "betas.0" else {**kind, "momentum": 0.8}
    schedule = [{"type": "LinearMomentum", "start_factor": 0.5, "begin": 0, "end": 4, "by_epoch": False}]
    change = (2, {f"optim_wrapper.optimizer.{named}": 0.4})
    option = "betas" if named == "betas.0" else "momentum"
    found = seen(tmp_path, (option,), {"optimizer": optimizer}, change, param_scheduler=schedule)
    values = [at["default"][0][0] if option == "betas" else at["default"][0] for at in found]
    whole = [0.8 * (0.5 + 0.5 * at / 3) for at in range(4)]
    assert values == pytest.approx([*whole[:2], whole[2] / 2, whole[3] / 2])


def test_what_another_hook_did_to_a_value_stays_as_a_multiple(tmp_path: Path) -> None:
    class Halve(Hook):
        def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
            if runner.iter == 1:
                runner.optim_wrapper.param_groups[0]["lr"] /= 2

    hook = Groups("lr")
    wrapper = {"optimizer": {"type": "SGD", "lr": 0.8}}
    sections: dict[str, Any] = {"train_cfg": iterations(4), "param_scheduler": None, "optim_wrapper": wrapper}
    train(tmp_path, Halve(), hook, custom_hooks=[scheduled((2, {LR: 0.2}))], **sections)
    assert [at["default"][0] for at in hook.seen] == [0.8, 0.8, 0.1, 0.1]


@pytest.mark.parametrize("killed_at", [2, 3, 4])
def test_a_resume_around_a_change_is_bit_for_bit(tmp_path: Path, killed_at: int) -> None:
    """At iteration 3 itself the checkpoint is from before the change, which is then made once, not twice."""
    sections: dict[str, Any] = {
        "custom_hooks": [scheduled((3, {LR: 0.02, DECAY: 0.3}))],
        "optim_wrapper": {"optimizer": {"type": "AdamW", "lr": 0.01}, "paramwise_cfg": {"norm_decay_mult": 0.5}},
        "param_scheduler": [{"type": "PolyLR", "power": 0.9, "begin": 0, "end": 6, "by_epoch": False}],
        "default_hooks": hooks(),
    }
    whole = train(tmp_path / "whole", train_cfg=iterations(6), **sections).runner
    train(tmp_path / "parts", train_cfg=iterations(killed_at), **sections)
    resumed = train(tmp_path / "parts", train_cfg=iterations(6), **sections).runner
    for one, other in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(one, other)
    for one, other in zip(whole.optim_wrapper.param_groups, resumed.optim_wrapper.param_groups, strict=True):
        assert (one["lr"], one["weight_decay"]) == (other["lr"], other["weight_decay"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([(2, {}), (2, {})], r"changes\.1\.iter: expected rising numbers"),
        ([(2, {"train_cfg.max_iters": 3})], "'train_cfg.max_iters' does not begin with optim_wrapper.optimizer."),
    ],
)
def test_bad_arguments(changes: list[Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        HyperparameterScheduleHook(scheduled(*changes)["changes"])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"optim_wrapper.optimizer.lrr": 1.0}, "the change at iteration 2: .*lrr"),
        ({"optim_wrapper.paramwise_cfg.bias_lr_mul": 1.0}, "bias_lr_mul.*bias_lr_mult"),
        ({"optim_wrapper.paramwise_cfg.bias_lr_mult": 2.0}, "'default' would get 2 different values of lr"),
    ],
)
def test_what_the_optimizer_cannot_be_given_is_found_before_training(
    tmp_path: Path, values: dict[str, float], message: str
) -> None:
    run = build(
        tmp_path, custom_hooks=[scheduled((2, values))], optim_wrapper={"optimizer": {"type": "SGD", "lr": 0.1}}
    )
    with pytest.raises(ConfigError, match=message):
        run.runner.check_hooks()
