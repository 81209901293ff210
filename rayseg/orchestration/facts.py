"""What run.json says of a run that only its start knows: which config and what of it is its own, which data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rayseg.config import Config
from rayseg.config.config import COMMAND_LINE
from rayseg.config.tree import walk
from rayseg.engine.build import run_name
from rayseg.engine.runner import Runner


def launch_facts(config: Config, run_dir: Path, rehearsed: Runner, workers: int) -> dict[str, Any]:
    """``name``, ``workers``, ``data``; ``experiment`` and ``config`` unless the run directory itself was named."""
    facts = {"name": run_dir.name, "experiment": run_name(config), "workers": workers, "data": data_facts(rehearsed)}
    if config.filename is not None and config.filename.parent == run_dir:
        del facts["experiment"]  # the first start said it
        return facts
    return {**facts, "config": _own_part(config)}


def _own_part(config: Config) -> dict[str, Any]:
    """The config's file, and the leaves that it or the command line sets, with where each comes from."""
    own = {config.provenance.name, COMMAND_LINE}
    changed = {path: origin for path, _ in walk(config) if (origin := config.origin(path)) in own}
    return {"file": config.provenance.name, "changed": changed}


def data_facts(rehearsed: Runner) -> dict[str, Any]:
    """Of each split: the directory, how many images, and the fingerprint of their files where the data set has one."""
    return {split: _dataset(dataset) for split, dataset in _datasets(rehearsed).items()}


def other_data(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Of each split whose files are not those that the run had: what it had, and what it has now."""
    return [
        f"{split}: the data is not what the run had: {_described(before[split])} then, {_described(data)} now"
        for split, data in now.items()
        if (before.get(split) or {}).get("fingerprint") not in (None, data["fingerprint"])
    ]


def _described(data: Mapping[str, Any]) -> str:
    place = f" in {data['root']}" if data.get("root") else ""
    return f"{data['images']} images{place}"


def datasets_of(rehearsed: Runner) -> list[Any]:
    """The data sets that the run reads."""
    return list(_datasets(rehearsed).values())


def _datasets(rehearsed: Runner) -> dict[str, Any]:
    loaders = {"train": rehearsed.train_dataloader, "val": rehearsed.val_dataloader}
    return {split: loader.dataset for split, loader in loaders.items() if loader is not None}


def _dataset(dataset: Any) -> dict[str, Any]:
    facts = {"type": type(dataset).__name__, "images": len(dataset), "root": str(getattr(dataset, "root", "")) or None}
    fingerprint = getattr(dataset, "fingerprint", None)
    return {**facts, "fingerprint": fingerprint() if callable(fingerprint) else None}
