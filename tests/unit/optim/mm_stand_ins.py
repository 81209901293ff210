"""Networks that hold parameters under mmsegmentation's, mmpretrain's and transformers' names, and compute nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import nn

WIDTH = 4


def tree(names: Iterable[str], root: nn.Module | None = None) -> nn.Module:
    """Modules that hold a parameter under each dotted name; its last part says how many dimensions it has."""
    root = nn.Module() if root is None else root
    for name in names:
        *path, leaf = name.split(".")
        owner = root
        for part in path:
            if part not in owner._modules:
                owner.add_module(part, nn.Module())
            owner = owner._modules[part]  # type: ignore[assignment]
        owner.register_parameter(leaf, nn.Parameter(torch.zeros(_shape(name, leaf))))
    return root


def _shape(name: str, leaf: str) -> tuple[int, ...]:
    if leaf in ("cls_token", "mask_token", "pos_embed", "position_embeddings"):
        return (1, 1, WIDTH)
    parts = name.split(".")
    flat = leaf in ("bias", "gamma", "q_bias", "v_bias", "gamma_1", "gamma_2", "layer_scale_parameter")
    is_norm = len(parts) > 1 and ("norm" in parts[-2] or parts[-2].startswith(("ln", "bn")))
    return (WIDTH,) if flat or is_norm else (WIDTH, WIDTH)


def both(*modules: str) -> list[str]:
    """The weight and bias of modules."""
    return [f"{module}.{leaf}" for module in modules for leaf in ("weight", "bias")]


class ConvNeXt(nn.Module):
    """mmpretrain's ConvNeXt with some depths."""

    def __init__(self, *depths: int) -> None:
        super().__init__()
        names = both("downsample_layers.0.0", "downsample_layers.0.1")
        for stage, depth in enumerate(depths):
            if stage:
                names += both(f"downsample_layers.{stage}.0", f"downsample_layers.{stage}.1")
            for block in range(depth):
                prefix = f"stages.{stage}.{block}"
                names += [f"{prefix}.gamma"]
                names += both(*(f"{prefix}.{part}" for part in ("depthwise_conv", "norm", "pointwise_conv1")))
                names += both(f"{prefix}.pointwise_conv2")
            names += both(f"norm{stage}")
        tree(names, self)


class BEiT(nn.Module):
    """mmseg's BEiT of some depth."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        names = ["cls_token", *both("patch_embed.projection")]
        for block in range(depth):
            prefix = f"layers.{block}"
            names += [f"{prefix}.gamma_1", f"{prefix}.gamma_2"]
            names += both(f"{prefix}.ln1", f"{prefix}.ln2", f"{prefix}.attn.proj")
            names += [f"{prefix}.attn.{leaf}" for leaf in ("q_bias", "v_bias", "relative_position_bias_table")]
            names += [f"{prefix}.attn.qkv.weight", *both(f"{prefix}.ffn.layers.0.0", f"{prefix}.ffn.layers.1")]
        tree(names, self)


class MAE(nn.Module):
    """mmseg's MAE, which is its BEiT with position embeddings."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        tree(["pos_embed", *(name for name, _ in BEiT(depth).named_parameters()), *both("ln1")], self)


class Segmentor(nn.Module):
    """A backbone with mmseg's neck and heads."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        tree(both("neck.upsample_4x.0", "neck.upsample_4x.1"), self)
        tree(both("decode_head.conv_seg", "decode_head.bottleneck.conv", "decode_head.bottleneck.bn"), self)
        tree(both("auxiliary_head.conv_seg"), self)


def _convnext(*depths: int) -> Callable[[], nn.Module]:
    return lambda: Segmentor(ConvNeXt(*depths))


STAND_INS: dict[str, Callable[[], nn.Module]] = {
    "convnext_tiny": _convnext(3, 3, 9, 3),
    "convnext_base": _convnext(3, 3, 27, 3),
    "beit_base": lambda: Segmentor(BEiT(12)),
    "beit_large": lambda: Segmentor(BEiT(24)),
    "mae_base": lambda: Segmentor(MAE(12)),
}
