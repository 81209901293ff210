"""The parts of a model section: encoders, losses, preprocessor, heads, keys of parameter names."""

from __future__ import annotations

from typing import Any

import pytest

from rayseg.migration import migrate
from rayseg.migration.encoders import encoder_of
from rayseg.migration.lines import Lines
from rayseg.migration.losses import migrate_losses
from rayseg.migration.preprocessor import migrate_preprocessor

from tests.unit.migration.conftest import Write  # isort: skip


def lines_of(lines: Lines) -> list[str]:
    return [f"{line.kind} {line.key}" for line in lines.sorted()]


@pytest.mark.parametrize(
    ("backbone", "weights", "name"),
    [
        ({"type": "ResNet", "depth": 34}, None, "resnet34"),
        ({"type": "ResNetV1c", "depth": 101}, "open-mmlab://resnet101_v1c", "tu-resnet101c"),
        ({"type": "ResNetV1c", "depth": 18}, None, "resnet18"),
        ({"type": "ResNetV1d", "depth": 50}, None, "tu-resnet50d"),
        ({"type": "ResNet", "depth": 20}, None, None),
        ({"type": "ResNeXt", "depth": 101, "groups": 32, "base_width": 8}, None, "resnext101_32x8d"),
        ({"type": "ResNeXt", "depth": 101, "groups": 64, "base_width": 4}, None, None),
        ({"type": "ResNeSt", "depth": 101}, None, "tu-resnest101e"),
        ({"type": "MobileNetV2", "widen_factor": 0.5}, None, None),
        ({"type": "mmseg.MixVisionTransformer", "embed_dims": 32, "num_layers": [2, 2, 2, 2]}, None, "mit_b0"),
        ({"type": "MixVisionTransformer", "embed_dims": 64, "num_layers": (3, 6, 40, 3)}, None, "mit_b5"),
        ({"type": "MixVisionTransformer", "embed_dims": 48, "num_layers": (3, 6, 40, 3)}, None, None),
        ({"type": "mmpretrain.ConvNeXt", "arch": "xlarge"}, "convnext-xlarge_in21k.pth", "tu-convnext_xlarge.fb_in22k"),
        ({"type": "ConvNeXt", "arch": "small"}, None, "tu-convnext_small"),
        ({"type": "SwinTransformer"}, None, "tu-swin_tiny_patch4_window7_224"),
        (
            {"type": "SwinTransformer", "embed_dims": 192, "depths": [2, 2, 18, 2], "window_size": 12},
            "swin_large_patch4_window12_384_22k.pth",
            "tu-swin_large_patch4_window12_384.ms_in22k",
        ),
        ({"type": "SwinTransformer", "embed_dims": 96, "window_size": 12}, None, None),
        ({"type": "PCPVT", "depths": [3, 4, 18, 3]}, None, "tu-twins_pcpvt_base"),
        ({"type": "SVT", "embed_dims": [128, 256, 512, 1024]}, None, "tu-twins_svt_large"),
        ({"type": "mmpretrain.PoolFormer", "arch": "m36"}, None, "tu-poolformer_m36"),
        (
            {"type": "HRNet", "extra": {"stage2": {"num_blocks": (2, 2), "num_channels": (18, 36)}}},
            None,
            "tu-hrnet_w18_small_v2",
        ),
        ({"type": "VisionTransformer", "embed_dims": 1024, "num_layers": 24}, None, "tu-vit_large_patch16_224"),
        ({"type": "STDCNet"}, None, None),
        ({}, None, None),
    ],
)
def test_encoders(backbone: dict[str, Any], weights: str | None, name: str | None) -> None:
    encoder = encoder_of(backbone, weights)
    assert (encoder and encoder.name) == name


