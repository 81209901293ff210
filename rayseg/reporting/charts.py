"""Which curves stand in which chart, and the data that the page's script draws them from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rayseg.reporting.curves import points_each, thin_out, trend
from rayseg.reporting.iterations import iteration_of
from rayseg.reporting.metrics import Series, score_titles
from rayseg.reporting.run_data import RunData
from rayseg.reporting.values import NONE, as_text, whole
from rayseg.tracking.lines import IN_FILE_ONLY
from rayseg.tracking.table import is_fraction, split_class_key

MAX_LINES = 8  # of groups, of classes: more cannot be told apart
MAX_OTHERS = 6
LOG_RATIO = 50.0  # a highest value so many times the lowest one starts on a log axis
# Title, unit, names of the training's numbers.
TRAINING: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("Speed", "samples/s", ("samples_per_s",)),
    ("Time of an iteration", "s", ("iter_time", "data_time")),
    ("Gradient norm", "", ("grad_norm",)),
    ("Memory", "MB", ("memory_mb", "host_memory_mb")),
)


@dataclass(frozen=True)
class Line:
    """A curve: its name in the legend, and its values."""

    name: str
    series: Series


@dataclass(frozen=True)
class Chart:
    """Curves with the same unit.

    Attributes:
        title: above the chart.
        unit: of the values; ``%`` says that they are fractions.
        lines: the curves, those without a number left out.
        marks: (iteration, text) of vertical lines.
        log: whether the y axis starts logarithmic.
    """

    title: str
    unit: str
    lines: Sequence[Line]
    marks: Sequence[tuple[float, str]] = ()
    log: bool = False
    note: str = field(default="")

    def data(self, limit: int) -> dict[str, Any]:
        """What the script needs; at most ``limit`` points a curve, None where there is no number."""
        return {
            "title": self.title,
            "unit": self.unit,
            "log": self.log,
            "marks": [[x, text] for x, text in self.marks if math.isfinite(x)],
            "lines": [{"name": line.name, **self._points(line.series, limit)} for line in self.lines],
        }

    def last_values(self) -> list[tuple[str, str, str, str]]:
        """(name, last, lowest, highest) of each curve as text, for readers without scripts."""
        rows = []
        for line in self.lines:
            finite = line.series.finite()
            values = (line.series.last(), min(finite), max(finite)) if finite else (math.nan,) * 3
            rows.append((line.name, self._text(values[0]), self._text(values[1]), self._text(values[2])))
        return rows

    def _points(self, series: Series, limit: int) -> dict[str, list[Any]]:
        kept, smooth = thin_out(series.y, limit), trend(series.y)
        return {
            "x": [int(series.x[index]) for index in kept],
            "y": [self._scaled(series.y[index]) for index in kept],
            "tx": [int(series.x[index]) for index, _ in smooth],
            "ty": [self._scaled(mean) for _, mean in smooth],
        }

    def _scaled(self, value: float) -> float | None:
        value *= 100.0 if self.unit == "%" else 1.0
        return float(f"{value:.6g}") if math.isfinite(value) else None

    def _text(self, value: float) -> str:
        if not math.isfinite(value):
            return NONE
        return f"{100 * value:.2f} %" if self.unit == "%" else f"{value:.5g} {self.unit}".rstrip()


def chart_data(charts: Sequence[Chart]) -> list[dict[str, Any]]:
    """The data of a page's charts, together of bounded size."""
    limit = points_each(sum(len(chart.lines) for chart in charts))
    return [chart.data(limit) for chart in charts]


def run_charts(run: RunData) -> list[Chart]:
    """The charts of one run: loss, scores, classes, learning rate, speed, and whatever else its hooks wrote."""
    restarts = _restarts(run)
    best = [(run.best_iter, "best")] if math.isfinite(run.best_iter) else []
    train = run.metrics.names("train")
    losses = _losses(run, train)
    others = [name for name in run.metrics.names("val") if name.startswith("loss")]
    charts = [
        _chart(
            "Loss", "", [_line(run, "train", n, f"train {n}") for n in losses]
            + [_line(run, "val", n, f"val {n}") for n in others], restarts,
        ),
        _chart("Scores", "%", _score_lines(run), restarts + best),
        _class_chart(run, best),
        _rate_chart(run),
        *(_chart(t, u, [_line(run, "train", n, n) for n in names], restarts) for t, u, names in TRAINING),
        *_other_charts(run, {*(name for _, _, names in TRAINING for name in names)}),
    ]  # fmt: skip
    return [chart for chart in charts if chart.lines]


