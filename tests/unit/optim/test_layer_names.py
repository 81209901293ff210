"""Every parameter of real backbones has its layer, whoever names it: smp, timm, and transformers by stand-ins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import segmentation_models_pytorch as smp
import timm
import torch
from torch import nn

from rayseg.optim.layers import Layers, find_layers

from tests.unit.optim.mm_stand_ins import both, tree  # isort: skip


def layers_of(build: Callable[[], nn.Module], **options: Any) -> Layers:
    """The layers of a network without values, held as ``net``."""
    holder = nn.Module()
    with torch.device("meta"):
        holder.net = build()
    found = find_layers([name for name, _ in holder.named_parameters()], **options)
    assert set(found.ids) == {name for name, _ in holder.named_parameters()}
    return found


TIMM = [
    ("convnext_atto", "ConvNeXt as timm names it", 5),
    ("convnext_femto_ols", "ConvNeXt as timm names it", 5),
    ("convnext_nano", "ConvNeXt as timm names it", 6),
    ("convnext_tiny", "ConvNeXt as timm names it", 6),
    ("convnext_small", "ConvNeXt as timm names it", 12),
    ("convnext_xlarge", "ConvNeXt as timm names it", 12),
    ("convnextv2_pico", "ConvNeXt as timm names it", 5),
    ("swin_tiny_patch4_window7_224", "Swin as timm names it", 12),
    ("swin_base_patch4_window7_224", "Swin as timm names it", 24),
    ("swinv2_tiny_window8_256", "Swin as timm names it", 12),
    ("swinv2_cr_tiny_224", "Swin as timm names it", 12),
    ("vit_tiny_patch16_224", "ViT as timm names it", 12),
    ("vit_base_patch16_224.mae", "ViT as timm names it", 12),
    ("vit_large_patch16_224.mae", "ViT as timm names it", 24),
    ("vit_base_patch16_clip_224", "ViT as timm names it", 12),
    ("vit_small_patch14_reg4_dinov2", "ViT as timm names it", 12),
    ("vit_small_patch16_dinov3", "ViT as timm names it", 12),
    ("vit_base_patch16_siglip_224", "ViT as timm names it", 12),
    ("vit_relpos_base_patch16_224", "ViT as timm names it", 12),
    ("deit_tiny_distilled_patch16_224", "ViT as timm names it", 12),
    ("eva02_tiny_patch14_224", "ViT as timm names it", 12),
    ("beit_base_patch16_224", "ViT as timm names it", 12),
    ("beitv2_large_patch16_224", "ViT as timm names it", 24),
]


@pytest.mark.parametrize(("name", "naming", "count"), TIMM, ids=[row[0] for row in TIMM])
def test_timm(name: str, naming: str, count: int) -> None:
    found = layers_of(lambda: timm.create_model(name))
    assert [(str(backbone.naming), backbone.count) for backbone in found.backbones] == [(naming, count)]
    assert sorted(set(found.ids.values())) == list(range(count + 2))


@pytest.mark.parametrize(
    "name", ["convnext_atto", "swin_tiny_patch4_window7_224", "vit_tiny_patch16_224", "beit_base_patch16_224"]
)
def test_timm_as_features_only(name: str) -> None:
    found = layers_of(lambda: timm.create_model(name, features_only=True))
    assert sorted(set(found.ids.values())) == list(range(found.top + 1))


def test_the_rows_of_timms_convnext() -> None:
    ids = layers_of(lambda: smp.Unet("tu-convnext_tiny", encoder_weights=None)).ids
    prefix = "net.encoder.model"
    expected = {f"{prefix}.stem_{n}.weight": 0 for n in (0, 1)}
    expected |= {f"{prefix}.stages_{n}.downsample.1.weight": layer for n, layer in ((1, 2), (2, 3), (3, 6))}
    expected |= {f"{prefix}.stages_{n}.blocks.2.conv_dw.weight": layer for n, layer in ((0, 1), (1, 2), (3, 6))}
    expected |= {f"{prefix}.stages_2.blocks.{n}.gamma": 3 + n // 3 for n in range(9)}
    expected |= {"net.decoder.blocks.0.conv1.0.weight": 7, "net.segmentation_head.0.weight": 7}
    assert {name: ids[name] for name in expected} == expected


def test_the_rows_of_timms_swin() -> None:
    """Blocks 2-2-6-2; merging patches belongs to the block before it."""
    build = lambda: smp.UPerNet("tu-swin_tiny_patch4_window7_224", encoder_weights=None)  # noqa: E731
    ids, prefix = layers_of(build).ids, "net.encoder.model"
    expected = {f"{prefix}.patch_embed.proj.weight": 0, f"{prefix}.layers_0.blocks.1.norm1.bias": 2}
    expected |= {f"{prefix}.layers_{n}.downsample.reduction.weight": layer for n, layer in ((1, 2), (2, 4), (3, 10))}
    expected |= {f"{prefix}.layers_2.blocks.{n}.attn.qkv.weight": 5 + n for n in range(6)}
    expected |= {f"{prefix}.layers_3.blocks.1.mlp.fc1.weight": 12, "net.segmentation_head.0.weight": 13}
    assert {name: ids[name] for name in expected} == expected
    stages = layers_of(build, by_stage=True).ids
    expected = {f"{prefix}.patch_embed.proj.weight": 0, f"{prefix}.layers_3.blocks.0.norm1.bias": 4}
    expected |= {f"{prefix}.layers_{n}.downsample.reduction.weight": n for n in (1, 2, 3)}
    assert {name: stages[name] for name in expected} == expected


@pytest.mark.parametrize("encoder", ["tu-vit_tiny_patch16_224", "tu-beit_base_patch16_224"])
def test_smps_plain_transformers(encoder: str) -> None:
    found = layers_of(lambda: smp.DPT(encoder, encoder_weights=None))
    assert found.ids["net.encoder.model.cls_token"] == 0
    assert found.ids["net.encoder.model.blocks.11.attn.proj.weight"] == 12
    assert found.ids["net.encoder.model.head.weight"] == found.ids["net.decoder.fusion_blocks.0.project.weight"] == 13


def test_an_encoder_without_its_last_stage() -> None:
    found = layers_of(
        lambda: smp.Unet("tu-convnext_atto", encoder_weights=None, encoder_depth=4, decoder_channels=(8,) * 4)
    )
    assert (found.top, found.ids["net.encoder.model.stages_2.blocks.5.gamma"]) == (4, 4)


def _patches(projection: str = ".projection") -> list[str]:
    return ["embeddings.cls_token", "embeddings.position_embeddings", *both(f"embeddings.patch_embeddings{projection}")]


def _blocks(pattern: str, count: int, *parts: str) -> list[str]:
    return [name for index in range(count) for part in parts for name in both(f"{pattern.format(index)}.{part}")]


_ATTENTION = ("attention.q_proj", "layernorm_before", "mlp.fc1")
_OLD_ATTENTION = ("attention.attention.query", "layernorm_before", "intermediate.dense")
_SWIN = [
    name for s in range(4) for name in _blocks(f"encoder.layers.{s}.blocks.{{}}", 2, "attention.q_proj", "mlp.fc1")
]
_MERGING = [f"encoder.layers.{s}.downsample.reduction.weight" for s in range(3)]
_CONVNEXT = [
    name
    for s in range(4)
    for name in _blocks(f"encoder.stages.{s}.layers.{{}}", (2, 2, 6, 2)[s], "dwconv", "layernorm", "pwconv1")
]
_DOWNSAMPLING = [name for s in (1, 2, 3) for name in both(f"encoder.stages.{s}.downsampling_layer.1")]
# The names of transformers 5.24, and of 4.57 where they differ, shortened to the parts that tell a layer.
TRANSFORMERS: list[tuple[str, list[str], str, int, dict[str, int]]] = [
    (
        "ViT",
        [*_patches(), *_blocks("layers.{}", 3, *_ATTENTION), *both("layernorm", "pooler.dense")],
        "",
        3,
        {"embeddings.cls_token": 0, "layers.2.attention.q_proj.bias": 3, "layernorm.weight": 4},
    ),
    (
        "ViT",
        [*_patches(), *_blocks("encoder.layer.{}", 3, *_OLD_ATTENTION), *both("layernorm")],
        "vit.",
        3,
        {"embeddings.position_embeddings": 0, "encoder.layer.0.layernorm_before.weight": 1},
    ),
    (
        "ViT",
        [*_patches(), *_blocks("layers.{}", 2, *_ATTENTION), "shared_position_bias.relative_position_bias_table"],
        "beit.",
        2,
        {"shared_position_bias.relative_position_bias_table": 0, "layers.1.mlp.fc1.weight": 2},
    ),
    (
        "Swin",
        [*_patches()[1:], *both("embeddings.norm"), *_SWIN, *_MERGING, *both("layernorm")],
        "swin.",
        8,
        {
            "embeddings.norm.weight": 0,
            "encoder.layers.0.downsample.reduction.weight": 2,
            "encoder.layers.1.blocks.0.mlp.fc1.bias": 3,
            "encoder.layers.2.downsample.reduction.weight": 6,
            "layernorm.weight": 9,
        },
    ),
    (
        "ConvNeXt",
        [
            *both("embeddings.patch_embeddings", "embeddings.layernorm", "hidden_states_norms.stage1"),
            *_CONVNEXT,
            *_DOWNSAMPLING,
        ],
        "backbone.",
        5,
        {
            "embeddings.layernorm.bias": 0,
            "encoder.stages.1.downsampling_layer.1.weight": 2,
            "encoder.stages.2.layers.5.dwconv.weight": 4,
            "encoder.stages.3.layers.1.pwconv1.weight": 5,
            "hidden_states_norms.stage1.weight": 6,
        },
    ),
]


@pytest.mark.parametrize(("family", "names", "prefix", "count", "expected"), TRANSFORMERS)
def test_transformers(family: str, names: list[str], prefix: str, count: int, expected: dict[str, int]) -> None:
    names = [*(prefix + name for name in names), *(both("decode_head.classifier") if prefix else [])]
    found = layers_of(lambda: tree(names))
    (backbone,) = found.backbones
    assert (str(backbone.naming), backbone.prefix) == (f"{family} as transformers names it", f"net.{prefix}")
    assert found.top == count
    assert {name: found.ids[f"net.{prefix}{name}"] for name in expected} == expected
    if prefix:
        assert found.ids["net.decode_head.classifier.weight"] == count + 1


SWIN_BLOCKS = {
    "mmseg": ("stages", "attn.w_msa.relative_position_bias_table"),
    "Microsoft": ("layers", "attn.relative_position_bias_table"),
}


@pytest.mark.parametrize("library", SWIN_BLOCKS)
def test_swin_with_its_merging_at_the_end_of_a_stage(library: str) -> None:
    stages, table = SWIN_BLOCKS[library]
    names = ["absolute_pos_embed", *both("patch_embed.projection")]
    names += [f"{stages}.{s}.blocks.{b}.{table}" for s in range(4) for b in range((2, 2, 6, 2)[s])]
    names += [f"{stages}.{s}.downsample.reduction.weight" for s in range(3)]
    names += both("norm3") if library == "mmseg" else both("norm", "head")
    found = layers_of(lambda: tree(names))
    assert str(found.backbones[0].naming) == f"Swin as {library} names it"
    merging = [found.ids[f"net.{stages}.{s}.downsample.reduction.weight"] for s in range(3)]
    assert merging == [2, 4, 10]
    assert found.ids[f"net.{stages}.2.blocks.5.{table}"] == 10
    assert (found.ids["net.absolute_pos_embed"], found.top) == (0, 12)
