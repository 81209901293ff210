"""The confusion matrix of a validation, and what is confused most."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rayseg.core.errors import DataError
from rayseg.reporting.iterations import newest_first
from rayseg.tracking.confusion import CONFUSION_DIR
from rayseg.tracking.confusion import read_confusion as load_confusion

SHOWN_CLASSES = 20
SHOWN_PAIRS = 15


@dataclass(frozen=True)
class Confusion:
    """Counts of pixels, rows labels, columns predictions.

    Attributes:
        mode: ``val`` or ``test``.
        iter: of which iteration.
        classes: K names.
        counts: (K, K), zero or more.
    """

    mode: str
    iter: int
    classes: tuple[str, ...]
    counts: npt.NDArray[np.float64]

    def shares(self) -> npt.NDArray[np.float64]:
        """(K, K), each row a label's pixels by prediction, 0 to 1; zeros for a label that does not occur."""
        totals = self.counts.sum(axis=1, keepdims=True)
        shares: npt.NDArray[np.float64] = np.zeros_like(self.counts)
        np.divide(self.counts, totals, out=shares, where=totals > 0)
        return shares

    def pairs(self, limit: int) -> list[tuple[int, int]]:
        """(label, prediction) of the most confused pairs, by pixels, most first; only those that occur."""
        wrong = self.counts.copy()
        np.fill_diagonal(wrong, 0)
        order = np.argsort(-wrong, axis=None, kind="stable")[:limit]
        found = [divmod(int(flat), len(self.classes)) for flat in order]
        return [(row, column) for row, column in found if wrong[row, column] > 0]

    def shown(self, limit: int = SHOWN_CLASSES) -> list[int]:
        """The classes to draw: all, or of more than ``limit`` those in the most confused pairs, in their order."""
        if len(self.classes) <= limit:
            return list(range(len(self.classes)))
        chosen: dict[int, None] = {}
        for pair in self.pairs(len(self.classes) ** 2):
            new = [index for index in dict.fromkeys(pair) if index not in chosen]
            if len(chosen) + len(new) > limit:
                break
            chosen.update(dict.fromkeys(new))
        return sorted(chosen)


def read_confusion(run_dir: Path, prefer_iter: float, notes: list[str]) -> Confusion | None:
    """The matrix of an iteration's validation, or the newest that can be read; the test's when there is none.

    Args:
        run_dir: the run directory.
        prefer_iter: the iteration to take if it is there.
        notes: takes a line for each damaged file.
    """
    for mode in ("val", "test"):
        files = newest_first(run_dir / CONFUSION_DIR / mode, ".json")
        files.sort(key=lambda item: item[0] != prefer_iter)
        for at_iter, path in files:
            try:
                return _load(path, mode, at_iter)
            except (OSError, ValueError, OverflowError, DataError) as error:
                notes.append(f"{CONFUSION_DIR}/{mode}/{path.name} is left out: {error}")
    return None


def _load(path: Path, mode: str, at_iter: int) -> Confusion:
    classes, matrix = load_confusion(path)
    counts = np.asarray(matrix, dtype=np.float64)
    if not classes or (counts < 0).any():
        raise ValueError("expected at least one class, and counts of zero or more")
    return Confusion(mode, at_iter, tuple(classes), counts)
