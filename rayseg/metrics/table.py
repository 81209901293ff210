"""The scores of every class as a table for people: percent, with the worst class marked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table


def percent(fraction: float) -> str:
    """``0.98765`` as ``98.77 %``; a dash where there is no score."""
    return "-" if math.isnan(fraction) else f"{100 * fraction:.2f} %"


def worst_first(rows: Sequence[Mapping[str, Any]]) -> list[int]:
    """Row numbers ordered by the first score of the rows, lowest first; classes without a score come last."""
    name = _score_names(rows)[0]
    return sorted(range(len(rows)), key=lambda i: (math.isnan(rows[i][name]), rows[i][name], i))


def render(rows: Sequence[Mapping[str, Any]], title: str | None = None, limit: int = 40) -> Table:
    """A rich table with one line for each class and their mean.

    Args:
        rows: what ``IoUMetric.table`` gives: ``class``, scores (fractions), ``pixels``.
        title: above the table.
        limit: with more classes than this only the ``limit`` worst are shown, worst first.
    """
    from rich.table import Table

    names = _score_names(rows)
    order = worst_first(rows)
    shown = order[:limit] if len(rows) > limit else range(len(rows))
    worst = order[0] if len(rows) > 1 and not math.isnan(rows[order[0]][names[0]]) else None
    table = Table(title=title)
    table.add_column("class")
    for name in [*names, "pixels"]:
        table.add_column(name, justify="right")
    for index in shown:
        row = rows[index]
        label = f"{row['class']} (worst)" if index == worst else str(row["class"])
        cells = [percent(row[name]) for name in names]
        table.add_row(label, *cells, percent(row["pixels"]), style="bold red" if index == worst else None)
    table.add_section()
    hidden = len(rows) - len(shown)
    label = f"mean ({hidden} more classes)" if hidden else "mean"
    table.add_row(label, *(percent(_mean([row[name] for row in rows])) for name in names), "", style="bold")
    return table


def _score_names(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return [name for name in rows[0] if name not in ("class", "pixels")]


def _mean(values: Sequence[float]) -> float:
    numbers = [value for value in values if not math.isnan(value)]
    return sum(numbers) / len(numbers) if numbers else math.nan
