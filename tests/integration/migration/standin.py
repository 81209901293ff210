"""Stand-ins for the models that configs were written for: parameters under the names that their rules look for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn


def mm_standin(optim_wrapper: Mapping[str, Any]) -> nn.Module:
    """A model under MM's parameter names: a transformer as backbone, a head, and what ``custom_keys`` names."""
    rules = optim_wrapper.get("paramwise_cfg") or {}
    depth = rules.get("num_layers", 2)
    names = ["backbone.cls_token", "backbone.pos_embed", "backbone.patch_embed.projection.weight"]
    for layer in range(depth):
        names += [f"backbone.layers.{layer}.ln1.weight", f"backbone.layers.{layer}.attn.qkv.weight"]
    names += ["decode_head.conv_seg.weight", "decode_head.conv_seg.bias"]
    names += ["auxiliary_head.conv_seg.weight"]
    for key in rules.get("custom_keys") or {}:
        if not any(key in name for name in names):
            names.append(f"{key if key.startswith('backbone') else f'backbone.{key}'}.weight")
    return with_parameters(names)


def with_parameters(names: Iterable[str]) -> nn.Module:
    """A module whose parameters have these dotted names; one or two dimensions, as their names say."""
    root = nn.Module()
    for name in dict.fromkeys(names):
        *path, last = name.split(".")
        module = root
        for part in path:
            if part not in module._modules:
                module.add_module(part, nn.Module())
            module = module._modules[part]  # type: ignore[assignment]
        shape = (2, 2) if last == "weight" and not any("norm" in part or "ln" in part for part in path) else (2,)
        module.register_parameter(last, nn.Parameter(torch.zeros(shape)))
    backbone = root._modules.get("backbone")
    if backbone is not None:
        backbone.__class__ = type("VisionTransformer", (nn.Module,), {})
    return root
