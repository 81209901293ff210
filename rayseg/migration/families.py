"""MM's families of models, backbone and head, and the networks that stand for them: one row a family."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rayseg.migration.encoders import Encoder, training_notes
from rayseg.migration.lines import without_scope

# Parts of MM's parameter names, and those of the same layers in smp's and torchvision's networks.
SMP_NAMES = {
    "backbone": ("encoder",),
    "neck": ("decoder",),
    "decode_head": ("decoder", "segmentation_head"),
    "head": ("decoder", "segmentation_head"),
}
TORCHVISION_NAMES = {"decode_head": ("classifier",), "auxiliary_head": ("aux_classifier",), "head": ("classifier",)}


@dataclass
class Parts:
    """The parts of an MM model that decide its family.

    Attributes:
        backbone, head, neck: configs; the neck's is empty where there is none.
        encoder: what stands for the backbone; None where nothing does.
        has_auxiliary: whether there is an auxiliary head like FCN's.
        has_weights: whether the backbone begins with pretrained weights.
    """

    backbone: Mapping[str, Any]
    head: Mapping[str, Any]
    neck: Mapping[str, Any]
    encoder: Encoder | None
    has_auxiliary: bool
    has_weights: bool

    def kind(self, part: str) -> Any:
        """The ``type`` of a part, without its scope."""
        return without_scope(getattr(self, part).get("type"))


@dataclass
class Network:
    """What stands for a model.

    Attributes:
        net: the ``net`` of a Segmentor.
        family: the row's name.
        notes: what is not as in MM.
        names: parts of parameter names that change.
        has_auxiliary: whether it has an auxiliary head.
        has_unused: whether it has parameters that no output depends on, which DDP has to be told.
    """

    net: dict[str, Any]
    family: str
    notes: list[str] = field(default_factory=list)
    names: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: SMP_NAMES)
    has_auxiliary: bool = False
    has_unused: bool = False


@dataclass(frozen=True)
class Family:
    """A row: which heads, necks and backbones it is, and what makes the network.

    Attributes:
        name: for the list.
        head: the head's type.
        neck: the neck's, None for no neck.
        backbones: the types it may have; empty for every one that has an encoder.
        make: gives the network, or None.
    """

    name: str
    head: str
    neck: str | None
    backbones: tuple[str, ...]
    make: Callable[[Parts], Network | None]


def network_of(parts: Parts) -> Network | None:
    """The network that stands for a model, or None where there is none."""
    for family in FAMILIES:
        has_backbone = parts.kind("backbone") in family.backbones if family.backbones else parts.encoder is not None
        if parts.kind("head") == family.head and parts.kind("neck") == family.neck and has_backbone:
            network = family.make(parts)
            if network is not None:
                network.family = family.name
                network.notes += [*(parts.encoder.notes if parts.encoder else []), *training_notes(parts.backbone)]
            return network
    return None


def _smp(parts: Parts, kind: str, notes: list[str] | None = None, **arguments: Any) -> Network:
    assert parts.encoder is not None
    net = {
        "type": f"smp.{kind}",
        "encoder_name": parts.encoder.name,
        "encoder_weights": "imagenet" if parts.has_weights else None,
        **arguments,
        **parts.encoder.arguments,
    }
    return Network(
        {key: value for key, value in net.items() if key == "encoder_weights" or value is not None}, "", notes or []
    )


def _dropout(parts: Parts) -> float | None:
    value = parts.head.get("dropout_ratio", 0.1)
    return float(value) if value and value > 0 else 0.0


def _no_dropout(parts: Parts) -> list[str]:
    return ["no dropout before the last layer"] if _dropout(parts) else []


def _pspnet(parts: Parts) -> Network:
    assert parts.encoder is not None
    # timm leaves out the stages that are not asked for; smp's own encoders keep them, without a gradient.
    if not parts.encoder.name.startswith("tu-"):
        parts.encoder.name = f"tu-{'mobilenetv2_100' if parts.encoder.name == 'mobilenet_v2' else parts.encoder.name}"
    notes = ["it pools the encoder's features at stride 8 (encoder_depth=3), MM those of the last, dilated stage"]
    if (scales := tuple(parts.head.get("pool_scales", (1, 2, 3, 6)))) != (1, 2, 3, 6):
        notes.append(f"pool_scales are (1, 2, 3, 6), not {scales}")
    return _smp(parts, "PSPNet", notes, psp_out_channels=parts.head.get("channels"), psp_dropout=_dropout(parts))


def _atrous(parts: Parts, kind: str) -> Network:
    notes = []
    stride = 4 * math.prod(parts.backbone.get("strides", (1, 2, 2, 2))) if "ResN" in parts.kind("backbone") else 8
    if stride not in (8, 16):
        notes.append(f"encoder_output_stride is 16, in MM {stride}")
    rates = tuple(parts.head.get("dilations", (1, 6, 12, 18)))
    if len(rates) != 4 or rates[0] != 1:
        notes.append(f"the rates of its atrous convolutions are (12, 24, 36) beside a 1×1 convolution, in MM {rates}")
    return _smp(
        parts,
        kind,
        notes,
        encoder_output_stride=stride if stride in (8, 16) else 16,
        decoder_channels=parts.head.get("channels"),
        decoder_atrous_rates=rates[1:] if len(rates) == 4 and rates[0] == 1 else None,
        decoder_aspp_dropout=_dropout(parts),
    )


def _fpn(parts: Parts) -> Network:
    return _smp(
        parts,
        "FPN",
        decoder_pyramid_channels=parts.neck.get("out_channels"),
        decoder_segmentation_channels=parts.head.get("channels"),
        decoder_dropout=_dropout(parts),
    )


def _upernet(parts: Parts) -> Network | None:
    if parts.kind("backbone") in ("HRNet", "VisionTransformer"):
        return None
    return _smp(parts, "UPerNet", _no_dropout(parts), decoder_channels=parts.head.get("channels"))


def _segformer(parts: Parts) -> Network:
    channels = parts.head.get("channels")
    return _smp(parts, "Segformer", _no_dropout(parts), decoder_segmentation_channels=channels)


def _hrnet(parts: Parts) -> Network | None:
    if parts.head.get("input_transform") != "resize_concat":
        return None
    notes = ["its decoder projects each of the encoder's stages before it joins them, MM joins them as they are"]
    return _smp(parts, "Segformer", notes)


def _unet(parts: Parts) -> Network:
    depth, width = parts.backbone.get("num_stages", 5) - 1, parts.backbone.get("base_channels", 64)
    notes = ["its encoder is VGG13 with batch norm: two 3×3 convolutions a stage, 64, 128, 256, 512 and 512 channels"]
    if (width, depth) != (64, 4):
        notes.append(f"64 channels and 5 stages, in MM {width} and {depth + 1}")
    if parts.kind("head") != "FCNHead":
        notes.append(f"smp.Unet's own head stands for {parts.kind('head')}, so without pooling in the head")
    notes += _no_dropout(parts)
    parts.encoder = Encoder("vgg13_bn")
    return _smp(parts, "Unet", notes, encoder_depth=4, decoder_channels=(512, 256, 128, 64))


def _fcn(parts: Parts) -> Network | None:
    depth = parts.backbone.get("depth")
    if depth not in (50, 101) or parts.head.get("input_transform"):
        return None
    notes = ["torchvision's head has one 3×3 convolution and a quarter of the encoder's channels"]
    if parts.kind("backbone") != "ResNet":
        notes.append("the stem is one 7×7 convolution, in MM three of 3×3")
    if 4 * math.prod(parts.backbone.get("strides", (1, 2, 2, 2))) != 8:
        notes.append("the encoder's output stride is 8")
    parts.encoder = None
    net: dict[str, Any] = {"type": f"torchvision.models.segmentation.fcn_resnet{depth}"}
    if parts.has_auxiliary:
        net["aux_loss"] = True
    if not parts.has_weights:
        net["weights_backbone"] = None
    return Network(net, "", notes, TORCHVISION_NAMES, parts.has_auxiliary)


def _lraspp(parts: Parts) -> Network | None:
    if parts.backbone.get("arch") != "large":
        return None
    weights = {} if parts.has_weights else {"weights_backbone": None}
    notes = ["torchvision's head joins the features of strides 8 and 16, MM's those of 2, 4 and 8"]
    return Network(
        {"type": "torchvision.models.segmentation.lraspp_mobilenet_v3_large", **weights}, "", notes, TORCHVISION_NAMES
    )


def _dpt(parts: Parts) -> Network:
    network = _smp(parts, "DPT", decoder_fusion_channels=parts.head.get("channels"))
    network.has_unused = True
    return network


_RESNETS = ("ResNet", "ResNetV1c", "ResNetV1d")
_CONVOLUTIONAL = (*_RESNETS, "ResNeXt", "ResNeSt", "MobileNetV2")

FAMILIES = (
    Family("UNet", "FCNHead", None, ("UNet",), _unet),
    Family("UNet", "PSPHead", None, ("UNet",), _unet),
    Family("UNet", "ASPPHead", None, ("UNet",), _unet),
    Family("FCN", "FCNHead", None, _RESNETS, _fcn),
    Family("HRNet", "FCNHead", None, ("HRNet",), _hrnet),
    Family("PSPNet", "PSPHead", None, _CONVOLUTIONAL, _pspnet),
    Family("DeepLabV3", "ASPPHead", None, _CONVOLUTIONAL, lambda parts: _atrous(parts, "DeepLabV3")),
    Family(
        "DeepLabV3+",
        "DepthwiseSeparableASPPHead",
        None,
        _CONVOLUTIONAL,
        lambda parts: _atrous(parts, "DeepLabV3Plus"),
    ),
    Family("FPN", "FPNHead", "FPN", (), _fpn),
    Family("UPerNet", "UPerHead", None, (), _upernet),
    Family("SegFormer", "SegformerHead", None, (), _segformer),
    Family("DPT", "DPTHead", None, ("VisionTransformer",), _dpt),
    Family("LR-ASPP", "LRASPPHead", None, ("MobileNetV3",), _lraspp),
)
