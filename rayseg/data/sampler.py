"""The order in which training samples come: a pure function of (seed, position), so that it can go on from anywhere.

All ranks together read one endless stream of samples, which is cut into global batches; each rank takes its part of
each global batch. *Position* is the number of samples that all ranks together have consumed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch

from rayseg.core.errors import ConfigError
from rayseg.core.randomness import derive_seed

Tail = Literal["cross", "drop", "pad"]
Key = tuple[int, int]  # (pass, index in the data set)


class ResumableSampler:
    """This rank's part of each global batch, endlessly.

    Rank ``r`` takes samples ``[r * share, (r + 1) * share)`` of a global batch, ``share = global_batch_size /
    world_size``; put together in rank order, the parts are the same global batch at every world size. The order of a
    pass derives from (seed, pass), so no pass has to be played through to reach a later one.

    Args:
        size: images in the data set.
        seed: of the order.
        global_batch_size: samples of all ranks in one iteration; a multiple of ``world_size``.
        rank, world_size: which part is this one's.
        shuffle: another order in each pass; else the data set's own.
        tail: what happens at the end of a pass: ``cross`` begins the next pass in the middle of a batch (iteration
            loops), ``drop`` leaves out the last incomplete batch, ``pad`` fills it up with images from the beginning
            of the same pass (epoch loops).
        position: samples that were consumed before.

    Attributes:
        pass_length: samples of one pass, after what ``tail`` leaves out or adds.

    Raises:
        ConfigError: the data set is empty, the ranks do not divide the global batch, or ``drop`` would drop all.
    """

    def __init__(
        self,
        size: int,
        seed: int = 0,
        global_batch_size: int = 1,
        rank: int = 0,
        world_size: int = 1,
        shuffle: bool = True,
        tail: Tail = "cross",
        position: int = 0,
    ) -> None:
        if size < 1:
            raise ConfigError("train_dataloader.dataset: the data set is empty")
        if global_batch_size < 1 or global_batch_size % world_size:
            raise ConfigError(f"{world_size} workers do not divide the global batch of {global_batch_size}")
        batches = {"cross": 0, "drop": size // global_batch_size, "pad": -(-size // global_batch_size)}[tail]
        self.pass_length = batches * global_batch_size if tail != "cross" else size
        if self.pass_length == 0:
            raise ConfigError(
                f"train_dataloader: {size} images are less than one global batch of {global_batch_size}, so an epoch "
                "has no iteration; lower batch_size, or say drop_last=False to fill the batch up"
            )
        self.size = size
        self.seed = seed
        self.global_batch_size = global_batch_size
        self.share = global_batch_size // world_size
        self.rank = rank
        self.shuffle = shuffle
        self._orders: dict[int, np.ndarray] = {}
        self.seek(position)

    def seek(self, position: int) -> None:
        """Begin the next iteration over this sampler after ``position`` samples."""
        if position < 0:
            raise ValueError(f"position: expected at least 0, found {position}")
        self.position = position

    def set_epoch(self, epoch: int) -> None:
        """Nothing: each pass's order follows from its number. Callers of torch's samplers need not be told apart."""

    def __iter__(self) -> Iterator[list[Key]]:
        """Lists of ``share`` keys (pass, index), beginning at ``position``, without end."""
        start = self.position + self.rank * self.share
        while True:
            yield [self.key(place) for place in range(start, start + self.share)]
            start += self.global_batch_size

    def key(self, place: int) -> Key:
        """The (pass, index) of the sample at a place in the global stream."""
        pass_, within = divmod(place, self.pass_length)
        return pass_, int(self._order(pass_)[within % self.size])

    def _order(self, pass_: int) -> np.ndarray:
        order = self._orders.get(pass_)
        if order is None:
            order = self._make_order(pass_)
            self._orders = {known: kept for known, kept in self._orders.items() if known == pass_ - 1}
            self._orders[pass_] = order
        return order

    def _make_order(self, pass_: int) -> np.ndarray:
        if not self.shuffle:
            return np.arange(self.size)
        generator = torch.Generator().manual_seed(derive_seed(self.seed, pass_))
        return torch.randperm(self.size, generator=generator).numpy()


class DefaultSampler(ResumableSampler):
    """MM's name; the order is ``ResumableSampler``'s.

    Args:
        shuffle: as there.
        seed: of the order; ``randomness.seed`` when not given.
        round_up: MM's key; what happens to an incomplete batch is ``train_dataloader.drop_last``'s to say.
    """

    def __init__(
        self,
        size: int,
        shuffle: bool = True,
        seed: int | None = None,
        round_up: bool = True,
        global_batch_size: int = 1,
        rank: int = 0,
        world_size: int = 1,
        tail: Tail = "cross",
        position: int = 0,
    ) -> None:
        super().__init__(size, seed or 0, global_batch_size, rank, world_size, shuffle, tail, position)
        self.round_up = round_up


class InfiniteSampler(ResumableSampler):
    """MM's name; the order is ``ResumableSampler``'s.

    Args:
        shuffle: as there.
        seed: of the order; ``randomness.seed`` when not given.
    """

    def __init__(
        self,
        size: int,
        shuffle: bool = True,
        seed: int | None = None,
        global_batch_size: int = 1,
        rank: int = 0,
        world_size: int = 1,
        tail: Tail = "cross",
        position: int = 0,
    ) -> None:
        super().__init__(size, seed or 0, global_batch_size, rank, world_size, shuffle, tail, position)
