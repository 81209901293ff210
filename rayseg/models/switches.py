"""The switches of ``env_cfg`` that change how a network computes, and not what it is called."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from rayseg.config.settings import EnvSettings
from rayseg.models.preprocess import SegDataPreProcessor


def apply_env(model: nn.Module, env: EnvSettings) -> nn.Module:
    """Apply the switches to a model that is on its device, before its optimizer is made.

    Parameters stay the same objects under the same names. In a Segmentor the network is compiled and converted,
    losses and preprocessing stay as they are.

    Returns:
        The model itself; its ``notes``, if it has them, say which switch had no effect.
    """
    inner = getattr(model, "net", None)
    net = inner if isinstance(inner, nn.Module) else model
    notes: list[str] = getattr(model, "notes", [])
    if env.activation_checkpointing and not checkpoint_activations(net):
        notes.append("env_cfg.activation_checkpointing: the network has no repeated blocks, so nothing is recomputed")
    if env.sync_batchnorm and not _sync_batchnorm(model):
        notes.append("env_cfg.sync_batchnorm: works on GPUs only; BatchNorm stays as it is")
    if env.channels_last:
        net.to(memory_format=torch.channels_last)
        for module in model.modules():
            if isinstance(module, SegDataPreProcessor):
                module.memory_format = torch.channels_last
    if env.compile:
        net.compile(**(env.compile if isinstance(env.compile, dict) else {}))
    return model


def _sync_batchnorm(model: nn.Module) -> bool:
    if any(parameter.device.type != "cuda" for parameter in model.parameters()):
        return False
    nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
    return True


def checkpoint_activations(net: nn.Module) -> int:
    """Let each block of the encoder forget its activations and compute them again in backward.

    Blocks are the composite children of the encoder's Sequentials and ModuleLists, the outermost ones. Outputs,
    gradients, random numbers and BatchNorm's running statistics are what they are without it.

    Args:
        net: the network; its ``encoder`` or ``backbone`` is meant, itself when it has neither.

    Returns:
        How many blocks.
    """
    parts = [getattr(net, name, None) for name in ("encoder", "backbone")]
    encoder = next((part for part in parts if isinstance(part, nn.Module)), net)
    blocks = list(_blocks(encoder))
    for block in blocks:
        block.forward = _Recomputed(block, block.forward)
    return len(blocks)


def _blocks(module: nn.Module) -> Iterator[nn.Module]:
    children = list(module.children())
    repeats = isinstance(module, nn.Sequential | nn.ModuleList) and len(children) > 1
    for child in children:
        if repeats and not isinstance(child, nn.Sequential) and any(True for _ in child.children()):
            yield child
        else:
            yield from _blocks(child)


class _Recomputed:
    """A block's forward that keeps only its input when gradients are wanted."""

    def __init__(self, block: nn.Module, forward: Any) -> None:
        self.block = block
        self.forward = forward

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not (self.block.training and torch.is_grad_enabled()):
            return self.forward(*args, **kwargs)
        return checkpoint(self.forward, *args, use_reentrant=False, context_fn=self._contexts, **kwargs)

    def _contexts(self) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _statistics_kept(self.block)


@contextmanager
def _statistics_kept(block: nn.Module) -> Iterator[None]:
    """Inside, BatchNorm updates copies of its running statistics, so that a second forward counts nothing twice."""
    norms = [module for module in block.modules() if isinstance(module, _BatchNorm)]
    own = [dict(norm._buffers) for norm in norms]
    for norm in norms:
        norm._buffers.update({name: None if value is None else value.clone() for name, value in norm._buffers.items()})
    try:
        yield
    finally:
        for norm, buffers in zip(norms, own, strict=True):
            norm._buffers.update(buffers)
