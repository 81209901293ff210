"""The open table of layers: its patterns and arithmetic, a user's rows, lists and functions, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import segmentation_models_pytorch as smp
import timm
import torch
from torch import nn

from rayseg.core.errors import ConfigError
from rayseg.optim.layer_decay import layer_table_of
from rayseg.optim.layer_families import NAMINGS
from rayseg.optim.layer_rules import LayerRow, evaluate
from rayseg.optim.layers import find_layers

from tests.unit.optim.mm_stand_ins import BEiT, Segmentor, both, tree  # isort: skip


def names_of(module: nn.Module) -> list[str]:
    return [name for name, _ in module.named_parameters()]


def on_meta(build: Callable[[], nn.Module]) -> list[str]:
    """The parameters' names of a network without values."""
    with torch.device("meta"):
        return names_of(build())


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("net.stem", "net.stem", {}),
        ("net.stem", "net.stem.0.weight", {}),
        ("net.stem", "net.stems.weight", None),
        ("stem", "net.stem.weight", None),
        ("*.stem", "net.encoder.stem.weight", {}),
        ("blocks.{block}", "blocks.12.attn.weight", {"block": 12}),
        ("blocks.{block}", "blocks.attn.weight", None),
        ("stages?{stage}.blocks.{block}", "stages_2.blocks.10.gamma", {"stage": 2, "block": 10}),
        ("stages?{stage}.blocks.{block}", "stages.2.blocks.10", {"stage": 2, "block": 10}),
        ("layer{stage}.{block}", "layer3.0.conv1.weight", {"stage": 3, "block": 0}),
        ("a+b", "a+b.weight", {}),
        ("a+b", "aab.weight", None),
    ],
)
def test_patterns(pattern: str, name: str, expected: dict[str, int] | None) -> None:
    assert LayerRow(pattern, 0).numbers(name) == expected


@pytest.mark.parametrize(("text", "expected"), [("3 + block // 3", 5), ("2 * (block - 1)", 14), ("block", 8), ("7", 7)])
def test_arithmetic(text: str, expected: int) -> None:
    assert evaluate(text, {"block": 8}) == expected


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"pattern": "b.{block}", "layer": "blok + 1"}, "'blok . 1': 'blok' is no number here; did you mean 'block'"),
        (
            {"pattern": "b.{block}", "layer": "last - 1"},
            r"'last' is no number here \('last' and 'head' stand alone\); its pattern has block",
        ),
        ({"pattern": "b.{block}", "layer": "before + block"}, "'before' is no number here"),
        ({"pattern": "b", "layer": "x"}, "its pattern has no words in braces"),
        ({"pattern": "b.{block}", "layer": "block +"}, "'block .' is no arithmetic such as 'block . 1'"),
        ({"pattern": "b.{block}", "layer": "block / 2"}, "only whole numbers, words and"),
        ({"pattern": "b.{block}", "layer": "__import__('os')"}, "only whole numbers, words and"),
        ({"pattern": "b.{block}", "layer": "block // 0"}, "divides by zero"),
        ({"pattern": "b", "layer": -1}, "expected a number from 0, 'last', 'head' or arithmetic, found -1"),
        ({"pattern": "b", "layer": True}, "expected a number from 0"),
        ({"pattern": "b.{}", "layer": 0}, "each pair of braces holds a word of its own"),
        ({"pattern": "b.{n}.{n}", "layer": 0}, "each pair of braces holds a word of its own"),
        ({"pattern": "", "layer": 0}, "expected a pattern such as"),
        ({"pattern": "b"}, "a row needs a 'pattern' and a 'layer'"),
        ({"pattern": "b", "layer": 0, "sage": 1}, "sage: no such key; a row has 'pattern', 'layer' and"),
        (["b", 0], r"expected dict\(pattern=..., layer=...\), found \['b', 0\]"),
    ],
)
def test_wrong_rows_are_refused(row: Any, expected: str) -> None:
    with pytest.raises(ConfigError, match=rf"paramwise_cfg\.layer_table\.1.*{expected}"):
        layer_table_of([{"pattern": "a", "layer": 0}, row])


def test_every_row_of_the_families_is_a_row() -> None:
    for naming in NAMINGS:
        assert {LayerRow(row.pattern, row.layer, row.stage) for row in naming.rows} == set(naming.rows)


def prompted(depth: int = 2) -> nn.Module:
    return tree([*both("backbone.prompt"), "backbone.query"], Segmentor(BEiT(depth)))


