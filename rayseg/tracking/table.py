"""The scores of every class as a table for people: percent, with the worst class marked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

CLASS_SCORES = ("IoU", "Acc", "Dice", "Fscore", "Precision", "Recall")
FRACTIONS = (*CLASS_SCORES, *(f"m{name}" for name in CLASS_SCORES), "aAcc")
MAX_ROWS = 40


def percent(fraction: float) -> str:
    """``0.98765`` as ``98.77 %``; a dash where there is no score."""
    return f"{100 * fraction:.2f} %" if math.isfinite(fraction) else "-"


def is_fraction(key: str) -> bool:
    """Whether a scalar's key names a score from 0 to 1: ``mIoU``, ``IoU.land``, ``prefix/aAcc``."""
    return key.partition(".")[0].rpartition("/")[2] in FRACTIONS


def split_class_key(key: str) -> tuple[str, str] | None:
    """``IoU.land`` as ``("IoU", "land")``, None for any other key; class names may hold dots."""
    score, dot, label = key.partition(".")
    return (score, label) if dot and score.rpartition("/")[2] in CLASS_SCORES else None


@dataclass(frozen=True)
class ClassTable:
    """Scores by class.

    Attributes:
        names: the scores, in order.
        rows: class → score → fraction (NaN where there is none), in the order of the classes.
    """

    names: tuple[str, ...]
    rows: Mapping[str, Mapping[str, float]]

    @classmethod
    def from_scalars(cls, scalars: Mapping[str, Any]) -> ClassTable | None:
        """The table of a validation's scalars; None when they hold no class's score."""
        rows: dict[str, dict[str, float]] = {}
        names: dict[str, None] = {}
        for key, value in scalars.items():
            if (parts := split_class_key(key)) is not None and isinstance(value, int | float):
                names[parts[0]] = None
                rows.setdefault(parts[1], {})[parts[0]] = value
        return cls(tuple(names), rows) if rows else None

    def worst_first(self) -> list[str]:
        """Classes by their first score, lowest first; those without a score come last."""
        values = {label: scores.get(self.names[0], math.nan) for label, scores in self.rows.items()}
        return sorted(values, key=lambda label: (math.isnan(values[label]), values[label]))

    def worst(self) -> str | None:
        """The class with the lowest first score, of more than one."""
        scored = [
            label for label in self.worst_first() if not math.isnan(self.rows[label].get(self.names[0], math.nan))
        ]
        return scored[0] if len(scored) > 1 else None

    def cells(self, limit: int = MAX_ROWS) -> list[tuple[str, ...]]:
        """The table as text, without its head: a row for each class and one for their mean.

        Args:
            limit: of more classes than this only the worst are shown, worst first.
        """
        shown = self.worst_first()[:limit] if len(self.rows) > limit else list(self.rows)
        worst = self.worst()
        body = [
            (
                f"{label} (worst)" if label == worst else label,
                *(percent(self.rows[label].get(n, math.nan)) for n in self.names),
            )
            for label in shown
        ]
        hidden = len(self.rows) - len(shown)
        label = f"mean (with {hidden} more classes)" if hidden else "mean"
        return [*body, (label, *(percent(self._mean(name)) for name in self.names))]

    def plain(self, limit: int = MAX_ROWS) -> list[str]:
        """The table as lines of text."""
        from rich.cells import cell_len

        rows = [("class", *self.names), *self.cells(limit)]
        widths = [max(cell_len(row[i]) for row in rows) for i in range(len(rows[0]))]
        lines = []
        for label, *scores in rows:
            pads = [" " * (width - len(text)) + text for text, width in zip(scores, widths[1:], strict=True)]
            lines.append("  ".join([label + " " * (widths[0] - cell_len(label)), *pads]))
        rule = "  ".join("-" * width for width in widths)
        return [lines[0], rule, *lines[1:-1], rule, lines[-1]]

    def rich(self, title: str | None = None, limit: int = MAX_ROWS) -> Table:
        """The table for a terminal."""
        from rich.table import Table
        from rich.text import Text

        table = Table(title=title, title_justify="left")
        table.add_column("class")
        for name in self.names:
            table.add_column(name, justify="right")
        worst = self.worst()
        *body, mean = self.cells(limit)
        for label, *scores in body:
            style = "bold red" if worst is not None and label == f"{worst} (worst)" else None
            table.add_row(Text(label), *scores, style=style)
        table.add_section()
        table.add_row(*mean, style="bold")
        return table

    def _mean(self, name: str) -> float:
        values = [row[name] for row in self.rows.values() if name in row and not math.isnan(row[name])]
        return sum(values) / len(values) if values else math.nan
