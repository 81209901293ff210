"""The sections of a sweep's page as plain rows that the template writes down."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median, stdev
from typing import Any
from urllib.parse import quote

from rayseg.reporting.facts import environment
from rayseg.reporting.metrics import Metrics
from rayseg.reporting.run_data import RunData
from rayseg.reporting.sections import Cell
from rayseg.reporting.sweep_charts import Scale, shown_trials
from rayseg.reporting.sweep_data import TRIALS_DIR, SweepData
from rayseg.reporting.sweep_dimensions import Axis, Dimension, option_text, value_text
from rayseg.reporting.sweep_summary import ahead_text, component_text
from rayseg.reporting.sweep_trials import Origin, Trial
from rayseg.reporting.values import NONE, as_mapping, as_number, named, span, whole

REPORT_FILE = "report.html"
BASELINE = "baseline"
NEXT_BEST = 3
NEAR_END = 0.05  # of a range
CONTINUOUS = ("uniform", "loguniform")
MAX_REASONS = 100
MAX_ORIGINS = 300


@dataclass(frozen=True)
class TrialRow:
    """A trial of the table; ``values`` are (text, what to sort by) for each axis."""

    name: str
    href: str
    status: str
    score: Cell
    sort_score: float | str
    at: str
    iterations: str
    seconds: str
    sort_seconds: float | str
    values: Sequence[tuple[str, float | str]]
    remark: str


@dataclass(frozen=True)
class BestValue:
    """A value of the best trial beside what the others drew: the next best ones, and all of them in words."""

    key: str
    value: str
    next: Sequence[str]
    others: str
    remark: str


@dataclass(frozen=True)
class SeedRow:
    """Repetitions of one config: (score, name of the repeat) by seed, mean, deviation, difference to the baseline."""

    name: str
    values: Sequence[tuple[str, str]]
    mean: str
    std: str
    ahead: str


def trial_links(sweep: SweepData) -> dict[str, str]:
    """Trial's name → its own page, as seen from the sweep directory; of those that have one."""
    paths = {trial.name: sweep.trial_dir(trial) for trial in (*sweep.trials, *sweep.repeats)}
    return {
        name: f"{TRIALS_DIR}/{quote(name)}/{REPORT_FILE}"
        for name, path in paths.items()
        if path is not None and (path / REPORT_FILE).is_file()
    }


def trial_rows(sweep: SweepData, axes: Sequence[Axis], scale: Scale, links: Mapping[str, str]) -> list[TrialRow]:
    """The trials of the page, the best first."""
    width = scale.high - scale.low
    rows = []
    for trial in shown_trials(sweep):
        score, at, _ = trial.best(sweep.sign)
        share = min(1.0, max(0.0, (score - scale.low) / width)) if math.isfinite(score) else -1.0
        again = f"started again {len(trial.retries)} ×" if trial.retries else ""
        rows.append(
            TrialRow(
                trial.name,
                links.get(trial.name, ""),
                trial.status,
                Cell(named(sweep.metric, score), share if sweep.sign > 0 or share < 0 else 1 - share),
                score if math.isfinite(score) else "",
                whole(at),
                whole(trial.iter),
                span(trial.seconds),
                trial.seconds if math.isfinite(trial.seconds) else "",
                [_value(axis, trial) for axis in axes],
                "; ".join(filter(None, [" ".join(trial.reason.split()), again])),
            )
        )
    return rows


def best_against_rest(sweep: SweepData, axes: Sequence[Axis]) -> list[BestValue]:
    """What the best trial has drawn, beside the others; none without at least two scores."""
    best, others = sweep.best, sweep.ranked[1:]
    if best is None or not others:
        return []
    rows = []
    for axis in axes:
        index = axis.drawn(best.draw)
        if index < 0:
            continue
        following = [_value(axis, trial)[0] for trial in others[:NEXT_BEST]]
        key = axis.dimensions[index].key
        rows.append(
            BestValue(
                key,
                _value(axis, best)[0],
                following,
                _spread(axis.dimensions[index], others),
                _remark(axis.dimensions[index], best),
            )
        )
    return rows