def test_a_name_in_the_backbone_that_no_row_has_is_refused() -> None:
    """MM puts it into the top layer, silently."""
    message = (
        r"backbone\.query, backbone\.prompt\.weight, backbone\.prompt\.bias are in the backbone 'backbone' \(ViT as "
        r"mmseg names it\) without a layer; .*layer_table=\[dict\(pattern='backbone\.query', layer=0\), "
        r"dict\(pattern='backbone\.prompt', layer=0\)\]"
    )
    with pytest.raises(ConfigError, match=message):
        find_layers(names_of(prompted()))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda: smp.Unet("resnet18", encoder_weights=None),
            r"encoder\.conv1\.weight.*pattern='encoder\.conv1', layer=0",
        ),
        (
            lambda: timm.create_model("edgenext_xx_small"),
            r"nearest is ConvNeXt as timm .* stages\.1\.blocks\.1 holds no",
        ),
        (
            lambda: timm.create_model("pvt_v2_b0"),
            r"nearest is Swin as timm .*blocks\.0 holds no attn\.relative_position",
        ),
        (lambda: timm.create_model("xcit_nano_12_p16_224"), r"cls_attn_blocks\.0\.gamma1.* \(ViT as timm names it\)"),
        (lambda: timm.create_model("resnetv2_50"), r"Known are ConvNeXt \(mmpretrain, timm, transformers\), Swin"),
        (
            lambda: timm.create_model("mvitv2_tiny"),
            r"pattern='stages\.{stage}\.blocks\.{block}', layer='before . block",
        ),
    ],
)
def test_a_backbone_that_nobody_knows_is_refused(build: Callable[[], nn.Module], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        find_layers(on_meta(build))


def test_a_users_rows_come_first() -> None:
    rows = [
        {"pattern": "backbone.prompt", "layer": 0},
        {"pattern": "*.query", "layer": "head"},
        {"pattern": "backbone.layers.{block}.gamma_1", "layer": "block"},
        {"pattern": "decode_head", "layer": "last"},
    ]
    ids = find_layers(names_of(prompted()), layer_table_of(rows)).ids
    assert (ids["backbone.prompt.weight"], ids["backbone.query"]) == (0, 3)
    assert (ids["backbone.layers.1.gamma_1"], ids["backbone.layers.1.gamma_2"]) == (1, 2)
    assert (ids["decode_head.conv_seg.weight"], ids["neck.upsample_4x.0.weight"]) == (2, 3)


RESNET = [
    {"pattern": "encoder.conv1", "layer": 0, "stage": 0},
    {"pattern": "encoder.bn1", "layer": 0, "stage": 0},
    {"pattern": "encoder.layer{stage}.{block}", "layer": "before + block + 1", "stage": "stage"},
    {"pattern": "decoder", "layer": "head", "stage": "head"},
    {"pattern": "segmentation_head", "layer": "head", "stage": "head"},
]


def test_a_table_makes_another_backbone_known() -> None:
    names = on_meta(lambda: smp.Unet("resnet34", encoder_weights=None))
    found = find_layers(names, layer_table_of(RESNET))
    assert found.top == 3 + 4 + 6 + 3
    assert found.ids["encoder.layer1.0.conv1.weight"] == 1
    assert found.ids["encoder.layer3.5.conv2.weight"] == 13
    assert found.ids["encoder.layer4.2.conv2.weight"] == 16
    assert found.ids["decoder.blocks.0.conv1.0.weight"] == 17
    stages = find_layers(names, layer_table_of(RESNET), by_stage=True)
    assert (stages.top, stages.ids["encoder.layer3.5.conv2.weight"]) == (4, 3)


def test_of_a_backbone_that_only_a_table_knows_nothing_is_left_to_the_heads() -> None:
    names = on_meta(lambda: smp.Unet("resnet18", encoder_weights=None))
    with pytest.raises(
        ConfigError, match=r"layer_table has no row for it: segmentation_head\.0\.weight, .* are without"
    ):
        find_layers(names, layer_table_of(RESNET[:-1]))


def test_stage_wise_needs_a_stage_in_each_row() -> None:
    table = layer_table_of([{"pattern": "backbone.prompt", "layer": 0}])
    with pytest.raises(
        ConfigError, match=r"layer_table: 'backbone\.prompt' has no stage, which decay_type='stage_wise'"
    ):
        find_layers(names_of(prompted()), table, by_stage=True)


def test_a_table_of_a_dotted_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_layers.py").write_text(
        "table = [dict(pattern='backbone.prompt', layer=0), dict(pattern='backbone.query', layer=1)]\n"
        "def layer_of(name):\n"
        "    return {'backbone.query': 'last', 'backbone.prompt.weight': 1, 'backbone.prompt.bias': 0}.get(name)\n"
        "size = 3\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    names = names_of(prompted())
    rows = find_layers(names, layer_table_of("own_layers.table")).ids
    assert (rows["backbone.prompt.bias"], rows["backbone.query"]) == (0, 1)
    by_function = find_layers(names, layer_table_of("own_layers.layer_of")).ids
    assert [by_function[f"backbone.{part}"] for part in ("prompt.weight", "prompt.bias", "query")] == [1, 0, 2]
    with pytest.raises(ConfigError, match=r"layer_table: module 'own_layers' has no 'tabel'; did you mean 'table'"):
        layer_table_of("own_layers.tabel")
    with pytest.raises(ConfigError, match=r"layer_table: expected a list of dict.* or a function, found 3"):
        layer_table_of("own_layers.size")


def test_a_function_that_gives_no_layer_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"expected a number from 0, .* for backbone\.\S+, found -1"):
        find_layers(names_of(prompted()), lambda name: -1)


def test_a_layer_below_0_is_refused() -> None:
    table = layer_table_of([{"pattern": "backbone.layers.{block}", "layer": "block - 1"}])
    with pytest.raises(ConfigError, match=r"'backbone\.layers\.{block}' gives backbone\.layers\.0\.\S+ the layer -1"):
        find_layers(names_of(Segmentor(BEiT(2))), table)


def test_two_backbones_end_at_one_layer() -> None:
    model = nn.Module()
    model.left, model.right, model.head = BEiT(2), BEiT(4), nn.Linear(2, 2)
    found = find_layers(names_of(model))
    assert [(str(backbone), backbone.count) for backbone in found.backbones] == [
        ("left (ViT as mmseg names it)", 2),
        ("right (ViT as mmseg names it)", 4),
    ]
    assert found.ids["left.layers.1.gamma_1"] == found.ids["right.layers.3.gamma_1"] == found.top == 4
    assert (found.ids["left.cls_token"], found.ids["right.cls_token"], found.ids["head.weight"]) == (2, 0, 5)
