"""Layer decay: rates and weight decay by formula, MM's numbers, and what is refused where MM was silent."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import nn

from rayseg.config.checker import Checker
from rayseg.config.sections import SECTIONS
from rayseg.core.errors import ConfigError
from rayseg.optim.build import build_optim_wrapper
from rayseg.optim.wrapper import OptimWrapper

from tests.unit.optim.mm_stand_ins import STAND_INS, BEiT, ConvNeXt, Segmentor  # isort: skip

LR, WD = 1e-4, 0.05
NEW, OLD = "LearningRateDecayOptimizerConstructor", "LayerDecayOptimizerConstructor"
REFERENCE = json.loads((Path(__file__).parent / "mmseg_layer_decay.json").read_text())
# What MM gives weight decay although an exemption was meant, in MM's own words "pos_embed" and "cls_token".
EXEMPT_HERE = ("cls_token", "pos_embed", "relative_position_bias_table")


def build(model: nn.Module, constructor: str = NEW, **rules: Any) -> OptimWrapper:
    optimizer = {"type": "AdamW", "lr": LR, "weight_decay": WD}
    return build_optim_wrapper(model, {"optimizer": optimizer, "constructor": constructor, "paramwise_cfg": rules})


def options_by_name(model: nn.Module, constructor: str = NEW, **rules: Any) -> dict[str, dict[str, Any]]:
    """The group of each parameter."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = build(model, constructor, **rules).param_groups
    found = {names[id(parameter)]: group for group in groups for parameter in group["params"]}
    assert set(found) == set(names.values())
    return found


def multiples(model: nn.Module, **rules: Any) -> dict[str, tuple[float, float]]:
    """(lr, weight decay) of each parameter, as multiples of the optimizer's."""
    found = options_by_name(model, **rules)
    return {name: (round(g["lr"] / LR, 9), round(g["weight_decay"] / WD, 9)) for name, g in found.items()}


def unit_of(name: str) -> str:
    block = re.match(r"backbone\.(?:downsample_layers|stages|layers)\.\d+(?:\.\d+)?", name)
    return block.group() if block else name


@pytest.mark.parametrize(
    "case", REFERENCE["cases"], ids=lambda case: "-".join(str(case[key]) for key in list(case)[:4])
)
def test_mmsegs_own_numbers(case: dict[str, Any]) -> None:
    """Bit for bit, but for the exemptions that MM misses."""
    older = case["decay_type"] == "older"
    rules = (
        {"layer_decay_rate": case["decay_rate"]}
        if older
        else {
            "decay_rate": case["decay_rate"],
            "decay_type": case["decay_type"],
        }
    )
    model = STAND_INS[case["model"]]()
    found = options_by_name(model, OLD if older else NEW, num_layers=case["num_layers"], **rules)
    for name, group in found.items():
        layer = case["layers"][unit_of(name)]
        assert group["lr"] == case["lr"][str(layer)], name
        decay = case["weight_decay"][re.sub(r"\d+", "N", name)]
        if name.rpartition(".")[2] in EXEMPT_HERE:
            assert (decay, group["weight_decay"]) == (WD, 0.0), name
        else:
            assert group["weight_decay"] == decay, name
        if case["decay_rate"] < 1:
            assert group["name"] == f"layer_{layer}_{'decay' if group['weight_decay'] else 'no_decay'}"


