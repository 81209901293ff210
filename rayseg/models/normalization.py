"""Means over the valid pixels of one rank's batch, or of every rank's."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

import torch
from torch import Tensor

from rayseg.core import distributed

Normalize = Literal["per_rank", "global"]
Weigh = Callable[[Tensor], Tensor]


def mean_over_pixels(total: Tensor, labels: Tensor, weigh: Weigh, normalize: Normalize, key: Hashable) -> Tensor:
    """A sum over this rank's valid pixels, divided by how much they weigh.

    With ``per_rank`` that is the weight of this rank's pixels. With ``global`` it is the weight of all ranks' pixels
    divided by the number of ranks (one all-reduce of one number): DDP averages gradients over ranks, so their mean is
    then the mean over all valid pixels of the global batch. Every rank must call it then, also one without a valid
    pixel.

    Args:
        total: the weighted sum, 0-dim.
        labels: integer (B, H, W) of this batch.
        weigh: gives the weight of the valid pixels of any labels, 0-dim: their number, where each weighs 1.
        normalize: whose pixels are counted.
        key: stands for ``weigh`` inside ``whole_share``, where each key's weight is asked for once.

    Returns:
        A 0-dim tensor; 0 without a valid pixel.
    """
    if normalize == "per_rank" or _THIS_RANK_ONLY.get():
        return total / _at_least_some(weigh(labels))
    share = _SHARE.get()
    if share is not None:
        return total * (share.pieces * distributed.get_world_size()) / share.weight(weigh, key, total.device)
    weight = distributed.all_reduce(weigh(labels))
    return total * distributed.get_world_size() / _at_least_some(weight)


def _at_least_some(weight: Tensor) -> Tensor:
    """The weight, or something above 0 where it is 0, as the sum that it divides then is."""
    return weight.clamp(min=torch.finfo(weight.dtype).tiny if weight.is_floating_point() else 1)


class _Share:
    """The labels of a rank's whole share of the global batch, which is worked through in equal pieces."""

    def __init__(self, labels: Sequence[Tensor], pieces: int) -> None:
        self.labels = labels
        self.pieces = pieces
        self._weights: dict[Hashable, Tensor] = {}

    def weight(self, weigh: Weigh, key: Hashable, device: torch.device) -> Tensor:
        """What the valid pixels of the global batch weigh; asked of the other ranks once for each key."""
        if key not in self._weights:
            own = torch.stack([weigh(label.to(device, non_blocking=True)) for label in self.labels]).sum()
            self._weights[key] = _at_least_some(distributed.all_reduce(own))
        return self._weights[key]


_SHARE: ContextVar[_Share | None] = ContextVar("share", default=None)
_THIS_RANK_ONLY: ContextVar[bool] = ContextVar("this_rank_only", default=False)


@contextmanager
def whole_share(labels: Sequence[Tensor], pieces: int) -> Iterator[None]:
    """Inside, ``normalize='global'`` counts the valid pixels of the whole share, not of the micro-batch at hand.

    Then the mean of the losses of ``pieces`` equal micro-batches is exactly what the whole share would have given.

    Args:
        labels: every label of this rank's share of the global batch, integer tensors of any shape, on any device.
        pieces: micro-batches whose losses the caller averages.
    """
    token = _SHARE.set(_Share(labels, pieces))
    try:
        yield
    finally:
        _SHARE.reset(token)


@contextmanager
def this_rank_only() -> Iterator[None]:
    """Inside, ``normalize='global'`` means ``'per_rank'``: validation asks nothing of ranks that may have no image."""
    token = _THIS_RANK_ONLY.set(True)
    try:
        yield
    finally:
        _THIS_RANK_ONLY.reset(token)
