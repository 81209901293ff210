"""build_optim_wrapper: the section's type, optimizer and constructor, live objects, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from rayseg.config.checker import Checker
from rayseg.config.sections import SECTIONS
from rayseg.core.errors import ConfigError
from rayseg.optim.build import build_optim_wrapper
from rayseg.optim.wrapper import OptimWrapper

LR = 0.01


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Linear(3, 4)
        self.norm = nn.LayerNorm(4)
        self.head = nn.Linear(4, 2)


def list_of(optimizer: Any) -> list[Any]:
    """What is no wrapper."""
    return [optimizer]


@pytest.mark.parametrize(
    ("cfg", "expected"),
    [
        ({"type": "OptimWrapper"}, "optim_wrapper: 'optimizer' is missing"),
        ({"optimizer": {"type": "AdmaW"}}, "unknown optimizer 'AdmaW'; did you mean 'AdamW'?"),
        ({"optimizer": "AdamW"}, "optim_wrapper.optimizer: expected dict"),
        ({"optimizer": {"lr": 0.1}}, "needs a 'type', found {'lr': 0.1"),
        ({"optimizer": {"type": "SGD", "lr": -1.0}}, "optim_wrapper.optimizer: SGD: Invalid learning rate: -1.0"),
        ({"optimizer": {"type": "SGD", "lrr": 1.0}}, "lrr"),
        ({"optimizer": {"type": "LBFGS"}}, "LBFGS needs a closure"),
        ({"optimizer": {"type": "torch.nn.ParameterList"}}, "is a ParameterList, not an optimizer"),
        ({"type": "OptimWraper", "optimizer": {"type": "SGD"}}, "did you mean 'OptimWrapper'?"),
        ({"type": list_of, "optimizer": {"type": "SGD"}}, "made a list, not an OptimWrapper"),
        ({"optimizer": {"type": "SGD"}, "clip_grads": {}}, "clip_grads"),
        ({"optimizer": {"type": "SGD"}, "constructor": "Defualt"}, "unknown optimizer wrapper constructor"),
        (None, "optim_wrapper: expected dict"),
    ],
)
def test_wrong_sections_are_refused(cfg: Any, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        build_optim_wrapper(Net(), cfg)


def test_a_model_without_parameters_is_refused() -> None:
    with pytest.raises(ConfigError, match="the model has no parameters"):
        build_optim_wrapper(nn.ReLU(), {"optimizer": {"type": "SGD"}})


class HeadOnly:
    """A user's constructor."""

    def __init__(self, optim_wrapper_cfg: dict[str, Any], paramwise_cfg: dict[str, Any] | None = None) -> None:
        self.cfg = optim_wrapper_cfg
        self.paramwise_cfg = paramwise_cfg

    def __call__(self, model: Any) -> Any:
        assert self.paramwise_cfg == {"only": "head"}
        assert set(self.cfg) == {"type", "optimizer"}
        return OptimWrapper(torch.optim.SGD(model.head.parameters(), lr=self.cfg["optimizer"]["lr"]))


def test_a_constructor_of_ones_own_is_called_with_the_unwrapped_model() -> None:
    cfg = {"type": "OptimWrapper", "optimizer": {"type": "SGD", "lr": LR}, "constructor": HeadOnly}
    model: Any = torch.compile(Net())
    wrapper = build_optim_wrapper(model, {**cfg, "paramwise_cfg": {"only": "head"}})
    assert [(row.name, row.tensors) for row in wrapper.group_table] == [("default", 2)]


def test_a_constructor_that_gives_no_wrapper_is_refused() -> None:
    class Empty(HeadOnly):
        def __call__(self, model: Any) -> Any:
            return None

    with pytest.raises(ConfigError, match=r"constructor: .* gave a NoneType; expected an OptimWrapper"):
        build_optim_wrapper(Net(), {"optimizer": {"type": "SGD"}, "constructor": Empty})


def test_live_objects_are_taken_as_they_are() -> None:
    net = Net()
    optimizer = torch.optim.SGD(net.parameters(), lr=LR)
    wrapper = build_optim_wrapper(net, {"optimizer": optimizer, "accumulative_counts": 2})
    assert wrapper.optimizer is optimizer
    assert build_optim_wrapper(net, wrapper) is wrapper
    with pytest.raises(ConfigError, match="the optimizer is already built"):
        build_optim_wrapper(net, {"optimizer": optimizer, "paramwise_cfg": {"norm_decay_mult": 0.0}})


def test_the_type_alone_switches_to_mixed_precision() -> None:
    cfg = {"type": "AmpOptimWrapper", "optimizer": {"type": "SGD", "lr": LR}, "paramwise_cfg": {"norm_decay_mult": 0.0}}
    wrapper = build_optim_wrapper(Net(), cfg)
    assert type(wrapper).__name__ == "AmpOptimWrapper"
    assert [row.name for row in wrapper.group_table] == ["default", "norm"]


def test_an_optimizer_with_another_name_for_its_parameters() -> None:
    class Named(torch.optim.SGD):
        def __init__(self, model_params: Any, lr: float = 0.5) -> None:
            super().__init__(model_params, lr=lr)

    assert build_optim_wrapper(Net(), {"optimizer": {"type": Named}}).get_lr() == {"lr": [0.5]}