@pytest.mark.parametrize(
    ("loss", "migrated", "lines"),
    [
        (None, {"type": "CrossEntropyLoss", "avg_non_ignore": False}, []),
        (
            {"type": "CrossEntropyLoss", "use_sigmoid": False, "loss_weight": 1.0, "avg_non_ignore": True},
            {"type": "CrossEntropyLoss", "avg_non_ignore": True},
            [],
        ),
        (
            {"type": "mmseg.CrossEntropyLoss", "class_weight": (0.5, 2.0), "loss_name": "loss_x", "loss_weight": 0.4},
            {
                "type": "CrossEntropyLoss",
                "avg_non_ignore": False,
                "class_weight": [0.5, 2.0],
                "loss_name": "loss_x",
                "loss_weight": 0.4,
            },
            [],
        ),
        (
            {"type": "CrossEntropyLoss", "class_weight": "weights.npy"},
            {"type": "CrossEntropyLoss", "avg_non_ignore": False},
            ["missing model.loss.class_weight"],
        ),
        (
            {"type": "CrossEntropyLoss", "use_mask": True},
            {"type": "CrossEntropyLoss", "avg_non_ignore": False},
            ["differs model.loss.use_mask"],
        ),
        (
            {"type": "DiceLoss", "eps": 1, "use_sigmoid": False},
            {"type": "DiceLoss", "smooth": 0.5},
            ["differs model.loss"],
        ),
        ({"type": "DiceLoss"}, {"type": "DiceLoss", "use_sigmoid": True, "smooth": 0.0005}, ["differs model.loss"]),
        (
            {"type": "FocalLoss", "alpha": 0.25, "use_sigmoid": True},
            {"type": "FocalLoss", "avg_non_ignore": False, "alpha": 0.25},
            [],
        ),
        (
            {"type": "LovaszLoss", "per_image": True, "reduction": "none"},
            {"type": "LovaszLoss", "per_image": True, "reduction": "none"},
            [],
        ),
        ({"type": "TverskyLoss", "alpha": 0.4, "beta": 0.6}, {"type": "TverskyLoss", "alpha": 0.4, "beta": 0.6}, []),
        (
            {"type": "OhemCrossEntropy", "thres": 0.9, "class_weight": [1.0, 2.0]},
            {"type": "CrossEntropyLoss", "avg_non_ignore": False, "class_weight": [1.0, 2.0]},
            ["differs model.loss"],
        ),
        ({"type": "BoundaryLoss"}, None, ["missing model.loss"]),
    ],
)
def test_losses(loss: Any, migrated: Any, lines: list[str]) -> None:
    found = Lines()
    assert migrate_losses(loss, "model.loss", found) == ([] if migrated is None else [migrated])
    assert lines_of(found) == lines


def test_a_preprocessor_without_bgr_to_rgb_gives_the_network_bgr() -> None:
    lines = Lines()
    config = {"type": "SegDataPreProcessor", "mean": [1, 2, 3], "std": [4, 5, 6], "size_divisor": 32, "seg_pad_val": 0}
    assert migrate_preprocessor(config, "p", lines) == {
        "mean": [1.0, 2.0, 3.0],
        "std": [4.0, 5.0, 6.0],
        "rgb_to_bgr": True,
        "size_divisor": 32,
    }
    assert lines_of(lines) == ["differs p", "dropped p.seg_pad_val"]


def test_a_preprocessor_without_statistics_does_not_normalise() -> None:
    lines = Lines()
    found = migrate_preprocessor(
        {"bgr_to_rgb": True, "batch_augments": [1], "test_cfg": {"size_divisor": 8}}, "p", lines
    )
    assert found == {"mean": None, "std": None, "test_cfg": {"size_divisor": 8}}
    assert lines_of(lines) == ["missing p.batch_augments"]


def test_images_of_other_channels_are_missing() -> None:
    lines = Lines()
    migrate_preprocessor({"mean": [0.0] * 6, "std": [1.0] * 6, "bgr_to_rgb": True}, "p", lines)
    assert lines_of(lines) == ["missing p.mean", "missing p.std"]


@pytest.mark.parametrize("value", ["imagenet", 0.5, [0.0, "a", 1.0]])
def test_statistics_that_are_no_numbers_are_missing(value: Any) -> None:
    lines = Lines()
    found = migrate_preprocessor({"mean": value, "std": [1.0] * 3, "bgr_to_rgb": True}, "p", lines)
    assert found == {"mean": "imagenet", "std": [1.0] * 3}
    assert lines_of(lines) == ["missing p.mean"]
    assert lines.sorted()[0].text().startswith(f"{value!r}: expected 3 numbers, one for each channel")


def test_a_preprocessor_that_is_no_dict_is_missing() -> None:
    lines = Lines()
    assert migrate_preprocessor("imagenet", "p", lines)["mean"] is None
    assert lines_of(lines) == ["missing p", "differs p"]


def test_keys_of_parameter_names_follow_the_network(write: Write) -> None:
    keys = {"backbone": {"lr_mult": 0.1}, "backbone.norm": {"decay_mult": 0.0}, "head": {"lr_mult": 10.0}, "norm": {}}
    text = f"""
model = dict(decode_head=dict(type='PSPHead'), auxiliary_head=None)
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={keys}))
"""
    migration = migrate(write(text))
    assert migration.sections["optim_wrapper"]["paramwise_cfg"]["custom_keys"] == {
        "encoder": {"lr_mult": 0.1},
        "encoder.norm": {"decay_mult": 0.0},
        "decoder": {"lr_mult": 10.0},
        "segmentation_head": {"lr_mult": 10.0},
        "norm": {},
    }
    renamed = [line.key.rpartition("custom_keys.")[2] for line in migration.lines if "custom_keys" in line.key]
    assert renamed == ["backbone", "backbone.norm", "head"]