def comparison_charts(runs: Mapping[str, RunData]) -> list[Chart]:
    """The same number of several runs in one chart each.

    Args:
        runs: label → run; every chart gives them in this order.
    """
    names = dict.fromkeys(name for run in runs.values() for name in run.metrics.scores())
    scores = score_titles({n: [y for run in runs.values() for y in run.metrics.series("val", n).y] for n in names})
    wanted = [
        ("Training loss", "", "train", "loss"),
        *((title, "%", "val", name) for name, title in scores.items()),
        ("Validation loss", "", "val", "loss"),
        ("Learning rate", "", "train", "lr"),
        ("Gradient norm", "", "train", "grad_norm"),
        ("Speed", "samples/s", "train", "samples_per_s"),
        ("Time of an iteration", "s", "train", "iter_time"),
        ("Memory", "MB", "train", "memory_mb"),
        ("Memory of the host", "MB", "train", "host_memory_mb"),
    ]
    charts = []
    for title, unit, mode, name in wanted:
        lines = [Line(label, run.metrics.series(mode, name)) for label, run in runs.items()]
        if any(line.series for line in lines):  # a run without it keeps its place, so colours stay the runs'
            charts.append(Chart(title, unit, lines, log=unit != "%" and _spread(lines)))
    return charts


def _losses(run: RunData, names: Sequence[str]) -> list[str]:
    """The loss and its parts; a part that is the whole is left out."""
    total = run.metrics.series("train", "loss")
    parts = [name for name in names if name.startswith("loss") and not name.startswith("loss_scale")]
    return [name for name in parts if name == "loss" or run.metrics.series("train", name).y != total.y]


def _score_lines(run: RunData) -> list[Line]:
    titles = score_titles({name: run.metrics.series("val", name).y for name in run.metrics.scores()})
    return [_line(run, "val", name, title) for name, title in titles.items()]


def _line(run: RunData, mode: str, name: str, shown: str) -> Line:
    return Line(shown, run.metrics.series(mode, name))


def _chart(title: str, unit: str, lines: Sequence[Line], marks: Sequence[tuple[float, str]] = ()) -> Chart:
    lines = [line for line in lines if line.series]
    return Chart(title, unit, lines, marks, log=unit not in ("%", "s", "MB", "samples/s") and _spread(lines))


def _class_chart(run: RunData, marks: Sequence[tuple[float, str]]) -> Chart:
    found = run.classes()
    if found is None:
        return Chart("", "%", ())
    table, _ = found
    score, many = table.names[0], len(table.rows) > MAX_LINES
    shown = table.worst_first()[:MAX_LINES] if many else list(table.rows)
    chart = _chart(f"{score} by class", "%", [_line(run, "val", f"{score}.{name}", name) for name in shown], marks)
    note = f"the {MAX_LINES} worst of {len(table.rows)} classes" if many else ""
    return Chart(chart.title, "%", chart.lines, chart.marks, note=note)


def _rate_chart(run: RunData) -> Chart:
    names = [name for name in run.metrics.names("train") if name == "lr" or name.startswith("lr.")]
    shown = names if len(names) <= MAX_LINES else _spread_out(names, MAX_LINES)
    note = f"{MAX_LINES} of {len(names)} parameter groups" if len(names) > MAX_LINES else ""
    return Chart("Learning rate", "", [_line(run, "train", name, name) for name in shown], note=note)


def _other_charts(run: RunData, drawn: set[str]) -> list[Chart]:
    names = [
        name
        for name in run.metrics.names("train")
        if name not in drawn
        and not name.startswith(("loss", "lr", "eta", *IN_FILE_ONLY))
        and split_class_key(name) is None
    ]
    return [_chart(n, "%" if is_fraction(n) else "", [_line(run, "train", n, n)]) for n in names[:MAX_OTHERS]]


def _spread_out(names: Sequence[str], count: int) -> list[str]:
    return [names[round(k * (len(names) - 1) / (count - 1))] for k in range(count)]


def _spread(lines: Sequence[Line]) -> bool:
    values = [value for line in lines for value in line.series.finite() if value > 0]
    return bool(values) and max(values) > LOG_RATIO * min(values)


def _restarts(run: RunData) -> list[tuple[float, str]]:
    marks = []
    for row in run.rows("attempts"):
        at_iter = iteration_of(as_text(row.get("start_from")).rpartition("/")[2])
        if at_iter is not None:
            marks.append((float(at_iter), f"attempt {whole(row.get('attempt'))}"))
    return marks
