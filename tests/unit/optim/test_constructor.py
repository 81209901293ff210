"""Parameter groups: which options each parameter gets, how groups are merged and named, what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from rayseg.config.signatures import parameters_of
from rayseg.core.errors import ConfigError
from rayseg.optim.build import build_optim_wrapper
from rayseg.optim.constructor import DefaultOptimWrapperConstructor, ParamwiseCfg, is_norm
from rayseg.optim.wrapper import OptimWrapper

LR, WD = 0.01, 0.1


class DeformConv2d(nn.Module):
    """Named as mmcv's, with the convolution that makes its offsets inside."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2, 2))
        self.bias = nn.Parameter(torch.zeros(2))
        self.conv_offset = nn.Conv2d(2, 2, 1)


class DeformConv2dPack(DeformConv2d):
    """A subclass, as MM's packs are."""


class TimmLikeRmsNorm(nn.Module):
    """A norm that is none of torch's."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4))


class Backbone(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.bn = nn.BatchNorm2d(8)
        self.depthwise = nn.Conv2d(8, 8, 3, groups=8)
        self.gamma = nn.Parameter(torch.ones(8))
        self.dcn = DeformConv2dPack()
        self.norm = TimmLikeRmsNorm()


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pos_embed = nn.Parameter(torch.zeros(1, 4))
        self.backbone = Backbone()
        self.head = nn.Linear(8, 2)


def build(paramwise_cfg: dict[str, Any] | None = None, model: nn.Module | None = None, **options: Any) -> OptimWrapper:
    optimizer = {"type": "SGD", "lr": LR, "weight_decay": WD, **options}
    return build_optim_wrapper(
        Net() if model is None else model, {"optimizer": optimizer, "paramwise_cfg": paramwise_cfg}
    )


def changed(paramwise_cfg: dict[str, Any]) -> dict[str, tuple[float, float]]:
    """Parameters whose (lr, weight_decay) are not the base ones, as multiples of them."""
    net = Net()
    wrapper = build(paramwise_cfg, net)
    names = {id(parameter): name for name, parameter in net.named_parameters()}
    multiples = {
        names[id(parameter)]: (round(group["lr"] / LR, 9), round(group["weight_decay"] / WD, 9))
        for group in wrapper.param_groups
        for parameter in group["params"]
    }
    assert set(multiples) == set(names.values())
    return {name: pair for name, pair in multiples.items() if pair != (1.0, 1.0)}


NORMS = ["backbone.bn.weight", "backbone.bn.bias", "backbone.norm.weight"]


def test_without_rules_there_is_one_group_of_all_parameters_in_order() -> None:
    net = Net()
    wrapper = build(None, net)
    assert type(wrapper) is OptimWrapper
    (group,) = wrapper.param_groups
    assert group["name"] == "default"
    assert all(a is b for a, b in zip(group["params"], net.parameters(), strict=True))


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ({"norm_decay_mult": 0.0}, dict.fromkeys(NORMS, (1, 0))),
        (
            {"bias_decay_mult": 0.5},
            dict.fromkeys(("backbone.bn.bias", "backbone.conv.bias", "backbone.depthwise.bias", "head.bias"), (1, 0.5))
            | {"backbone.dcn.bias": (1, 0.5)},
        ),
        (
            {"bias_lr_mult": 2.0},
            dict.fromkeys(("backbone.conv.bias", "backbone.depthwise.bias", "head.bias", "backbone.dcn.bias"), (2, 1)),
        ),
        ({"dwconv_decay_mult": 0.0}, {"backbone.depthwise.weight": (1, 0), "backbone.depthwise.bias": (1, 0)}),
        (
            {"flat_decay_mult": 0.0},
            dict.fromkeys(
                [
                    *NORMS,
                    "backbone.gamma",
                    "backbone.conv.bias",
                    "backbone.depthwise.bias",
                    "head.bias",
                    "backbone.dcn.bias",
                ],
                (1, 0),
            ),
        ),
        (
            {"dcn_offset_lr_mult": 0.1},
            {"backbone.dcn.conv_offset.weight": (0.1, 1), "backbone.dcn.conv_offset.bias": (0.1, 1)},
        ),
        (
            {"norm_decay_mult": 0.1, "bias_decay_mult": 0.2, "dwconv_decay_mult": 0.3, "flat_decay_mult": 0.4},
            dict.fromkeys(NORMS, (1, 0.1))
            | {"backbone.conv.bias": (1, 0.2), "backbone.depthwise.bias": (1, 0.2), "head.bias": (1, 0.2)}
            | {"backbone.dcn.bias": (1, 0.2), "backbone.depthwise.weight": (1, 0.3), "backbone.gamma": (1, 0.4)},
        ),
        (
            {"custom_keys": {"backbone": {"lr_mult": 0.1}, "backbone.bn": {"decay_mult": 0.0}}, "norm_decay_mult": 0.5},
            {name: (0.1, 1) for name, _ in Net().named_parameters() if name.startswith("backbone")}
            | {"backbone.bn.weight": (1, 0), "backbone.bn.bias": (1, 0)},
        ),
        ({"custom_keys": {".pos_embed": {"decay_mult": 0.0}}}, {"pos_embed": (1, 0)}),
        ({"custom_keys": {"ead.w": {"lr_mult": 2.0}, "d.wei": {"lr_mult": 3.0}}}, {"head.weight": (3, 1)}),
    ],
)
def test_rules_and_their_precedence(rules: dict[str, Any], expected: Any) -> None:
    assert changed(rules) == expected


def test_equal_groups_are_merged_and_named_after_their_rules() -> None:
    rules = {"custom_keys": {"pos_embed": {"decay_mult": 0.0}, "head": {"lr_mult": 10.0}}, "norm_decay_mult": 0.0}
    wrapper = build(rules)
    assert [(row.name, row.lr, row.weight_decay, row.tensors) for row in wrapper.group_table] == [
        ("default", LR, WD, 9),
        ("pos_embed-norm", LR, 0.0, 4),
        ("head", LR * 10.0, WD, 2),
    ]
    assert sum(row.values for row in wrapper.group_table) == sum(value.numel() for value in Net().parameters())


def test_a_rule_that_changes_nothing_joins_the_default_group() -> None:
    assert [row.name for row in build({"norm_decay_mult": 1.0, "bias_lr_mult": 1}).group_table] == ["default"]


def test_many_keys_with_one_setting_have_a_short_name() -> None:
    keys = {key: {"decay_mult": 0.0} for key in ("bn.weight", "bn.bias", "gamma", "head.bias", "conv.bias")}
    assert build({"custom_keys": keys}).param_groups[1]["name"] == "gamma-conv.bias-and-3-more"


def test_names_suit_every_tracker_and_are_unique() -> None:
    keys: dict[str, Any] = {"backbone.bn.w": {"lr_mult": 2.0}, "backbone.bn.b": {"lr_mult": 3.0}}
    wrapper = build({"custom_keys": {**keys, ".pos_embed": {"lr_mult": 4.0, "momentum": 0.5}}})
    assert [group["name"] for group in wrapper.param_groups] == [
        "default",
        "pos_embed",
        "backbone.bn.w",
        "backbone.bn.b",
    ]
    assert wrapper.param_groups[1]["momentum"] == 0.5
    assert wrapper.param_groups[0]["momentum"] == 0


def test_multiples_are_of_the_optimizers_own_defaults_where_the_config_is_silent() -> None:
    cfg = {"optimizer": {"type": "AdamW"}, "paramwise_cfg": {"norm_decay_mult": 0.5, "bias_lr_mult": 2.0}}
    groups = build_optim_wrapper(nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2)), cfg).param_groups
    assert [(group["lr"], group["weight_decay"]) for group in groups] == [(1e-3, 0.01), (2e-3, 0.01), (1e-3, 0.005)]


def test_frozen_parameters_stay_and_are_shown() -> None:
    net = Net()
    net.head.requires_grad_(False)
    wrapper = build({"custom_keys": {"head": {"lr_mult": 10.0}}}, net)
    assert [(row.name, row.tensors, row.note) for row in wrapper.group_table] == [
        ("default", 13, ""),
        ("head", 2, "2 frozen"),
    ]


def test_names_are_canonical_under_wrappers() -> None:
    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = torch.compile(Net())

    rules = {"custom_keys": {"net.head": {"lr_mult": 10.0}, "net.backbone.bn": {"lr_mult": 2.0}}}
    assert [row.tensors for row in build(rules, Outer()).group_table] == [11, 2, 2]
    wrapped: Any = torch.compile(Net())
    assert [row.tensors for row in build({"custom_keys": {"head": {"lr_mult": 2.0}}}, wrapped).group_table] == [13, 2]


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Linear(3, 3)
        self.decoder = nn.Linear(3, 3)
        self.decoder.weight = self.encoder.weight


def test_a_tied_parameter_is_optimized_once() -> None:
    assert [row.tensors for row in build({"norm_decay_mult": 0.0}, Tied()).group_table] == [3]


def test_a_tied_parameter_with_two_different_options_is_refused() -> None:
    rules: dict[str, Any] = {"custom_keys": {"decoder": {"lr_mult": 2.0}}}
    with pytest.raises(
        ConfigError, match=r"encoder.weight and decoder.weight are one tied parameter.*bypass_duplicate"
    ):
        build(rules, Tied())
    wrapper = build({**rules, "bypass_duplicate": True}, Tied())
    assert [(row.name, row.tensors) for row in wrapper.group_table] == [("default", 2), ("decoder", 1)]


def test_a_custom_key_that_matches_nothing_is_a_row_of_the_table() -> None:
    wrapper = build({"custom_keys": {"cls_token": {"decay_mult": 0.0}, "backbone": {}, "backbone.": {}}})
    assert [(row.name, row.note) for row in wrapper.group_table] == [
        ("default", ""),
        ("cls_token", "matches no parameter"),
        ("backbone", "longer custom keys take all that it matches"),
    ]


@pytest.mark.parametrize(
    ("key", "meant"),
    [("haed", "head"), ("backbnoe", "backbone"), ("backbone.dn", "backbone.bn"), ("postembed", "pos_embed")],
)
def test_a_slip_in_a_custom_key_is_refused(key: str, meant: str) -> None:
    with pytest.raises(ConfigError, match=f"custom_keys.{key}: matches no parameter; did you mean '{meant}'?"):
        build({"custom_keys": {key: {"lr_mult": 2.0}}})


def test_strict_refuses_every_custom_key_that_matches_nothing() -> None:
    with pytest.raises(ConfigError, match=r"custom_keys.cls_token: matches no parameter, and strict=True"):
        build({"custom_keys": {"cls_token": {"decay_mult": 0.0}}, "strict": True})
    assert build({"custom_keys": {"head": {"decay_mult": 0.0}}, "strict": True})


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ({"norm_decay_mul": 0.0}, "norm_decay_mul: no such rule; did you mean 'norm_decay_mult'?"),
        ({"norm_decay_mult": "0"}, "norm_decay_mult: expected a number of at least 0, found '0'"),
        ({"bias_lr_mult": -1.0}, "bias_lr_mult: expected a number of at least 0, found -1.0"),
        ({"custom_keys": ["head"]}, "custom_keys: expected a dict"),
        ({"custom_keys": {"head": 0.1}}, r"custom_keys.head: expected dict\(lr_mult=..., decay_mult=...\), found 0.1"),
        (
            {"custom_keys": {"head": {"lr_mul": 0.1}}},
            "custom_keys.head.lr_mul: no such option; did you mean 'lr_mult'?",
        ),
        ({"custom_keys": {"head": {"momentun": 0.1}}}, "no such option; did you mean 'momentum'?"),
        ({"custom_keys": {"head": {"params": []}}}, "custom_keys.head.params: no such option"),
        ({"custom_keys": {"head": {"lr_mult": None}}}, "custom_keys.head.lr_mult: expected a number"),
    ],
)
def test_wrong_rules_are_refused(rules: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        build(rules)


def test_a_multiplier_of_what_the_optimizer_lacks_is_refused() -> None:
    cfg = {"optimizer": {"type": "Rprop"}, "paramwise_cfg": {"norm_decay_mult": 0.0}}
    with pytest.raises(ConfigError, match="norm_decay_mult: Rprop has no 'weight_decay' to multiply"):
        build_optim_wrapper(Net(), cfg)


def test_the_checker_sees_the_rules() -> None:
    parameters = parameters_of(DefaultOptimWrapperConstructor).named
    assert parameters["paramwise_cfg"].annotation == ParamwiseCfg | None


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (nn.BatchNorm1d(2), True),
        (nn.SyncBatchNorm(2), True),
        (nn.InstanceNorm2d(2, affine=True), True),
        (nn.GroupNorm(1, 2), True),
        (nn.LayerNorm(2), True),
        (nn.RMSNorm(2), True),
        (TimmLikeRmsNorm(), True),
        (nn.Linear(2, 2), False),
        (nn.Conv2d(2, 2, 1), False),
    ],
)
def test_what_is_a_norm(module: nn.Module, expected: bool) -> None:
    assert is_norm(module) is expected


def test_a_block_called_after_its_norm_is_none() -> None:
    class PreNormAttention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Parameter(torch.zeros(2, 2))

    assert not is_norm(PreNormAttention())


@settings(max_examples=50, deadline=None)
@given(
    rules=st.fixed_dictionaries(
        {},
        optional={
            "bias_lr_mult": st.sampled_from([0.5, 1.0, 2.0]),
            "bias_decay_mult": st.sampled_from([0.0, 1.0]),
            "norm_decay_mult": st.sampled_from([0.0, 1.0]),
            "flat_decay_mult": st.sampled_from([0.0, 0.5]),
            "dwconv_decay_mult": st.sampled_from([0.0, 0.5]),
            "custom_keys": st.dictionaries(
                st.sampled_from(["backbone", "head", "bn", "weight", "bias", "backbone.conv"]),
                st.fixed_dictionaries(
                    {}, optional={"lr_mult": st.sampled_from([0.1, 1.0]), "decay_mult": st.just(0.0)}
                ),
            ),
        },
    )
)
def test_every_parameter_is_in_one_group_and_no_two_groups_are_equal(rules: dict[str, Any]) -> None:
    net = Net()
    groups = build(rules, net).param_groups
    placed = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(placed) == sorted(id(parameter) for parameter in net.parameters())
    options = [(group["lr"], group["weight_decay"]) for group in groups]
    assert len(set(options)) == len(options)
    names = [group["name"] for group in groups]
    assert len(set(names)) == len(names)
    assert ("default" not in names) or names[0] == "default"


def test_a_subclass_written_for_mmengines_grouping_is_told_what_to_override() -> None:
    with pytest.raises(TypeError, match=r"Mine\.add_params: MM's hook for grouping is never called here; override opt"):

        class Mine(DefaultOptimWrapperConstructor):
            def add_params(self, params: Any, module: Any, prefix: str = "") -> None: ...
