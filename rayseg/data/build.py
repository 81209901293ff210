"""From a config's data sections to data sets: listed once for all ranks, and looked at before a run begins."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from rayseg.config.settings import settings
from rayseg.core import distributed
from rayseg.core.errors import ConfigError, Problem
from rayseg.core.registries import DATASETS
from rayseg.data.drawing import default_palette

SPLITS = ("train", "val", "test")
SAME_IN_SPLITS = ("classes",)
SAME_IN_PARTS = ("classes", "ignore_index")


def build_dataset(config: Any, *, test_mode: bool = False, group: Any = None) -> Any:
    """The data set that a config describes; what is already one is checked and returned.

    With a process group, every rank must call this: a data set whose class has ``list_files`` is listed by rank 0
    for all of them.

    Args:
        config: ``dict(type=..., **arguments)``, or a live data set.
        test_mode: given to the data set, if it takes it.
        group: process group for the listing; the default one when not given.

    Returns:
        An object with ``len()``, samples ``dict(inputs=uint8 tensor (3, H, W) RGB, data_samples=SegSample)`` by
        index, and ``metainfo`` with ``classes``, ``palette`` and ``ignore_index``.

    Raises:
        ConfigError: the arguments, directories or files are not what they should be, or there is no image.
    """
    if isinstance(config, Mapping) and "index" not in config:
        kind = DATASETS.resolve(config["type"]) if "type" in config else None
        index = None
        if distributed.get_world_size() > 1 and hasattr(kind, "list_files"):
            wanted = inspect.signature(kind.list_files).parameters  # type: ignore[union-attr]
            arguments = {key: value for key, value in config.items() if key in wanted}
            index = distributed.on_rank0(lambda: kind.list_files(**arguments), group)  # type: ignore[union-attr]
        config = DATASETS.build(config, test_mode=test_mode, **({} if index is None else {"index": index}))
    elif isinstance(config, Mapping):
        config = DATASETS.build(config, test_mode=test_mode)
    return _checked(config)


def _checked(dataset: Any) -> Any:
    name = type(dataset).__name__
    if missing := [part for part in ("__len__", "__getitem__") if not hasattr(dataset, part)]:
        raise ConfigError(f"data set {name} has no {' and no '.join(missing)}")
    metainfo = getattr(dataset, "metainfo", None)
    if not isinstance(metainfo, Mapping) or not metainfo.get("classes"):
        raise ConfigError(f"data set {name}: expected metainfo=dict(classes=[...], palette=..., ignore_index=255)")
    if isinstance(metainfo, dict):
        metainfo.setdefault("palette", default_palette(len(metainfo["classes"])))
        metainfo.setdefault("ignore_index", 255)
    if len(dataset) == 0:
        raise ConfigError(f"data set {name} is empty")
    return dataset


def preflight(config: Mapping[str, Any], splits: Sequence[str] = SPLITS, masks: int = 64) -> dict[str, Any]:
    """The data sets of a completed config, after a look at some masks of each and one trial of its pipeline.

    Args:
        config: the whole config.
        splits: which of ``train``, ``val``, ``test``; those that the config lacks are left out, and a data set that
            is configured exactly as an earlier one is looked at once.
        masks: read of each data set at most.

    Raises:
        ConfigError: with the problems of all splits.
    """
    datasets: dict[str, Any] = {}
    seen: list[tuple[Any, Any]] = []
    failed: list[Any] = []
    problems: list[Problem] = []
    for split in splits:
        section = f"{split}_dataloader"
        if not config.get(section):
            continue
        given = settings(config, section).dataset
        if given in failed:
            continue
        try:
            known = next((dataset for other, dataset in seen if other == given), None)
            datasets[split] = known if known is not None else _looked_at(given, split != "train", masks)
            seen += [(given, datasets[split])] if split != "train" else []
        except ConfigError as error:
            failed += [given] if split != "train" else []
            problems += [problem.below(f"{section}.dataset") for problem in error.problems]
    problems += _differing_classes(datasets)
    if problems:
        raise ConfigError(problems)
    return datasets


def differences(
    metainfo: Mapping[str, Any], first: Mapping[str, Any], name: str, keys: Sequence[str] = SAME_IN_PARTS
) -> list[str]:
    """A line for each of ``keys`` that is another one in ``metainfo`` than in that of the data set ``name``."""
    return [
        f"{key}={found}, but {name} has {expected}"
        for key in keys
        if (found := _plain(metainfo[key])) != (expected := _plain(first[key]))
    ]


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, Sequence) else value


def _looked_at(config: Any, test_mode: bool, masks: int) -> Any:
    dataset = build_dataset(config, test_mode=test_mode)
    if hasattr(dataset, "preflight"):
        dataset.preflight(masks)
    return dataset


def _differing_classes(datasets: Mapping[str, Any]) -> list[Problem]:
    first = next(iter(datasets), "")
    return [
        Problem(message, f"{split}_dataloader.dataset")
        for split, dataset in datasets.items()
        for message in differences(
            dataset.metainfo, datasets[first].metainfo, f"{first}_dataloader.dataset", SAME_IN_SPLITS
        )
    ]