@pytest.mark.parametrize(
    ("depths", "expected"),
    [
        ((3, 3, 27, 3), 12),  # base, large, xlarge
        ((3, 3, 9, 3), 6),  # tiny
        ((2, 2, 6, 2), 5),  # atto, femto, pico
        ((2, 2, 8, 2), 6),  # nano
        ((3, 3, 5, 3), 5),
        ((1, 1, 1, 1), 4),
    ],
)
def test_the_layers_of_convnext(depths: tuple[int, ...], expected: int) -> None:
    found = multiples(Segmentor(ConvNeXt(*depths)), decay_rate=0.5)
    layers = {
        "stages.0": 1,
        "downsample_layers.1": 2,
        "stages.1": 2,
        "downsample_layers.2": 3,
        "downsample_layers.0": 0,
    }
    layers |= {f"stages.2.{block}": 3 + block // 3 for block in range(depths[2])}
    layers |= {"stages.3": expected, "downsample_layers.3": expected, "norm0": expected + 1}
    for part, layer in layers.items():
        rates = {lr for name, (lr, _) in found.items() if name.startswith(f"backbone.{part}.")}
        assert rates == {round(0.5 ** (expected + 1 - layer), 9)}, part
    assert found["decode_head.conv_seg.weight"] == found["neck.upsample_4x.0.weight"] == (1, 1)
    assert found["decode_head.bottleneck.bn.weight"] == (1, 0)


def test_stage_wise_is_mms_and_can_be_put_right() -> None:
    model = Segmentor(ConvNeXt(3, 3, 27, 3))
    mm = multiples(model, decay_rate=0.9, decay_type="stage_wise", num_layers=12)
    assert mm["backbone.stages.3.0.depthwise_conv.weight"] == (round(0.9**9, 9), 1)
    assert mm == multiples(model, decay_rate=0.9, decay_type="stage_wise")  # 'auto' counts 12 too
    right = multiples(model, decay_rate=0.9, decay_type="stage_wise", stage_exponents="stages")
    for stage in range(4):
        assert right[f"backbone.stages.{stage}.0.depthwise_conv.weight"] == (round(0.9 ** (4 - stage), 9), 1)
        assert right[f"backbone.downsample_layers.{stage}.1.weight"] == (round(0.9**5, 9), 1)
    assert right["decode_head.conv_seg.weight"] == (1, 1)


def test_plain_transformers_by_block() -> None:
    found = multiples(Segmentor(BEiT(4)), decay_rate=0.5)
    assert found["backbone.cls_token"] == (0.5**5, 0)
    assert found["backbone.patch_embed.projection.weight"] == (0.5**5, 1)
    for block in range(4):
        assert found[f"backbone.layers.{block}.attn.qkv.weight"] == (0.5 ** (4 - block), 1)
        assert found[f"backbone.layers.{block}.attn.relative_position_bias_table"] == (0.5 ** (4 - block), 0)
        assert found[f"backbone.layers.{block}.attn.q_bias"] == (0.5 ** (4 - block), 0)


def test_a_row_of_the_table_that_matches_nothing_is_said() -> None:
    table = [{"pattern": "backbone.layers.{block}", "layer": "block + 1"}, {"pattern": "backbone.layer", "layer": 0}]
    notes = build(Segmentor(BEiT(4)), decay_rate=0.5, layer_table=table).group_notes
    told = [row.name for row in notes if row.note == "a row of layer_table that matches no parameter"]
    assert told == ["backbone.layer"]


def test_a_larger_num_layers_slows_the_backbone_and_is_said() -> None:
    wrapper = build(Segmentor(BEiT(4)), decay_rate=0.5, num_layers=6)
    assert {row.name: row.lr for row in wrapper.group_table}["layer_4_decay"] == LR * 0.5**3
    assert wrapper.group_notes[0].note == (
        "ViT as mmseg names it: 4 layers, decay_rate 0.5; num_layers=6 keeps them further below the full rate"
    )


@pytest.mark.parametrize(
    ("model", "num_layers", "count"), [("beit_base", 11, 12), ("convnext_base", 6, 12), ("convnext_tiny", 5, 6)]
)
def test_a_num_layers_that_is_too_small_is_refused(model: str, num_layers: int, count: int) -> None:
    """MM's rates are above the optimizer's then, silently."""
    with pytest.raises(ConfigError, match=f"num_layers: {num_layers} is too small, as backbone .* has {count} layers"):
        build(STAND_INS[model](), decay_rate=0.9, num_layers=num_layers)


def test_of_stages_num_layers_must_be_no_more_than_their_number() -> None:
    assert build(STAND_INS["convnext_base"](), decay_rate=0.9, decay_type="stage_wise", num_layers=4)
    with pytest.raises(ConfigError, match=r"num_layers: 3 is too small, as backbone .* has 4 stages"):
        build(STAND_INS["convnext_base"](), decay_rate=0.9, decay_type="stage_wise", num_layers=3)


class WithHead(nn.Module):
    """A network of timm with a head beside it."""

    def __init__(self, name: str = "vit_tiny_patch16_224", **options: Any) -> None:
        super().__init__()
        with torch.device("meta"):
            self.encoder = timm.create_model(name, num_classes=0, **options)
            self.head = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4))