def test_keys_of_a_network_without_counterpart_stay(write: Write) -> None:
    keys = {"backbone": {"lr_mult": 0.1}}
    text = (
        f"model = dict(decode_head=dict(type='EncHead'))\noptim_wrapper = dict(paramwise_cfg=dict(custom_keys={keys}))"
    )
    migration = migrate(write(text))
    assert migration.sections["optim_wrapper"]["paramwise_cfg"]["custom_keys"] == keys
    assert "encoder_name='tu-resnet50c'" in migration.missing[0].do


def test_switches_that_mm_says_in_the_model(write: Write) -> None:
    migration = migrate(write("find_unused_parameters = True\nmodel = dict(backbone=dict(with_cp=True))"))
    env_cfg = migration.sections["env_cfg"]
    assert {name: value for name, value in env_cfg.items() if value is True} == {
        "cudnn_benchmark": True,
        "find_unused_parameters": True,
        "sync_batchnorm": True,
        "activation_checkpointing": True,
    }


def test_what_is_frozen_in_mm_is_said(write: Write) -> None:
    for head in ("FCNHead", "PSPHead"):
        text = f"model = dict(backbone=dict(frozen_stages=0, norm_eval=True), decode_head=dict(type='{head}'))"
        why = migrate(write(text)).lines[0].why
        assert "frozen_stages=0: nothing is frozen" in why
        assert "norm_eval=True: norms are trained" in why


def test_auxiliary_heads(write: Write) -> None:
    fcn = migrate(write("model = dict(auxiliary_head=dict(loss_decode=dict(loss_weight=0.2)))"))
    assert fcn.sections["model"]["auxiliary_weight"] == 0.2
    assert not [line for line in fcn.lines if line.key == "model.auxiliary_head"]
    psp = migrate(write("model = dict(decode_head=dict(type='PSPHead'))"))
    assert [line.was for line in psp.lines if line.key == "model.auxiliary_head"] == ["'FCNHead (loss_weight 0.4)'"]


def test_the_head_and_the_data_may_disagree(write: Write) -> None:
    migration = migrate(write("model = dict(decode_head=dict(num_classes=7))"))
    line = next(line for line in migration.lines if line.key == "model.decode_head.num_classes")
    assert str(line).startswith("differs: model.decode_head.num_classes: 7: the data set has 19 classes")


@pytest.mark.parametrize(
    ("test_cfg", "expected", "lines"),
    [
        ("dict(mode='whole', crop_size=256)", None, []),
        (
            "dict(mode='slide_flip', crop_size=(4, 8), stride=(2, 4))",
            {"mode": "slide", "crop_size": (4, 8), "stride": (2, 4), "flip": True},
            [],
        ),
        ("dict(mode='whole', subdivision_steps=2)", None, ["model.test_cfg.subdivision_steps"]),
    ],
)
def test_inference(write: Write, test_cfg: str, expected: Any, lines: list[str]) -> None:
    migration = migrate(write(f"model = dict(test_cfg={test_cfg})"))
    assert migration.sections["model"].get("test_cfg") == expected
    assert [line.key for line in migration.lines if "test_cfg" in line.key] == lines


@pytest.mark.parametrize(
    "model",
    [
        "model = dict(_delete_=True, type='MyOwnSegmentor', net=dict(type='x'))",
        "model = dict(backbone=dict(in_channels=4))",
        "model = dict(backbone=dict(type='my_project.Net'))",
        "model = dict(neck=[dict(type='A'), dict(type='B')])",
        "model = dict(type='DepthEstimator')",
    ],
)
def test_models_of_ones_own_have_no_counterpart(write: Write, model: str) -> None:
    migration = migrate(write(model))
    assert migration.sections["model"]["net"]["type"].startswith("replace_me.")
    assert [line.key for line in migration.missing] == ["model"]


def test_parameters_that_nothing_depends_on_are_told_to_ddp(write: Write) -> None:
    text = """
model = dict(
    backbone=dict(_delete_=True, type='VisionTransformer', embed_dims=768, num_layers=12),
    decode_head=dict(type='DPTHead', channels=256), auxiliary_head=None)
"""
    sections = migrate(write(text)).sections
    assert sections["model"]["net"]["encoder_name"] == "tu-vit_base_patch16_224"
    assert sections["env_cfg"]["find_unused_parameters"] is True


def test_pspnet_has_no_stage_that_is_not_used(write: Write) -> None:
    text = "model = dict(backbone=dict(_delete_=True, type='MobileNetV2'), decode_head=dict(type='PSPHead'))"
    assert migrate(write(text)).sections["model"]["net"]["encoder_name"] == "tu-mobilenetv2_100"
