"""The best scores in run.json, when a run goes back to a checkpoint from before the best was found."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from rayseg.tracking.metrics_file import Position

Best = Mapping[str, Mapping[str, Any]]
Ranges = dict[str, list[dict[str, Any]]]


def empty_ranges(best: Best) -> Ranges:
    """For each metric that has a best: nothing seen yet."""
    return {metric: [] for metric in best}


def widen_ranges(ranges: Ranges, line: Mapping[str, Any]) -> None:
    """Take in a validation line: of each metric the first lowest and the first highest value are kept."""
    for metric, seen in ranges.items():
        value = line.get(metric)
        if not isinstance(value, float | int) or math.isnan(value):
            continue
        entry = {"value": value, "iter": line["iter"]}
        if not seen:
            seen.extend([entry, entry])
        elif value < seen[0]["value"]:
            seen[0] = entry
        elif value > seen[1]["value"]:
            seen[1] = entry


def cut_back_best(best: Best, ranges: Ranges, to: Position) -> dict[str, Any]:
    """The best scores as they were at a checkpoint.

    A best beat every score before it. So one from beyond the checkpoint tells by the lines that stay whether more or
    less is better, and the one before it is the highest or the lowest of them.
    """
    kept = {}
    for metric, entry in best.items():
        if to.holds("val", entry["iter"]):
            kept[metric] = dict(entry)
        elif ranges[metric]:
            lowest, highest = ranges[metric]
            kept[metric] = highest if entry["value"] > highest["value"] else lowest
    return kept
