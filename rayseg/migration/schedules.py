"""MM's parameter schedulers, and the one thing that they do without a word: nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rayseg.migration.fractions import in_fractions
from rayseg.migration.lines import Lines, without_scope


def migrate_schedulers(tree: Mapping[str, Any], lines: Lines) -> Any:
    """The ``param_scheduler`` section. A schedule that counts epochs in a loop of iterations is left out: it never
    acts in MM, and is an error in rayseg."""
    config = tree.get("param_scheduler")
    if not isinstance(config, list | tuple):
        return _one(config, tree, "param_scheduler", lines) if isinstance(config, Mapping) else config
    found = [_one(scheduler, tree, f"param_scheduler.{index}", lines) for index, scheduler in enumerate(config)]
    return [scheduler for scheduler in found if scheduler is not None] or None


def _one(config: Any, tree: Mapping[str, Any], path: str, lines: Lines) -> Any:
    if not isinstance(config, Mapping):
        return config
    result = {**config, "type": without_scope(config.get("type"))}
    counts_epochs = config.get("by_epoch", True) and not config.get("convert_to_iter_based")
    if counts_epochs and _counts_iterations(tree.get("train_cfg")):
        do = "if it was meant to act, say by_epoch=False, its numbers in iterations"
        lines.differs(path, config, "it counts epochs in a loop that counts iterations, so it never acted", do)
        return None
    return in_fractions(result, path, lines)


def _counts_iterations(loop: Any) -> bool:
    if not isinstance(loop, Mapping):
        return False
    return without_scope(loop.get("type")) == "IterBasedTrainLoop" or loop.get("by_epoch") is False