def failure_rows(sweep: SweepData) -> list[tuple[str, str, list[str]]]:
    """(what happened, reason, names of trials) of trials that failed or were started again, the most frequent first."""
    found: dict[tuple[str, str], list[str]] = {}
    for trial in (*sweep.trials, *sweep.repeats):
        if trial.status in ("failed", "interrupted"):
            found.setdefault((trial.status, trial.reason), []).append(trial.name)
        for reason in trial.retries:
            found.setdefault(("started again", reason), []).append(trial.name)
    order = sorted(found.items(), key=lambda item: (item[0][0] != "failed", -len(item[1])))
    return [(what, reason.strip() or "no reason is recorded", names) for (what, reason), names in order[:MAX_REASONS]]


def seed_rows(sweep: SweepData) -> tuple[list[str], list[SeedRow]]:
    """The seeds, and a row for each config that was repeated with them; the best mean first, the baseline last.

    Scores are those of repeats that ran to the end; of another one it is said how it stands.
    """
    found: dict[str, dict[str, float]] = {}
    for of, entry in as_mapping(sweep.facts.get("seeds")).items():
        values = as_mapping(as_mapping(entry).get("values"))
        found[str(of)] = {str(seed): as_number(score) for seed, score in values.items()}
    names = {(trial.repeat_of, trial.seed): trial for trial in sweep.repeats}
    for (of, seed), trial in names.items():
        score = sweep.score(trial) if trial.status == "finished" else math.nan
        found.setdefault(of, {}).setdefault(seed, score)
    seeds = list(dict.fromkeys(seed for scores in found.values() for seed in scores))
    means = {of: fmean(kept) if (kept := _finite(scores)) else math.nan for of, scores in found.items()}
    base = means.get(BASELINE, math.nan)

    def place(of: str) -> tuple[bool, float]:
        return of == BASELINE, -sweep.sign * means[of] if math.isfinite(means[of]) else math.inf

    rows = []
    for of in sorted(found, key=place):
        scores, difference = found[of], means[of] - base
        finite = _finite(scores)
        signed = f"{'+' if difference >= 0 else '−'}{ahead_text(sweep.metric, abs(difference))}"
        cells = [_seed_cell(sweep, scores.get(seed, math.nan), names.get((of, seed))) for seed in seeds]
        spread = f"± {ahead_text(sweep.metric, stdev(finite))}" if len(finite) > 1 else NONE
        ahead = signed if math.isfinite(difference) and of != BASELINE else ""
        rows.append(SeedRow(of, cells, named(sweep.metric, means[of]), spread, ahead))
    return seeds, rows


def origin_rows(sweep: SweepData) -> list[tuple[str, str, str, str, list[tuple[str, str]]]]:
    """(time, trial, iteration, donor, (key, change)) of each checkpoint that was taken over, in order of time."""
    events = [(origin, trial) for trial in sweep.trials for origin in trial.origins]
    events.sort(key=lambda event: event[0].time if math.isfinite(event[0].time) else math.inf)
    return [
        (span(sweep.clock(origin.time)), trial.name, whole(origin.iter), origin.donor, changes_text(origin.changes))
        for origin, trial in events[:MAX_ORIGINS]
    ]


def ancestry(sweep: SweepData) -> list[tuple[str, str, str]]:
    """(trial, from iteration, to iteration) of what the best trial's model went through, the first part first."""
    best = sweep.best
    if best is None or not best.origins:
        return []
    trials = {trial.name: trial for trial in sweep.trials}
    name, at = best.name, best.best(sweep.sign)[1]
    parts: list[tuple[str, str, str]] = []
    while len(parts) < MAX_ORIGINS:
        origin = _last_origin(trials.get(name), at)
        parts.append((name, whole(origin.iter) if origin else "0", whole(at)))
        if origin is None:
            break
        name, at = origin.donor, origin.iter
    return parts[::-1]


