"""MM's backbones, and the encoders of smp and timm that stand for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rayseg.migration.lines import without_scope


@dataclass
class Encoder:
    """An encoder of segmentation-models-pytorch.

    Attributes:
        name: ``encoder_name``; names that begin with ``tu-`` are timm's.
        arguments: what else the network passes on to it.
        notes: what is not as in MM.
    """

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def encoder_of(backbone: Mapping[str, Any], weights: str | None) -> Encoder | None:
    """The encoder that stands for an MM backbone, or None where there is none.

    Args:
        backbone: its config.
        weights: the checkpoint it begins with, whose name says which of timm's weights are the same.
    """
    make = _ENCODERS.get(str(without_scope(backbone.get("type"))))
    encoder = make(backbone) if make else None
    if encoder is None:
        return None
    encoder.name += _tag(encoder.name, weights)
    drop_path = backbone.get("drop_path_rate")
    if drop_path and encoder.name.startswith(("tu-convnext", "tu-swin", "tu-twins", "tu-poolformer", "mit_")):
        encoder.arguments["drop_path_rate"] = float(drop_path)
    return encoder


def training_notes(backbone: Mapping[str, Any]) -> list[str]:
    """What MM keeps from being trained and is trained here."""
    notes = []
    if isinstance(frozen := backbone.get("frozen_stages"), int) and frozen >= (0 if "ResN" in backbone["type"] else 1):
        notes.append(f"frozen_stages={frozen}: nothing is frozen, which takes a hook (docs/own-hook.md)")
    if backbone.get("norm_eval"):
        notes.append("norm_eval=True: norms are trained, which a hook can keep from it (docs/own-hook.md)")
    return notes


def _tag(name: str, weights: str | None) -> str:
    """The part of timm's name that says which weights, where MM's checkpoint has the same."""
    if not weights:
        return ""
    is_22k = "22k" in weights or "in21k" in weights
    if name.startswith("tu-convnext_"):
        return ".fb_in22k" if is_22k else ".fb_in1k"
    if name.startswith("tu-swin_"):
        return ".ms_in22k" if is_22k else ".ms_in1k"
    return ""


def _resnet(backbone: Mapping[str, Any]) -> Encoder | None:
    kind, depth = without_scope(backbone["type"]), backbone.get("depth")
    if depth not in (18, 34, 50, 101, 152):
        return None
    has_deep_stem = backbone.get("deep_stem", kind != "ResNet")
    encoder = Encoder(f"resnet{depth}")
    if kind == "ResNetV1d" or (has_deep_stem and backbone.get("avg_down")):
        encoder.name = f"tu-resnet{depth}d"
    elif has_deep_stem and depth >= 50:
        encoder.name = f"tu-resnet{depth}c"
    elif has_deep_stem:
        encoder.notes.append("the stem is one 7×7 convolution, in MM three of 3×3")
    if backbone.get("stem_channels", 64) != 64:
        encoder.notes.append(f"the stem has other channels than MM's stem_channels={backbone['stem_channels']}")
    if backbone.get("multi_grid"):
        encoder.notes.append(f"without multi_grid={tuple(backbone['multi_grid'])}")
    return encoder


def _resnext(backbone: Mapping[str, Any]) -> Encoder | None:
    depth, groups, width = backbone.get("depth"), backbone.get("groups", 1), backbone.get("base_width", 4)
    known = {(50, 32, 4), (101, 32, 4), (101, 32, 8), (101, 32, 16), (101, 32, 32), (101, 32, 48)}
    return Encoder(f"resnext{depth}_{groups}x{width}d") if (depth, groups, width) in known else None


def _resnest(backbone: Mapping[str, Any]) -> Encoder | None:
    names = {50: "tu-resnest50d", 101: "tu-resnest101e", 200: "tu-resnest200e", 269: "tu-resnest269e"}
    name = names.get(backbone.get("depth", 0))
    return Encoder(name) if name else None


def _mobilenet_v2(backbone: Mapping[str, Any]) -> Encoder | None:
    return Encoder("mobilenet_v2") if backbone.get("widen_factor", 1.0) == 1.0 else None


def _mit(backbone: Mapping[str, Any]) -> Encoder | None:
    depths: dict[tuple[Any, ...], int] = {
        (32, 2, 2, 2, 2): 0,
        (64, 2, 2, 2, 2): 1,
        (64, 3, 4, 6, 3): 2,
        (64, 3, 4, 18, 3): 3,
        (64, 3, 8, 27, 3): 4,
        (64, 3, 6, 40, 3): 5,
    }
    found: tuple[Any, ...] = (backbone.get("embed_dims", 64), *_numbers(backbone.get("num_layers", (3, 4, 6, 3))))
    size = depths.get(found)
    return None if size is None else Encoder(f"mit_b{size}")


def _convnext(backbone: Mapping[str, Any]) -> Encoder | None:
    arch = backbone.get("arch", "tiny")
    known = ("atto", "femto", "pico", "nano", "tiny", "small", "base", "large", "xlarge")
    return Encoder(f"tu-convnext_{arch}") if arch in known else None


def _swin(backbone: Mapping[str, Any]) -> Encoder | None:
    sizes: dict[tuple[int, ...], str] = {
        (96, 2, 2, 6, 2): "tiny",
        (96, 2, 2, 18, 2): "small",
        (128, 2, 2, 18, 2): "base",
        (192, 2, 2, 18, 2): "large",
    }
    size = sizes.get((backbone.get("embed_dims", 96), *_numbers(backbone.get("depths", (2, 2, 6, 2)))))
    window = backbone.get("window_size", 7)
    if size is None or not (window == 7 or (window == 12 and size in ("base", "large"))):
        return None
    pixels = 384 if window == 12 else 224
    return Encoder(f"tu-swin_{size}_patch4_window{window}_{pixels}", {"strict_img_size": False})


def _pcpvt(backbone: Mapping[str, Any]) -> Encoder | None:
    depths: dict[tuple[int, ...], str] = {(3, 4, 6, 3): "small", (3, 4, 18, 3): "base", (3, 8, 27, 3): "large"}
    size = depths.get(_numbers(backbone.get("depths", ())))
    return Encoder(f"tu-twins_pcpvt_{size}") if size else None


def _svt(backbone: Mapping[str, Any]) -> Encoder | None:
    size = {64: "small", 96: "base", 128: "large"}.get((*_numbers(backbone.get("embed_dims", ())), 0)[0])
    return Encoder(f"tu-twins_svt_{size}") if size else None


def _poolformer(backbone: Mapping[str, Any]) -> Encoder | None:
    arch = backbone.get("arch", "s12")
    return Encoder(f"tu-poolformer_{arch}") if arch in ("s12", "s24", "s36", "m36", "m48") else None


def _hrnet(backbone: Mapping[str, Any]) -> Encoder | None:
    second = (backbone.get("extra") or {}).get("stage2") or {}
    width = (*_numbers(second.get("num_channels", ())), 0)[0]
    blocks = (*_numbers(second.get("num_blocks", ())), 0)[0]
    names = {(18, 2): "w18_small_v2", (18, 4): "w18", (32, 4): "w32", (40, 4): "w40", (48, 4): "w48"}
    name = names.get((width, blocks))
    return Encoder(f"tu-hrnet_{name}") if name else None


def _vit(backbone: Mapping[str, Any]) -> Encoder | None:
    sizes = {(384, 12): "small", (768, 12): "base", (1024, 24): "large"}
    size = sizes.get((backbone.get("embed_dims", 768), backbone.get("num_layers", 12)))
    is_known = size and backbone.get("patch_size", 16) == 16
    return Encoder(f"tu-vit_{size}_patch16_224", {"dynamic_img_size": True}) if is_known else None


def _numbers(value: Any) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, list | tuple) else (value,)


_ENCODERS: dict[str, Callable[[Mapping[str, Any]], Encoder | None]] = {
    "ConvNeXt": _convnext,
    "HRNet": _hrnet,
    "MixVisionTransformer": _mit,
    "MobileNetV2": _mobilenet_v2,
    "PCPVT": _pcpvt,
    "PoolFormer": _poolformer,
    "ResNeSt": _resnest,
    "ResNeXt": _resnext,
    "ResNet": _resnet,
    "ResNetV1c": _resnet,
    "ResNetV1d": _resnet,
    "SVT": _svt,
    "SwinTransformer": _swin,
    "VisionTransformer": _vit,
}