def problems_of(section: str, value: Any) -> list[str]:
    checker = Checker(lambda path: "")
    checker.value(value, SECTIONS[section].annotation, section)
    return [str(problem) for problem in checker.problems]


@pytest.mark.parametrize(
    ("section", "value", "expected"),
    [
        (
            "optim_wrapper",
            {"clip_grad": {"max_nrom": 1.0}},
            "clip_grad.max_nrom: no such key (found 1.0); did you mean",
        ),
        ("optim_wrapper", {"clip_grad": {"max_norm": "1"}}, "clip_grad.max_norm: expected float"),
        ("optim_wrapper", {"accumulative_counts": 0}, "accumulative_counts: expected int (at least 1), found 0"),
        ("optim_wrapper", {"paramwise_cfg": {"norm_decay": 0.0}}, "paramwise_cfg.norm_decay: no such key"),
        (
            "optim_wrapper",
            {"paramwise_cfg": {"custom_keys": {"head": 0.1}}},
            "paramwise_cfg.custom_keys.head: expected",
        ),
        ("optim_wrapper", {"loss_scale": 512.0}, "OptimWrapper takes no 'loss_scale'"),
        ("optim_wrapper", {"type": "AmpOptimWrapper", "dtype": "bf16"}, "dtype: expected"),
        ("optim_wrapper", {"type": "AmpOptimWrapper", "loss_scale": {"init": 2.0}}, "loss_scale.init: no such key"),
        ("param_scheduler", [{"type": "PolyLR", "powr": 0.9}], "param_scheduler.0.powr: PolyLR takes no 'powr'"),
        ("param_scheduler", {"type": "StepLR"}, "StepLR needs 'step_size' (int)"),
        ("param_scheduler", {"type": "MultiStepLR", "milestones": [1.5]}, "milestones.0: expected int, found 1.5"),
        ("param_scheduler", {"type": "PolyLR", "end": "10"}, "end: expected int"),
    ],
)
def test_slips_are_found_before_anything_is_built(section: str, value: Any, expected: str) -> None:
    if section == "optim_wrapper":
        value = {"type": "OptimWrapper", "optimizer": {"type": "SGD"}, **value}
    (problem,) = problems_of(section, value)
    assert expected in problem


@pytest.mark.parametrize(
    ("section", "value"),
    [
        ("optim_wrapper", {"optimizer": {"type": "SGD", "lr": 1}, "clip_grad": {"max_norm": 1, "norm_type": "inf"}}),
        (
            "optim_wrapper",
            {"type": "AmpOptimWrapper", "optimizer": {"type": "SGD"}, "loss_scale": 512, "dtype": "float16"},
        ),
        (
            "optim_wrapper",
            {
                "optimizer": {"type": "AdamW", "lr": 6e-5, "betas": (0.9, 0.999), "weight_decay": 0.01},
                "paramwise_cfg": {
                    "custom_keys": {
                        "pos_block": {"decay_mult": 0.0},
                        "norm": {"decay_mult": 0.0},
                        "head": {"lr_mult": 10.0},
                    },
                    "strict": False,
                },
            },
        ),
        (
            "param_scheduler",
            [
                {"type": "LinearLR", "start_factor": 1e-6, "by_epoch": False, "begin": 0, "end": 1500},
                {"type": "PolyLR", "eta_min": 0, "power": 1.0, "begin": 1500, "end": 160000, "by_epoch": False},
                {"type": "CosineAnnealingLR", "T_max": 5, "by_epoch": True, "convert_to_iter_based": True},
                {"type": "CosineRestartLR", "periods": [1, 2], "restart_weights": (1, 0.5), "eta_min": 0.0},
                {"type": "OneCycleLR", "eta_max": 0.1, "anneal_strategy": "linear"},
            ],
        ),
    ],
)
def test_what_mm_users_write_passes_the_check(section: str, value: Any) -> None:
    assert problems_of(section, value) == []


@pytest.mark.parametrize("name", ["SGD", "AdamW"])
def test_the_step_is_fused_on_a_cpu_unless_the_config_chooses(name: str) -> None:
    model = nn.Linear(3, 2)
    assert build_optim_wrapper(model, {"optimizer": {"type": name, "lr": 0.1}}).param_groups[0]["fused"] is True
    for choice in ({"fused": False}, {"foreach": True}):
        groups = build_optim_wrapper(model, {"optimizer": {"type": name, "lr": 0.1, **choice}}).param_groups
        assert not groups[0]["fused"]


def test_the_step_is_not_fused_elsewhere_or_where_the_optimizer_cannot() -> None:
    on_meta = nn.Linear(3, 2, device="meta")
    assert not build_optim_wrapper(on_meta, {"optimizer": {"type": "SGD", "lr": 0.1}}).param_groups[0]["fused"]
    groups = build_optim_wrapper(nn.Linear(3, 2), {"optimizer": {"type": "RMSprop", "lr": 0.1}}).param_groups
    assert "fused" not in groups[0]