def changes_text(changes: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(key, ``old → new`` or the new value)."""
    found = []
    for key, value in changes.items():
        pair = value if isinstance(value, list) and len(value) == 2 else None
        found.append((str(key), " → ".join(map(value_text, pair)) if pair else value_text(value)))
    return found


def sweep_environment(sweep: SweepData) -> list[tuple[str, str]]:
    """(what, value) of how the sweep was set up and where it ran; what is not known is left out."""
    facts = sweep.facts
    size = as_mapping(facts.get("space")).get("size")
    space = f"{len(sweep.dimensions)} dimensions" + (f", {whole(size)} points" if size else "")
    rows = [
        (
            "metric",
            f"{sweep.metric}, the {'lowest' if sweep.sign < 0 else 'highest'} is the best" if sweep.metric else "",
        ),
        ("searcher", component_text(facts.get("searcher"))),
        ("scheduler", component_text(facts.get("scheduler"))),
        ("space", space if sweep.dimensions else ""),
        ("launches", whole(len(sweep.launches)) if len(sweep.launches) > 1 else ""),
    ]
    return [(what, value) for what, value in rows if value] + environment(as_run(sweep))


def as_run(sweep: SweepData) -> RunData:
    """sweep.json as the facts of a run: command, host, commit, versions are written in the same way."""
    return RunData(sweep.directory, sweep.facts, Metrics(()))


def _finite(scores: Mapping[str, float]) -> list[float]:
    return [score for score in scores.values() if math.isfinite(score)]


def _seed_cell(sweep: SweepData, score: float, trial: Trial | None) -> tuple[str, str]:
    """A repeat's score, else how it stands, and its name."""
    if math.isfinite(score) or trial is None:
        return named(sweep.metric, score), trial.name if trial else ""
    return trial.status, trial.name


def _value(axis: Axis, trial: Trial) -> tuple[str, float | str]:
    value = axis.value(trial.draw)
    if axis.drawn(trial.draw) < 0:
        return "", ""
    number = as_number(value)
    return value_text(value), number if axis.is_number and math.isfinite(number) else option_text(value)


def _spread(dimension: Dimension, trials: Sequence[Trial]) -> str:
    """The others' values in words."""
    values = [trial.draw[dimension.name] for trial in trials if dimension.name in trial.draw]
    if not values:
        return "no other trial has it"
    without = f"; {len(trials) - len(values)} without" if len(values) < len(trials) else ""
    if dimension.is_number:
        numbers = [number for value in values if math.isfinite(number := as_number(value))]
        if not numbers:
            return NONE
        return f"median {median(numbers):.4g}, {min(numbers):.4g} to {max(numbers):.4g}{without}"
    counts = Counter(map(option_text, values)).most_common(6)
    return ", ".join(f"{count} × {option}" for option, count in counts) + without


def _remark(dimension: Dimension, best: Trial) -> str:
    """Whether the best value is so near an end of its range that the range may be too narrow."""
    value, low, high = as_number(best.draw[dimension.name]), dimension.low, dimension.high
    if dimension.kind not in CONTINUOUS or not math.isfinite(value) or not low < high:
        return ""
    if dimension.kind == "loguniform" and low > 0 and value > 0:
        value, low, high = math.log(value), math.log(low), math.log(high)
    place = (value - low) / (high - low)
    if NEAR_END < place < 1 - NEAR_END:
        return ""
    end, bound = ("low", dimension.low) if place <= NEAR_END else ("high", dimension.high)
    return f"near the {end} end of its range, {bound:.4g}: perhaps the range is too narrow"


def _last_origin(trial: Trial | None, at: float) -> Origin | None:
    taken = [origin for origin in trial.origins if origin.iter < at] if trial else []
    return max(taken, key=lambda origin: origin.iter, default=None)
