"""ConcatDataset: several data sets of the same classes as one."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Annotated, Any

from torch.utils.data import Dataset

from rayseg.core.errors import ConfigError, Problem
from rayseg.core.registries import DATASETS
from rayseg.core.sample import SegSample
from rayseg.data.build import build_dataset, differences


class ConcatDataset(Dataset[dict[str, Any]]):
    """Data sets one after the other: those of all, in the order of the list, each read in its own way.

    Item ``i`` is that of the data set it falls into; its ``data_samples.metainfo`` has ``index``, which is ``i``, and
    ``name``, the name in that data set below its number: ``1/a.jpg``.

    Args:
        datasets: each a config ``dict(type=..., **arguments)`` with its own ``pipeline``, or a live data set; kept as
            an attribute, built.
        test_mode: for evaluation; given to each.

    Attributes:
        metainfo: ``classes`` and ``ignore_index``, which all have in common, and the first one's ``palette``.

    Raises:
        ConfigError: there is none; one of them is not what it should be; their classes or ignore indices differ.
    """

    def __init__(self, datasets: list[Annotated[Any, DATASETS]], test_mode: bool = False) -> None:
        if not datasets:
            raise ConfigError(Problem("expected at least one data set, found none", "datasets"))
        self.datasets = _of_each(datasets, lambda config: build_dataset(config, test_mode=test_mode))
        self._ends = list(accumulate(len(dataset) for dataset in self.datasets))
        self.metainfo: dict[str, Any] = dict(self.datasets[0].metainfo)
        if problems := self._differences():
            raise ConfigError(problems)

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: int) -> dict[str, Any]:
        """The sample at ``index``.

        Raises:
            DataError: its data set cannot read it.
        """
        number, place = self._place(index)
        item: dict[str, Any] = self.datasets[number][place]
        sample = item.get("data_samples")
        if isinstance(sample, SegSample):
            name = f"{number}/{sample.metainfo.get('name', place)}"
            sample.metainfo = {**sample.metainfo, "index": int(index), "name": name}
        return item

    def fingerprint(self) -> str | None:
        """A hash of the data sets' own; None where one has none."""
        digest = hashlib.blake2b(digest_size=16)
        for dataset in self.datasets:
            if not hasattr(dataset, "fingerprint"):
                return None
            digest.update(f"{dataset.fingerprint()}\n".encode())
        return digest.hexdigest()

    def preflight(self, n: int = 64) -> None:
        """Look at up to ``n`` masks of each data set that can be looked at, before a run begins.

        Raises:
            ConfigError: with the problems of all of them.
        """
        _of_each(self.datasets, lambda dataset: dataset.preflight(n) if hasattr(dataset, "preflight") else None)

    def _place(self, index: int) -> tuple[int, int]:
        if not 0 <= index < len(self):
            raise IndexError(f"index {index} of a data set of {len(self)}")
        number = bisect_right(self._ends, index)
        return number, index - (self._ends[number - 1] if number else 0)

    def _differences(self) -> list[Problem]:
        return [
            Problem(message, f"datasets.{number}")
            for number, dataset in enumerate(self.datasets)
            for message in differences(dataset.metainfo, self.metainfo, "datasets.0")
        ]


def parts_of(dataset: Any) -> list[Any]:
    """The data sets that one is made of, down to those that read files; itself if it is one."""
    if not isinstance(dataset, ConcatDataset):
        return [dataset]
    return [part for one in dataset.datasets for part in parts_of(one)]


def _of_each(datasets: Sequence[Any], do: Callable[[Any], Any]) -> list[Any]:
    """What ``do`` gives for each.

    Raises:
        ConfigError: with the problems of all, and in which data set each is.
    """
    done, problems = [], []
    for number, dataset in enumerate(datasets):
        try:
            done.append(do(dataset))
        except ConfigError as error:
            problems += [problem.below(f"datasets.{number}") for problem in error.problems]
    if problems:
        raise ConfigError(problems)
    return done
