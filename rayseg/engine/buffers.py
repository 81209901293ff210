"""Buffers such as BatchNorm's running statistics: each rank has its own, and a score or a save needs one set."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import nn

from rayseg.core import distributed

Reduction = Literal["rank0", "mean"]


def named_buffers(model: nn.Module) -> dict[str, torch.Tensor]:
    """The persistent buffers of the unwrapped model under their canonical names; views of the live ones."""
    module = distributed.unwrap(model)
    parameters = {name for name, _ in module.named_parameters(remove_duplicate=False)}
    return {
        name: value
        for name, value in module.state_dict(keep_vars=True).items()
        if name not in parameters and isinstance(value, torch.Tensor)
    }


def reduced_buffers(model: nn.Module, reduction: Reduction) -> dict[str, torch.Tensor]:
    """Copies of the buffers, the same on every rank; the live ones stay as they are.

    ``mean`` averages floating-point buffers over ranks (one all-reduce for each dtype) and takes rank 0's integer
    ones; ``rank0`` takes all from rank 0 (one broadcast for each dtype).
    """
    live = {name: buffer.detach() for name, buffer in named_buffers(model).items()}
    if distributed.get_world_size() == 1:
        return {name: buffer.clone() for name, buffer in live.items()}
    reduced: dict[str, torch.Tensor] = {}
    for dtype in sorted({buffer.dtype for buffer in live.values()}, key=str):
        names = [name for name, buffer in live.items() if buffer.dtype == dtype]
        flat = torch.cat([live[name].reshape(-1) for name in names])
        if reduction == "mean" and dtype.is_floating_point:
            distributed.all_reduce(flat, "mean")
        else:
            torch.distributed.broadcast(flat, src=0)
        pieces = flat.split([live[name].numel() for name in names])
        reduced.update({name: piece.view_as(live[name]) for name, piece in zip(names, pieces, strict=True)})
    return reduced


def load_buffers(model: nn.Module, values: dict[str, torch.Tensor]) -> None:
    """Copy values into the live buffers of the same names."""
    live = named_buffers(model)
    with torch.no_grad():
        for name, value in values.items():
            live[name].copy_(value)


@contextmanager
def shared_buffers(model: nn.Module, reduction: Reduction) -> Iterator[None]:
    """Inside, every rank evaluates with the same buffers; afterwards each has its own again, bit for bit."""
    if distributed.get_world_size() == 1:
        yield
        return
    own = {name: buffer.detach().clone() for name, buffer in named_buffers(model).items()}
    load_buffers(model, reduced_buffers(model, reduction))
    try:
        yield
    finally:
        load_buffers(model, own)
