"""Loaders: batches of this rank, from loader processes or this one, the same bytes either way."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import torch
from torch.utils.data import DataLoader

from rayseg.config.settings import DataLoaderSettings
from rayseg.core.errors import ConfigError
from rayseg.core.registries import SAMPLERS
from rayseg.core.registry import import_dotted
from rayseg.data.batch import BatchSource, Collate, LoadFailure, PackedBatch, pack, pack_equal
from rayseg.data.build import build_dataset
from rayseg.data.concat import parts_of

__all__ = [
    "EvalLoader",
    "TrainLoader",
    "build_dataset",
    "build_eval_dataloader",
    "build_train_dataloader",
    "resolve_batch_size",
]

CPU = torch.device("cpu")


class TrainLoader:
    """The endless stream of this rank's batches.

    Each ``iter()`` goes on where the stream stands: after the last batch that was handed out, or where ``seek`` said.
    A new ``dataset.pipeline``, or other transforms in it, hold from the next batch on, also where loader processes
    have batches ready; what else is changed in the data set needs ``refresh()``.

    Args:
        source: makes a batch from keys.
        sampler: says the keys of each batch; see ``ResumableSampler`` for what it must have.
        global_batch_size: samples by which a batch moves the position.
        options: of torch's DataLoader.

    Attributes:
        position: samples that all ranks together were handed.
        sampler, dataset: what it draws from.
        pass_length: samples of one pass.
    """

    def __init__(self, source: BatchSource, sampler: Any, global_batch_size: int, options: Mapping[str, Any]) -> None:
        self.dataset = source.dataset
        self.sampler = sampler
        self.global_batch_size = global_batch_size
        self.pass_length: int = sampler.pass_length
        self.position: int = sampler.position
        self._loader = _torch_loader(source, sampler, options)
        self._stream: Iterator[Any] | None = None
        self._is_stale = False
        self._pipeline = _transforms_of(self.dataset)

    def __len__(self) -> int:
        """Batches of one pass; the last one of an iteration loop's pass is shared with the next."""
        return -(-self.pass_length // self.global_batch_size)

    def seek(self, position: int) -> None:
        """Let the next ``iter()`` begin after ``position`` samples."""
        self.close()
        self.sampler.seek(position)
        self.position = position

    def __iter__(self) -> Iterator[Any]:
        """``dict(inputs, data_samples)`` without end, or what the config's ``collate_fn`` makes.

        Raises:
            DataError: a file cannot be read as the config says.
        """
        self.seek(self.position)
        self._stream = self._batches()
        return self._stream

    def _batches(self) -> Iterator[Any]:
        while True:
            self._is_stale, self._pipeline = False, _transforms_of(self.dataset)
            for packed in self._loader:
                if self._has_changed():
                    break
                for batch in _opened(packed):
                    self.position += self.global_batch_size
                    yield batch
            else:
                return
            self.sampler.seek(self.position)

    def refresh(self) -> None:
        """Let the next batch be made by the data set as it is now: loader processes hold a copy from their start."""
        self._is_stale = True

    def _has_changed(self) -> bool:
        """Whether a batch that is ready was made by a data set that is another now."""
        now = _transforms_of(self.dataset)
        is_same = len(now) == len(self._pipeline) and all(a is b for a, b in zip(now, self._pipeline, strict=True))
        return self._is_stale or not is_same

    def close(self) -> None:
        """End the loader processes."""
        _end(self._stream)
        self._stream = None


class EvalLoader:
    """One pass over this rank's part of a data set at each ``iter()``; loader processes are kept in between.

    The data set is cut into batches in its own order, which are dealt out to the ranks in turn: each image once over
    all ranks, in the same batches at every world size. A batch whose images differ in size is handed out in pieces
    of equal size.

    Args:
        source: makes a batch from keys.
        batches: the keys of each batch of this rank.
        options: of torch's DataLoader.
    """

    def __init__(self, source: BatchSource, batches: list[list[tuple[int, int]]], options: Mapping[str, Any]) -> None:
        self.dataset = source.dataset
        self.batches = batches
        self._source = source
        self._options = options
        self._loader: DataLoader[Any] | None = None
        self._stream: Iterator[Any] | None = None

    def __len__(self) -> int:
        """Batches of this rank when all images have one size; more are handed out when they have not."""
        return len(self.batches)

    def __iter__(self) -> Iterator[Any]:
        """``dict(inputs, data_samples)`` of this rank's images in the data set's order."""
        _end(self._stream)
        self._stream = self._batches()
        return self._stream

    def _batches(self) -> Iterator[Any]:
        if not self.batches:
            return
        self._loader = self._loader or _torch_loader(self._source, self.batches, self._options)
        for packed in self._loader:
            yield from _opened(packed)

    def close(self) -> None:
        """End the loader processes; a later ``iter()`` starts new ones."""
        _end(self._stream)
        self._stream = self._loader = None


def build_train_dataloader(
    settings: DataLoaderSettings,
    *,
    dataset: Any,
    seed: int,
    rank: int = 0,
    world_size: int = 1,
    global_batch_size: int,
    epoch_based: bool = False,
    position: int = 0,
    device: torch.device = CPU,
    start_method: str | None = None,
) -> TrainLoader:
    """The training loader of one rank.

    Args:
        settings: the section ``train_dataloader``.
        dataset: what ``build_dataset`` returned.
        seed: of order and augmentation.
        rank, world_size: which part of each global batch is this one's.
        global_batch_size: samples of all ranks in one iteration.
        epoch_based: passes end with ``settings.drop_last``'s rule instead of crossing batches.
        position: samples that all ranks together have consumed before.
        device: where batches will go; pinned memory is used for GPUs.
        start_method: of loader processes, ``fork``, ``forkserver`` or ``spawn``; the platform's own when None.

    Raises:
        ConfigError: the sampler is none, or there are too few images for an epoch.
    """
    sampler = _sampler(
        settings,
        size=len(dataset),
        seed=seed,
        global_batch_size=global_batch_size,
        rank=rank,
        world_size=world_size,
        tail=("drop" if settings.drop_last else "pad") if epoch_based else "cross",
        position=position,
    )
    source = BatchSource(dataset, seed, _collate(settings, pack))
    options = _options(settings, device, start_method, persistent=False)
    return TrainLoader(source, sampler, global_batch_size, options)


def build_eval_dataloader(
    settings: DataLoaderSettings,
    *,
    rank: int = 0,
    world_size: int = 1,
    device: torch.device = CPU,
    start_method: str | None = None,
    dataset: Any = None,
) -> EvalLoader:
    """The validation or test loader of one rank; each image is counted once over all ranks.

    Args:
        settings: the section ``val_dataloader`` or ``test_dataloader``; its sampler and shuffle mean nothing.
        rank, world_size: which part is this one's; it may be empty.
        device, start_method: as in ``build_train_dataloader``.
        dataset: when it is built already.
    """
    dataset = build_dataset(settings.dataset, test_mode=True) if dataset is None else dataset
    batch_size = settings.batch_size or 1
    indices = range(len(dataset))
    starts = range(rank * batch_size, len(dataset), world_size * batch_size)
    batches = [[(0, index) for index in indices[start : start + batch_size]] for start in starts]
    source = BatchSource(dataset, "evaluation", _collate(settings, pack_equal))
    return EvalLoader(source, batches, _options(settings, device, start_method, settings.persistent_workers))


def resolve_batch_size(settings: DataLoaderSettings, world_size: int) -> tuple[int, int]:
    """Images of (one worker, all workers) in one iteration.

    Raises:
        ConfigError: neither number is given, they contradict each other, or the workers do not divide the global one.
    """
    per_worker, in_all = settings.batch_size, settings.global_batch_size
    if in_all is None:
        if per_worker is None:
            raise ConfigError("train_dataloader.batch_size: expected the images of one worker in one iteration")
        return per_worker, per_worker * world_size
    if per_worker is not None and per_worker * world_size != in_all:
        raise ConfigError(
            f"train_dataloader: batch_size={per_worker} × {world_size} workers is {per_worker * world_size}, but "
            f"global_batch_size={in_all}; give one of them"
        )
    if in_all % world_size:
        divisors = ", ".join(str(number) for number in range(1, in_all + 1) if in_all % number == 0)
        raise ConfigError(
            f"train_dataloader.global_batch_size: {in_all} images cannot be shared by {world_size} workers "
            f"(scaling.num_workers); possible are {divisors}"
        )
    return in_all // world_size, in_all


def _sampler(settings: DataLoaderSettings, **supplied: Any) -> Any:
    given = {key: value for key, value in (settings.sampler or {}).items() if value is not None}
    config = {"type": "ResumableSampler", **given}
    if settings.shuffle is not None and config.setdefault("shuffle", settings.shuffle) != settings.shuffle:
        raise ConfigError(
            f"train_dataloader: shuffle={settings.shuffle}, but sampler.shuffle={config['shuffle']}; give one of them"
        )
    sampler = SAMPLERS.build(config, **supplied)
    if missing := [name for name in ("pass_length", "position", "seek", "__iter__") if not hasattr(sampler, name)]:
        raise ConfigError(
            f"train_dataloader.sampler: {type(sampler).__name__} has no {' and no '.join(missing)}; a sampler yields "
            "this rank's lists of (pass, index) without end, as rayseg.data.sampler.ResumableSampler does"
        )
    return sampler


def _collate(settings: DataLoaderSettings, default: Collate) -> Collate:
    function = settings.collate_fn
    if function is None:
        return default
    found: Callable[..., Any] = import_dotted(function) if isinstance(function, str) else function
    return partial(_collated_by, found)


def _collated_by(function: Callable[..., Any], samples: list[Any]) -> list[Any]:
    return [function(samples)]


def _options(
    settings: DataLoaderSettings, device: torch.device, start_method: str | None, persistent: bool
) -> dict[str, Any]:
    with_processes = settings.num_workers > 0
    return {
        "num_workers": settings.num_workers,
        "prefetch_factor": settings.prefetch_factor if with_processes else None,
        "persistent_workers": persistent and with_processes,
        "multiprocessing_context": start_method if with_processes else None,
        "pin_memory": device.type == "cuda" if settings.pin_memory is None else settings.pin_memory,
    }


def _torch_loader(source: BatchSource, batches: Any, options: Mapping[str, Any]) -> DataLoader[Any]:
    return DataLoader(
        source,
        batch_size=None,  # an item of the source is a batch
        sampler=batches,
        collate_fn=_as_it_is,
        worker_init_fn=_begin_worker,
        generator=torch.Generator().manual_seed(0),  # else each iter() draws from the training's generator
        **options,
    )


def _transforms_of(dataset: Any) -> list[Any]:
    """The pipelines of a data set and what stands in them; empty when it has none."""
    pipelines = [part.pipeline for part in parts_of(dataset) if getattr(part, "pipeline", None) is not None]
    return [each for pipeline in pipelines for each in (pipeline, *getattr(pipeline, "transforms", ()))]


def _as_it_is(batch: Any) -> Any:
    return batch


def _begin_worker(worker: int) -> None:
    """A stop request to the whole process group is the training process's to answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(AttributeError):
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_when_told, name="rayseg-loader-end", daemon=True).start()


def _end_when_told() -> None:
    """End at the SIGTERM of the training process, and at nobody else's."""
    parent = multiprocessing.parent_process()
    while parent is not None and signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent.pid:
        continue
    os._exit(0)


def _opened(packed: Any) -> Iterator[Any]:
    if isinstance(packed, LoadFailure):
        raise packed.error
    for batch in packed:
        yield batch.unpacked() if isinstance(batch, PackedBatch) else batch


def _end(stream: Any) -> None:
    if stream is not None:
        stream.close()
