"""The sections of a run's page as plain rows that the template writes down."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rayseg.reporting.config_leaves import changed_leaves, origin
from rayseg.reporting.confusion import SHOWN_CLASSES, SHOWN_PAIRS, Confusion
from rayseg.reporting.metrics import score_titles
from rayseg.reporting.run_data import RunData
from rayseg.reporting.values import NONE, as_mapping, as_number, as_text, moment, named, whole
from rayseg.tracking.table import percent, split_class_key

MAX_WARNINGS = 100


@dataclass(frozen=True)
class Cell:
    """A table's cell: text, and a bar of this share (0 to 1; negative: none)."""

    text: str
    share: float = -1.0


@dataclass(frozen=True)
class ClassRows:
    """Scores by class, worst first."""

    names: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Cell]]]
    iter: str
    is_best: bool


@dataclass(frozen=True)
class HeatCell:
    """A cell of the confusion matrix: its share of the label's pixels, and what is shown of it."""

    share: float
    text: str
    title: str


@dataclass(frozen=True)
class HeatMap:
    """The confusion matrix to draw, and the pairs that are confused most (label, prediction, pixels, share)."""

    where: str
    classes: Sequence[str]
    rows: Sequence[Sequence[HeatCell]]
    hidden: int
    pairs: Sequence[tuple[str, str, str, Cell]]


def score_cell(value: float) -> Cell:
    """A score from 0 to 1 as percent with a bar."""
    return Cell(percent(value).replace("-", NONE), min(1.0, max(0.0, value)) if math.isfinite(value) else -1.0)


def class_rows(run: RunData) -> ClassRows | None:
    """Scores by class of the best validation; None when there are none."""
    found = run.classes()
    if found is None:
        return None
    table, at_iter = found
    labels = table.worst_first()
    titles = score_titles({name: [table.rows[label].get(name, math.nan) for label in labels] for name in table.names})
    rows = [(label, [score_cell(table.rows[label].get(name, math.nan)) for name in titles]) for label in labels]
    return ClassRows(list(titles.values()), rows, whole(at_iter), at_iter == run.best_iter)


def heat_map(confusion: Confusion) -> HeatMap:
    """What to draw of a confusion matrix."""
    shown, shares, counts, names = confusion.shown(), confusion.shares(), confusion.counts, confusion.classes
    few = len(shown) <= 12

    def cell(row: int, column: int) -> HeatCell:
        share = float(shares[row, column])
        text = f"{100 * share:.1f}" if few else (f"{100 * share:.0f}" if share >= 0.095 else "")
        said = f"{names[row]} → {names[column]}: {whole(counts[row, column])} pixels, {percent(share)} of {names[row]}"
        return HeatCell(share, text, said)

    return HeatMap(
        where=f"{'validation' if confusion.mode == 'val' else confusion.mode} at iteration {whole(confusion.iter)}",
        classes=[names[index] for index in shown],
        rows=[[cell(row, column) for column in shown] for row in shown],
        hidden=max(0, len(names) - len(shown)) if len(names) > SHOWN_CLASSES else 0,
        pairs=[
            (names[row], names[column], whole(counts[row, column]), score_cell(float(shares[row, column])))
            for row, column in confusion.pairs(SHOWN_PAIRS)
        ],
    )


def attempt_rows(run: RunData) -> list[tuple[str, str, str, str, str, str]]:
    """(attempt, time, workers, began at, reason, lines lost) of each attempt, also one that only lost lines."""
    rows: dict[int, Mapping[str, Any]] = {}
    for row in run.rows("attempts"):
        number = as_number(row.get("attempt"))
        rows[int(number) if math.isfinite(number) else -1 - len(rows)] = row
    found = []
    for attempt in sorted({*rows, *run.lost}):
        row = rows.get(attempt, {})
        found.append(
            (
                whole(attempt) if attempt >= 0 else NONE,
                moment(row.get("time")),
                whole(row.get("world_size")),
                as_text(row.get("start_from")) or "the beginning",
                as_text(row.get("reason")) or ("resumed by hand" if row.get("start_from") else ""),
                whole(run.lost[attempt]) if attempt in run.lost else "",
            )
        )
    return found


def warning_rows(run: RunData) -> list[tuple[str, str, str]]:
    """(times seen, first iteration and time, message), the same message once; at most 100."""
    first: dict[str, Mapping[str, Any]] = {}
    counts: dict[str, int] = {}
    for row in run.rows("warnings"):
        message = as_text(row.get("message"))
        first.setdefault(message, row)
        counts[message] = counts.get(message, 0) + 1
    return [
        (whole(counts[message]), f"{whole(row.get('iter'))} · {moment(row.get('time'))}", message)
        for message, row in list(first.items())[:MAX_WARNINGS]
    ]


def test_rows(run: RunData) -> tuple[list[str], list[tuple[str, str, str, list[str]]]]:
    """Names of the scores, and (file, checkpoint, images, scores) of each result in ``test/``."""
    results = [(test, as_mapping(test["metrics"])) for test in run.tests]
    names = [
        name
        for name in dict.fromkeys(str(name) for _, metrics in results for name in metrics)
        if split_class_key(name) is None and any(math.isfinite(as_number(m.get(name))) for _, m in results)
    ]
    rows = []
    for test, metrics in results:
        images = test.get("images")
        count = whole(len(images) if isinstance(images, list) else images)
        texts = [named(name, metrics.get(name)) for name in names]
        rows.append((as_text(test.get("file")), as_text(test.get("checkpoint")), count, texts))
    return names, rows


def config_rows(run: RunData) -> list[tuple[str, str, str]]:
    """(key path, value, who set it) of the config's leaves; who, maybe a file, is empty where the base's stands."""
    changed = changed_leaves(run.facts.get("config"))
    leaves = run.config.leaves if run.config else None
    return [(path, value, origin(path, changed)) for path, value in (leaves or {}).items()]
