"""What the charts of a sweep's page are drawn from: trials, axes, curves, all of bounded size."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import quantiles
from typing import Any

from rayseg.reporting.curves import points_each, thin_out
from rayseg.reporting.sweep_data import SweepData
from rayseg.reporting.sweep_dimensions import Axis, Dimension
from rayseg.reporting.sweep_trials import Trial
from rayseg.tracking.table import is_fraction

MAX_TRIALS = 500  # drawn and listed: the best ones
MAX_SLICES = 24
FIRST_SLICES = ("lr", "decay_rate")  # last part of a key
HUGE = 1e300
FENCE = 3.0  # scores so many quartile distances below the quartiles are drawn at the edge
# From how many seconds on: seconds of a unit, its name.
TIME_UNITS = (
    (120.0, 1.0, "seconds"),
    (7200.0, 60.0, "minutes"),
    (172800.0, 3600.0, "hours"),
    (math.inf, 86400.0, "days"),
)


@dataclass(frozen=True)
class Scale:
    """The axis of scores.

    Attributes:
        low, high: its ends, in the unit of the score.
        factor: from the score to what is shown.
        unit: ``%`` or nothing.
        beyond: trials whose score is outside.
    """

    low: float
    high: float
    factor: float
    unit: str
    beyond: int

    def shown(self, score: float) -> float | None:
        """A score as it is drawn, None for NaN and infinities."""
        return _short(score * self.factor) if math.isfinite(score) else None


def score_scale(sweep: SweepData) -> Scale:
    """From the worst score that is no outlier to the best one."""
    scores = [sweep.score(trial) for trial in sweep.ranked]
    factor, unit = (100.0, "%") if is_fraction(sweep.metric) else (1.0, "")
    low, high = _ends(scores, sweep.sign)
    if factor == 100.0 and max(scores, default=0.0) <= 1.0:
        high = min(high, 1.0)
    return Scale(low, high, factor, unit, sum(not low <= score <= high for score in scores))


def _ends(scores: Sequence[float], sign: float) -> tuple[float, float]:
    """The best of the scores, and the worst that is not far below the quartiles; never the same number twice."""
    if not scores:
        return 0.0, 1.0
    low, high = min(scores), max(scores)
    if len(scores) >= 5:
        first, _, third = quantiles(scores, n=4, method="inclusive")
        reach = FENCE * (third - first)
        if reach > 0 and sign > 0:
            low = min(score for score in scores if score >= first - reach)
        elif reach > 0:
            high = max(score for score in scores if score <= third + reach)
    if low < high:
        return low, high
    pad = abs(low) * 0.1 or 1.0
    return low - pad, high + pad


def shown_trials(sweep: SweepData) -> list[Trial]:
    """The trials of the page, the best first, those without a score at the end; at most 500."""
    rest = sweep.rest[: MAX_TRIALS // 5]
    return [*sweep.ranked[: MAX_TRIALS - len(rest)], *rest]


def sweep_chart_data(
    sweep: SweepData, axes: Sequence[Axis], slices: Sequence[int], links: Mapping[str, str]
) -> dict[str, Any]:
    """What the page's script needs.

    Args:
        sweep: what was read.
        axes: of the parallel coordinates; each trial has a value for each, None where it has drawn none.
        slices: indices of axes.
        links: trial's name → where its own page is.
    """
    trials, scale = shown_trials(sweep), score_scale(sweep)
    shares = _color_shares(sweep, scale)
    rows = []
    for trial in trials:
        score, at, _ = trial.best(sweep.sign)
        rows.append(
            {
                "name": trial.name,
                "status": trial.status,
                "score": scale.shown(score),
                "at": int(at) if math.isfinite(at) else None,
                "share": shares.get(trial.name),
                "href": links.get(trial.name),
                "values": [_short(value) if math.isfinite(value := axis.place(trial.draw)) else None for axis in axes],
                "branches": [axis.drawn(trial.draw) for axis in axes],
            }
        )
    return {
        "score": {
            "title": sweep.metric,
            "unit": scale.unit,
            "low": _short(scale.low * scale.factor),
            "high": _short(scale.high * scale.factor),
            "better": "low" if sweep.sign < 0 else "high",
        },
        "trials": rows,
        "axes": [_axis(axis) for axis in axes],
        "slices": list(slices),
        "curves": _curves(trials, scale, sweep.sign),
        "progress": _progress(sweep, trials, scale),
    }


def slice_order(axes: Sequence[Axis], importance: Mapping[str, float]) -> list[int]:
    """Indices of the axes that have a slice: learning and decay rates first, then by importance; at most 24.

    Args:
        axes: all of them.
        importance: dimension's name → its share.
    """

    def rank(index: int) -> tuple[int, float, int]:
        last = axes[index].key.rpartition(".")[2]
        first = FIRST_SLICES.index(last) if last in FIRST_SLICES else len(FIRST_SLICES)
        return first, -sum(importance.get(d.name, 0.0) for d in axes[index].dimensions), index

    return sorted(range(len(axes)), key=rank)[:MAX_SLICES]


def branch_name(dimension: Dimension) -> str:
    """The labels of the branches that a dimension stands in, ``convnext, adam``; its name outside of any."""
    labels = [part.partition("]")[0] for part in dimension.name.split("[")[1:]]
    return ", ".join(labels) or dimension.name


def _color_shares(sweep: SweepData, scale: Scale) -> dict[str, float]:
    """Trial's name → 0 (worst) to 1 (best): the mean of where its score lies and of its rank.

    By the score alone a few bad trials would make all good ones look the same.
    """
    last, width = len(sweep.ranked) - 1, scale.high - scale.low
    found = {}
    for rank, trial in enumerate(sweep.ranked):
        place = min(1.0, max(0.0, (sweep.score(trial) - scale.low) / width))
        place = place if sweep.sign > 0 else 1 - place
        found[trial.name] = round((place + 1 - rank / last) / 2, 3) if last else 1.0
    return found


def _axis(axis: Axis) -> dict[str, Any]:
    facts = {
        "title": axis.title,
        "full": axis.key if len(axis.dimensions) > 1 else axis.dimensions[0].name,
        "branches": [branch_name(dimension) for dimension in axis.dimensions],
    }
    if axis.is_number:
        ends = {"low": _short(axis.low), "high": _short(axis.high)}
        return {**facts, "kind": "log" if axis.is_log else "linear", **ends}
    return {**facts, "kind": "option", "labels": axis.options}


def _curves(trials: Sequence[Trial], scale: Scale, sign: float) -> dict[str, Any]:
    """The score of each trial over iterations, and the ends of their axis; None breaks a curve where models change."""
    drawn = [(index, trial) for index, trial in enumerate(trials) if trial.scores or trial.past]
    limit = points_each(len(drawn))
    lines, values = [], []
    for index, trial in drawn:
        rows: list[tuple[float, float]] = []
        for scores in filter(None, [*trial.past, trial.scores]):
            piece = sorted((at, score) for at, (score, _) in scores.items())
            rows += [(piece[0][0], math.nan), *piece] if rows else piece
        kept = thin_out([score for _, score in rows], limit)
        shown = [scale.shown(rows[k][1]) for k in kept]
        lines.append({"t": index, "x": [int(rows[k][0]) for k in kept], "y": shown})
        values += [value for value in shown if value is not None]
    low, high = _ends(values, sign)
    return {"low": _short(low), "high": _short(high), "lines": lines}


def _progress(sweep: SweepData, trials: Sequence[Trial], scale: Scale) -> dict[str, Any]:
    """The best score so far over the time of the sweep, and when each trial had its own best."""
    rows = [(sweep.clock(time), score) for trial in sweep.trials for score, time in trial.scores.values()]
    rows = sorted((time, score) for time, score in rows if math.isfinite(time) and math.isfinite(score))
    end = sweep.duration_s if math.isfinite(sweep.duration_s) else 0.0
    end = max([end, *(time for time, _ in rows)])
    part, unit = next((part, unit) for limit, part, unit in TIME_UNITS if end < limit)
    steps: list[tuple[float, float]] = []
    for time, score in rows:
        if not steps or sweep.sign * score > sweep.sign * steps[-1][1]:
            steps.append((time, score))
    if steps:
        steps.append((end, steps[-1][1]))
    dots = []
    for index, trial in enumerate(trials):
        score, _, time = trial.best(sweep.sign)
        if math.isfinite(score) and math.isfinite(clock := sweep.clock(time)):
            dots.append({"t": index, "x": [_short(clock / part)], "y": [scale.shown(score)]})
    return {
        "unit": unit,
        "end": _short(end / part) or 1.0,
        "best": {"x": [_short(time / part) for time, _ in steps], "y": [scale.shown(score) for _, score in steps]},
        "dots": dots,
    }


def _short(value: float) -> float:
    """Six digits of a number, as JSON has it; what is beyond any sense is cut."""
    return float(f"{max(-HUGE, min(HUGE, value)):.6g}")
