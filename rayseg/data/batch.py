"""Samples to batches: made where samples are loaded, in a form that crosses processes as few tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset, default_collate, get_worker_info

from rayseg.core.errors import RaysegError
from rayseg.core.randomness import derive_seed, forked_rng, reseed
from rayseg.core.sample import PixelData, SegSample

Sample = dict[str, Any]
Collate = Callable[[list[Sample]], Any]


@dataclass
class PackedBatch:
    """A batch on its way out of a loader process.

    Attributes:
        inputs: uint8 (B, 3, H, W), or a list of (3, H, W) when sizes differ.
        labels: integer (B, 1, H, W), a list of (1, H, W), or None without labels.
        samples: facts of each image, without its label.
    """

    inputs: Tensor | list[Tensor]
    labels: Tensor | list[Tensor] | None
    samples: list[SegSample]

    def pin_memory(self, device: Any = None) -> PackedBatch:
        """The same in pinned host memory, one block for each of inputs and labels; torch's DataLoader calls it."""
        return PackedBatch(_pinned(self.inputs), _pinned(self.labels), self.samples)

    def unpacked(self) -> Sample:
        """``dict(inputs, data_samples)`` as loops and hooks know it; labels are views of one tensor."""
        if self.labels is not None:
            labels = self.labels.unbind() if isinstance(self.labels, Tensor) else self.labels
            for sample, label in zip(self.samples, labels, strict=True):
                sample.gt_sem_seg = PixelData(label)
        return {"inputs": self.inputs, "data_samples": self.samples}


@dataclass
class LoadFailure:
    """An error of ours in a loader process, to be raised as it is in the process that waits for the batch."""

    error: RaysegError


def _pinned(tensors: Any) -> Any:
    if isinstance(tensors, list):
        return [tensor.pin_memory() for tensor in tensors]
    return None if tensors is None else tensors.pin_memory()


def pack(samples: list[Sample]) -> list[PackedBatch]:
    """One batch of all samples, in order."""
    parts = [sample["data_samples"] for sample in samples]
    labels = [part.gt_sem_seg.data for part in parts if part.gt_sem_seg is not None]
    for part in parts:
        part.gt_sem_seg = None
    return [
        PackedBatch(
            stacked([sample["inputs"] for sample in samples]),
            stacked(labels) if len(labels) == len(parts) else None,
            parts,
        )
    ]


def pack_equal(samples: list[Sample]) -> list[PackedBatch]:
    """As few batches as there can be of neighbours whose images, and labels, have one size."""
    groups: list[list[Sample]] = []
    for sample in samples:
        if groups and _sizes(groups[-1][0]) == _sizes(sample):
            groups[-1].append(sample)
        else:
            groups.append([sample])
    return [batch for group in groups for batch in pack(group)]


def _sizes(sample: Sample) -> tuple[Any, ...]:
    label = sample["data_samples"].gt_sem_seg
    return sample["inputs"].shape, None if label is None else label.data.shape


def stacked(tensors: list[Tensor]) -> Tensor | list[Tensor]:
    """One tensor when all have the same shape, else the list; in shared memory when called in a loader process."""
    first = tensors[0]
    if any(tensor.shape != first.shape or tensor.dtype != first.dtype for tensor in tensors):
        return tensors
    block: Tensor = torch.stack(tensors) if get_worker_info() is None else default_collate(tensors)
    return block


class BatchSource(Dataset[Any]):
    """The batches of a data set, each asked for by the keys (pass, index) of its samples.

    A sample is made with generators seeded from (seed, pass, index) and with one thread, so that neither the loader's
    processes nor what was loaded before can change it.

    Args:
        dataset: gives a sample for an index.
        seed: of augmentation.
        collate: makes what is handed out from a list of samples.
    """

    def __init__(self, dataset: Any, seed: int | str, collate: Collate) -> None:
        self.dataset = dataset
        self.seed = seed
        self.collate = collate

    def __getitem__(self, keys: Sequence[tuple[int, int]]) -> Any:
        """What ``collate`` makes of the samples; a ``LoadFailure`` when one of them cannot be read."""
        try:
            with one_thread(), forked_rng():
                return self.collate([self._sample(*key) for key in keys])
        except RaysegError as error:
            return LoadFailure(error)

    def _sample(self, pass_: int, index: int) -> Sample:
        reseed(derive_seed(self.seed, pass_, index))
        sample: Sample = self.dataset[index]
        return sample


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread inside, as torch's loader processes do: results may depend on the number."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
