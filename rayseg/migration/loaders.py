"""The data loaders; validation and test say only what training does not say, as rayseg's own configs do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rayseg.migration.datasets import migrate_dataset
from rayseg.migration.lines import Lines, without_scope

MODES = ("train", "val", "test")
_TAKEN = ("batch_size", "num_workers", "persistent_workers", "pin_memory", "prefetch_factor", "drop_last")
# What FolderDataset takes where an argument is not given: needed where validation leaves out what training says.
DEFAULTS: dict[str, Any] = {
    "data_root": ".",
    "ann_file": None,
    "classes": None,
    "palette": None,
    "label_map": None,
    "reduce_zero_label": False,
    "ignore_index": 255,
}


def migrate_loaders(tree: Mapping[str, Any], lines: Lines) -> dict[str, Any]:
    """The three sections."""
    sections: dict[str, Any] = {}
    for mode in MODES:
        section = f"{mode}_dataloader"
        loader = tree.get(section)
        if not isinstance(loader, Mapping):
            continue
        sections[section] = _loader(loader, section, lines)
        if loader.get("dataset") is not None:
            evaluates = mode != "train"
            sections[section]["dataset"] = migrate_dataset(loader["dataset"], f"{section}.dataset", evaluates, lines)
    return sections


def shortened(sections: Mapping[str, Any]) -> dict[str, Any]:
    """The sections without what ``complete_config`` fills in from the one before."""
    short = {name: dict(loader) for name, loader in sections.items()}
    train, val, test = (sections.get(f"{mode}_dataloader") for mode in MODES)
    if val and test == val:
        del short["test_dataloader"]
    elif test and "dataset" in test:
        above = val["dataset"] if val and "dataset" in val else _without_pipeline(train)
        short["test_dataloader"]["dataset"] = _difference(test["dataset"], above)
    if val and train and "dataset" in val:
        short["val_dataloader"]["dataset"] = _difference(val["dataset"], _without_pipeline(train))
    return short


def _without_pipeline(loader: Mapping[str, Any] | None) -> dict[str, Any]:
    return {key: value for key, value in ((loader or {}).get("dataset") or {}).items() if key != "pipeline"}


def _difference(dataset: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """What has to be said of a data set that takes over from ``above`` what it does not say."""
    if dataset.get("type") != above.get("type") or dataset.get("type") != "FolderDataset":
        return dict(dataset)
    said = {key: value for key, value in dataset.items() if key not in above or value != above[key]}
    unsaid = {key: [] if key == "pipeline" else DEFAULTS[key] for key in above if key not in dataset}
    return {**said, **unsaid}


def _loader(loader: Mapping[str, Any], section: str, lines: Lines) -> dict[str, Any]:
    result = {key: loader[key] for key in _TAKEN if key in loader}
    sampler = loader.get("sampler")
    if isinstance(sampler, Mapping):
        kind = without_scope(sampler.get("type"))
        if kind in ("DefaultSampler", "InfiniteSampler"):
            result["sampler"] = {**sampler, "type": kind}
        else:
            why = "data are drawn by ResumableSampler here, so that a resumed run draws the same"
            lines.missing(f"{section}.sampler", sampler, why, "leave it out")
    for key in sorted(set(loader) - {*_TAKEN, "sampler", "dataset"}):
        value = loader[key]
        is_usual = key == "collate_fn" and isinstance(value, Mapping)
        if is_usual and without_scope(value.get("type")) in ("pseudo_collate", "default_collate"):
            lines.dropped(f"{section}.{key}", value, "images of several sizes make a batch here anyhow")
        elif value is not None:
            lines.missing(f"{section}.{key}", value, "the data loader has no such key here", "leave it out")
    return result
