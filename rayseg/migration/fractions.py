"""Scores are percentages in MM and fractions here, and so are the numbers that are compared with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rayseg.migration.lines import Lines

PERCENTAGES = ("aAcc", "mIoU", "mAcc", "mDice", "mFscore", "mPrecision", "mRecall")


def in_fractions(component: Any, path: str, lines: Lines) -> Any:
    """EarlyStoppingHook or ReduceOnPlateauLR with its limits as fractions, a line for each; others as they are."""
    if not isinstance(component, Mapping) or component.get("monitor") not in PERCENTAGES:
        return component
    names: tuple[str, ...] = ()
    if component.get("type") == "EarlyStoppingHook":
        names = ("min_delta", "stopping_threshold")
    elif component.get("type") == "ReduceOnPlateauLR" and component.get("threshold_rule") == "abs":
        names = ("threshold",)
    result = dict(component)
    for name in names:
        if isinstance(given := component.get(name), int | float):
            result[name] = round(given / 100, 12)
            why = f"scores are fractions here, percentages in MM: {result[name]} stands there"
            lines.differs(f"{path}.{name}", given, why)
    return result