def test_custom_keys_and_multipliers_act_on_top_of_the_layers() -> None:
    """MM ignores them here, silently."""
    rules: dict[str, Any] = {
        "custom_keys": {"head": {"lr_mult": 10.0}, "blocks.3.attn": {"lr_mult": 0.5, "decay_mult": 2.0}},
        "norm_decay_mult": 0.5,
        "bias_lr_mult": 2.0,
    }
    found = multiples(WithHead(depth=4), decay_rate=0.5, **rules)
    assert found["head.0.weight"] == (10, 1)
    assert found["head.0.bias"] == (10, 0)  # the key says nothing of weight decay: the exemption stays
    assert found["encoder.blocks.3.attn.qkv.weight"] == (0.25, 2)
    assert found["encoder.blocks.3.attn.qkv.bias"] == (0.25, 2)
    assert found["encoder.blocks.3.norm1.weight"] == (0.5, 0.5)
    assert found["encoder.blocks.3.norm1.bias"] == (0.5, 0.5)
    assert found["encoder.blocks.3.mlp.fc1.bias"] == (1, 0)
    assert found["encoder.blocks.3.mlp.fc1.weight"] == (0.5, 1)


def test_a_custom_keys_own_lr_is_taken_as_it_is() -> None:
    found = options_by_name(WithHead(depth=4), decay_rate=0.5, custom_keys={"blocks.0.attn": {"lr": 0.3}})
    assert found["encoder.blocks.0.attn.qkv.weight"]["lr"] == 0.3
    assert found["encoder.blocks.0.attn.qkv.weight"]["name"] == "layer_1_decay_blocks.0.attn"


def test_equal_groups_are_merged_and_the_full_rate_comes_first() -> None:
    names = [group["name"] for group in build(WithHead(depth=2), decay_rate=0.9, norm_decay_mult=0.0).param_groups]
    layers = {f"layer_{layer}_{kind}" for layer in range(4) for kind in ("decay", "no_decay")}
    assert names[0] == "layer_3_decay"
    assert len(names) == len(layers)
    assert set(names) == layers
    flat = build(WithHead(depth=2), decay_rate=1.0).param_groups
    assert [(group["lr"], group["weight_decay"]) for group in flat] == [(LR, WD), (LR, 0.0)]


def test_a_custom_key_that_matches_nothing_is_seen_here_too() -> None:
    with pytest.raises(ConfigError, match=r"custom_keys\.haed: matches no parameter; did you mean 'head'"):
        build(WithHead(depth=2), decay_rate=0.9, custom_keys={"haed": {"lr_mult": 2.0}})


def test_frozen_parameters_keep_their_layer() -> None:
    net = WithHead(depth=2)
    net.encoder.blocks.requires_grad_(False)
    rows = {row.name: row for row in build(net, decay_rate=0.9).group_table}
    assert rows["layer_1_decay"].tensors == 4
    assert rows["layer_1_decay"].note == "4 frozen"


