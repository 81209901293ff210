"""The numbers of a run as columns: one series for each (mode, name)."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rayseg.reporting.values import as_number
from rayseg.tracking.table import is_fraction, split_class_key

NO_SERIES = frozenset(("mode", "iter", "epoch"))
LESS_IS_BETTER = ("loss",)
MAIN_SCORE = "mIoU"
TWINS = (("Acc", "Recall"), ("Dice", "Fscore"), ("mAcc", "mRecall"), ("mDice", "mFscore"))  # by other names the same
SAME = 1e-9


@dataclass(frozen=True)
class Series:
    """Values over iterations, iterations ascending; NaN and infinities stay."""

    x: array[float] = field(default_factory=lambda: array("d"))
    y: array[float] = field(default_factory=lambda: array("d"))

    def at(self, iteration: float) -> float:
        """The value at exactly this iteration, NaN when there is none."""
        index = bisect_left(self.x, iteration)
        return self.y[index] if index < len(self.x) and self.x[index] == iteration else math.nan

    def finite(self) -> list[float]:
        """The values that are numbers."""
        return [value for value in self.y if math.isfinite(value)]

    def last(self) -> float:
        """The last value that is a number, NaN when there is none."""
        return next((value for value in reversed(self.y) if math.isfinite(value)), math.nan)

    def __bool__(self) -> bool:
        """Whether there is a number in it."""
        return any(map(math.isfinite, self.y))


@dataclass(frozen=True)
class Best:
    """The best value of a score: a fraction or a loss, and the iteration of its validation (NaN: not known)."""

    value: float
    iter: float


def score_titles(columns: Mapping[str, Iterable[float]]) -> dict[str, str]:
    """Score → its heading; of two that have the same values by definition the second has none: ``mDice = mFscore``.

    Args:
        columns: score → all its values that are shown.
    """
    values = {name: tuple(column) for name, column in columns.items()}
    titles = {name: name for name in values}
    for kept, other in TWINS:
        if kept in values and other in values and _same(values[kept], values[other]):
            titles[kept] = f"{kept} = {titles.pop(other)}"
    return titles


def _same(first: Sequence[float], second: Sequence[float]) -> bool:
    pairs = zip(first, second, strict=False)
    return len(first) == len(second) and all(abs(a - b) < SAME or (a != a and b != b) for a, b in pairs)


class Metrics:
    """Every series of a run, in the order in which their names appeared."""

    def __init__(self, lines: Iterable[Mapping[str, Any]]) -> None:
        self._series: dict[tuple[str, str], Series] = {}
        for line in lines:
            self._add(line)

    def series(self, mode: str, name: str) -> Series:
        """The series, empty when there is none."""
        return self._series.get((mode, name), Series())

    def names(self, mode: str) -> list[str]:
        """Names of a mode's series that hold a number, without the time."""
        return [name for (m, name), s in self._series.items() if m == mode and name != "time" and s]

    def scores(self, mode: str = "val") -> list[str]:
        """Names of the scores of a whole validation: ``mIoU``, ``aAcc`` …, no class's; mIoU is the first."""
        found = [name for name in self.names(mode) if is_fraction(name) and split_class_key(name) is None]
        return sorted(found, key=lambda name: name != MAIN_SCORE)

    def at(self, mode: str, iteration: float) -> dict[str, float]:
        """All values of a mode at an iteration, NaN included."""
        found = {}
        for (series_mode, name), series in self._series.items():
            if series_mode == mode:
                index = bisect_left(series.x, iteration)
                if index < len(series.x) and series.x[index] == iteration:
                    found[name] = series.y[index]
        return found

    def iterations(self, mode: str) -> list[float]:
        """The iterations at which a mode wrote a line, ascending."""
        return list(self.series(mode, "time").x)

    def best(self, recorded: Mapping[str, Any]) -> dict[str, Best]:
        """The best of each score of the validations.

        Args:
            recorded: run.json's ``best``, which goes before what the lines say.
        """
        found = {}
        for name in (*self.scores(), *(n for n in LESS_IS_BETTER if self.series("val", n))):
            series = self.series("val", name)
            choose = min if name in LESS_IS_BETTER else max
            value = choose(series.finite())
            found[name] = Best(value, series.x[series.y.index(value)])
        for name, entry in recorded.items():
            if isinstance(entry, Mapping) and math.isfinite(value := as_number(entry.get("value"))):
                found[str(name)] = Best(value, as_number(entry.get("iter")))
        return found

    def _add(self, line: Mapping[str, Any]) -> None:
        mode, at_iter = line["mode"], as_number(line["iter"])
        if not math.isfinite(at_iter):
            return
        for name, value in line.items():
            if name in NO_SERIES or type(value) not in (float, int):
                continue
            series = self._series.get((mode, name))
            if series is None:
                series = self._series[mode, name] = Series()
            series.x.append(at_iter)
            series.y.append(value if type(value) is float else as_number(value))