def test_an_optimizer_without_weight_decay() -> None:
    cfg = {"optimizer": {"type": "Rprop", "lr": LR}, "constructor": NEW, "paramwise_cfg": {"decay_rate": 0.5}}
    groups = build_optim_wrapper(WithHead(depth=2), cfg).param_groups
    assert [(group["name"], group["lr"] / LR) for group in groups] == [
        ("layer_3_decay", 1),
        ("layer_0_decay", 0.125),
        ("layer_1_decay", 0.25),
        ("layer_2_decay", 0.5),
    ]


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ({}, "'decay_rate' is missing, such as decay_rate=0.9"),
        ({"decay_rate": 1.5}, "decay_rate: expected a number above 0 and at most 1, found 1.5"),
        ({"decay_rate": 0.0}, "decay_rate: expected a number above 0"),
        ({"decay_rate": "0.9"}, "decay_rate: expected a number above 0"),
        ({"decay_rate": 0.9, "decay_type": "layerwise"}, "decay_type: .* found 'layerwise'; did you mean 'layer_wise'"),
        ({"decay_rate": 0.9, "decay_type": "stage_wise"}, "decay_type: ViT has no stages; use 'layer_wise'"),
        ({"decay_rate": 0.9, "stage_exponents": "stages"}, "stage_exponents: it belongs to decay_type='stage_wise'"),
        ({"decay_rate": 0.9, "num_layers": 0}, "num_layers: expected 'auto' or a number of at least 1, found 0"),
        ({"decay_rate": 0.9, "num_layers": "12"}, "num_layers: expected 'auto'"),
        ({"decay_rat": 0.9}, "decay_rat: no such rule; did you mean 'decay_rate'"),
        ({"layer_decay_rate": 0.9}, "layer_decay_rate: no such rule; it is called 'decay_rate' with this constructor"),
        ({"decay_rate": 0.9, "norm_decay_mul": 0.0}, "did you mean 'norm_decay_mult'"),
    ],
)
def test_wrong_rules_are_refused(rules: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        build(WithHead(depth=2), **rules)


def test_the_rules_of_one_constructor_are_not_anothers() -> None:
    with pytest.raises(ConfigError, match="decay_rate: no such rule; it is called 'layer_decay_rate'"):
        build(WithHead(depth=2), OLD, decay_rate=0.9)
    with pytest.raises(
        ConfigError, match=r"decay_rate: no such rule; .*='LearningRateDecayOptimizerConstructor' takes"
    ):
        build(WithHead(depth=2), "DefaultOptimWrapperConstructor", decay_rate=0.9)
    with pytest.raises(ConfigError, match=r"layer_decay_rate: no such rule; .*='LayerDecayOptimizerConstructor' takes"):
        build(WithHead(depth=2), "DefaultOptimWrapperConstructor", layer_decay_rate=0.9)


def test_a_built_optimizer_is_refused() -> None:
    net = WithHead(depth=2)
    cfg = {"optimizer": torch.optim.SGD(net.parameters(), 0.1), "constructor": NEW, "paramwise_cfg": {}}
    with pytest.raises(ConfigError, match="it is already built"):
        build_optim_wrapper(net, cfg)


def test_the_checker_knows_the_rules() -> None:
    def problems(constructor: str, paramwise_cfg: dict[str, Any]) -> list[str]:
        checker = Checker(lambda path: "")
        section = {"optimizer": {"type": "AdamW"}, "constructor": constructor, "paramwise_cfg": paramwise_cfg}
        checker.value(section, SECTIONS["optim_wrapper"].annotation, "optim_wrapper")
        return [str(problem) for problem in checker.problems]

    table = [{"pattern": "net.prompt", "layer": 0}, {"pattern": "b.{i}", "layer": "i + 1", "stage": 1}]
    good = {"decay_rate": 0.9, "num_layers": 12, "decay_type": "stage_wise", "norm_decay_mult": 0.0}
    assert problems(NEW, {**good, "layer_table": table}) == []
    assert problems(NEW, {"decay_rate": 1, "num_layers": "auto", "layer_table": "own.table"}) == []
    assert problems(OLD, {"layer_decay_rate": 0.9, "num_layers": 24}) == []
    assert problems(NEW, {"num_layers": 12}) == ["optim_wrapper.paramwise_cfg: 'decay_rate' is missing"]
    (wrong,) = problems(NEW, {"decay_rate": 2.0})
    assert wrong.startswith("optim_wrapper.paramwise_cfg.decay_rate: expected")
    assert "above 0 and at most 1" in wrong
    (wrong,) = problems(NEW, {"decay_rate": 0.5, "layer_table": [{"patern": "x", "layer": 0}]})
    assert "layer_table.0.patern: no such key" in wrong


def test_names_are_canonical_under_wrappers() -> None:
    wrapped: Any = torch.compile(Segmentor(BEiT(2)))
    assert [row.tensors for row in build(wrapped, decay_rate=0.9).group_table] == [
        row.tensors for row in build(Segmentor(BEiT(2)), decay_rate=0.9).group_table
    ]
