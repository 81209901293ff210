"""A sweep in a few sentences, and its key numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import median
from typing import Any

from rayseg.reporting.metrics import Metrics
from rayseg.reporting.run_data import RunData
from rayseg.reporting.summary import MAX_ERROR, Card, circumstances
from rayseg.reporting.sweep_data import SweepData
from rayseg.reporting.sweep_dimensions import short_titles, value_text
from rayseg.reporting.sweep_trials import Trial
from rayseg.reporting.values import NONE, as_mapping, as_number, as_text, moment, named, plural, span, whole
from rayseg.tracking.files import RecordingError
from rayseg.tracking.run_file import read_run
from rayseg.tracking.table import is_fraction

MAX_DRAWN = 4  # values of the best trial in the verdict
ENDINGS = (
    ("finished", "ran to the end"),
    ("stopped", "stopped early"),
    ("failed", "failed"),
    ("interrupted", "interrupted"),
    ("running", "running"),
    ("proposed", "not started yet"),
)


def sweep_verdict(sweep: SweepData) -> str:
    """How the sweep went: status, how its trials ended, the best of them, on which data and hardware."""
    about = circumstances(run) if (run := best_run(sweep)) else ""
    return " ".join(part for part in (_standing(sweep), _achieved(sweep), about) if part)


def sweep_cards(sweep: SweepData) -> list[Card]:
    """The key numbers that the sweep has."""
    counts, total = sweep.counts(), as_number(sweep.facts.get("total"))
    scores = [sweep.score(trial) for trial in sweep.ranked]
    best = sweep.best
    cards = []
    if best is not None:
        at = best.best(sweep.sign)[1]
        where = f"trial {best.name}, iteration {whole(at)}"
        cards.append(Card(f"Best {sweep.metric}", named(sweep.metric, scores[0]), where))
    if len(scores) > 1:
        cards.append(Card(f"Median {sweep.metric}", named(sweep.metric, median(scores)), f"of {len(scores)} trials"))
    over = sum(counts.get(status, 0) for status in ("finished", "stopped", "failed"))
    of = f"of {whole(total)}" if math.isfinite(total) else ""
    failed = f"{whole(count)} failed" if (count := counts.get("failed", 0)) else "none failed"
    cards += [
        Card("Trials done", whole(over), ", ".join(filter(None, [of, failed, _restarts(sweep)]))),
        Card("Duration", span(sweep.duration_s), _time_of_trials(sweep)),
        _iterations(sweep),
    ]
    return [card for card in cards if card.value != NONE]


def best_run(sweep: SweepData) -> RunData | None:
    """The best trial's run.json, else any trial's; None when there is none that can be read."""
    for trial in [*sweep.ranked[:1], *sweep.trials[:1]]:
        path = sweep.trial_dir(trial)
        if path is None:
            continue
        try:
            return RunData(path, read_run(path), Metrics(()))
        except (RecordingError, RecursionError):
            continue
    return None


def ahead_text(metric: str, difference: float) -> str:
    """A difference of scores: points of percent of a fraction, else a number."""
    return f"{100 * difference:.2f} points" if is_fraction(metric) else f"{difference:.4g}"


def component_text(settings: Any) -> str:
    """A searcher or scheduler with its settings: ``ASHA (grace_iters=100)``; empty for none."""
    section = as_mapping(settings)
    rest = ", ".join(f"{key}={value}" for key, value in section.items() if key != "type")
    return as_text(section.get("type")) + (f" ({rest})" if rest else "")


def drawn_text(draw: Mapping[str, Any]) -> str:
    """Drawn values in a few words: ``optim_wrapper sgd, optimizer.lr 0.0028``."""
    items = [
        f"{title} {value_text(value)}" for title, value in zip(short_titles(list(draw)), draw.values(), strict=True)
    ]
    more = f" and {len(items) - MAX_DRAWN} more" if len(items) > MAX_DRAWN else ""
    return ", ".join(items[:MAX_DRAWN]) + more


def _standing(sweep: SweepData) -> str:
    total, known = as_number(sweep.facts.get("total")), len(sweep.trials)
    of = f" of {whole(total)}" if math.isfinite(total) and total != known else ""
    took = span(sweep.duration_s)
    trials = plural(known, "trial") if not of else f"{whole(known)}{of} trials"
    time = f" in {took}" if took != NONE else ""
    if sweep.status == "finished":
        text = f"Finished: {trials}{time}"
    elif sweep.status == "running":
        seen = moment(sweep.facts.get("updated"))
        sign = f" (last sign of life {seen})" if seen != NONE else ""
        text = f"Still running, or killed without a word{sign}: {trials}{time}"
    else:
        words = {"failed": "Failed", "interrupted": "Interrupted"}
        text = f"{words.get(sweep.status, f'Status {sweep.status}')}: {trials}{time}"
    counts = sweep.counts()
    endings = [f"{whole(counts[status])} {words}" for status, words in ENDINGS if counts.get(status)]
    text += (f"; {', '.join(endings)}" if endings else "") + "."
    stopping = as_text(sweep.facts.get("stopping"))
    text += f" It proposed no more since {stopping}." if stopping and sweep.status == "finished" else ""
    error = next((line.strip() for line in as_text(sweep.facts.get("error")).splitlines() if line.strip()), "")
    return text + (f" Error: {error[:MAX_ERROR]}{'…' if len(error) > MAX_ERROR else ''}" if error else "")


def _achieved(sweep: SweepData) -> str:
    best = sweep.best
    if best is None:
        return f"No trial has a {sweep.metric or 'score'} yet." if sweep.status == "running" else (
            f"No trial has a {sweep.metric or 'score'}."
        )  # fmt: skip
    score, at, _ = best.best(sweep.sign)
    text = f"The {'lowest' if sweep.sign < 0 else 'best'} {sweep.metric} is {named(sweep.metric, score)}, "
    text += f"by trial {best.name} at iteration {whole(at)}"
    if len(sweep.ranked) > 1:
        second = sweep.ranked[1]
        ahead = abs(score - sweep.score(second))
        far = f"{ahead_text(sweep.metric, ahead)} {'below' if sweep.sign < 0 else 'ahead of'} trial {second.name}"
        text += f", {far}" if ahead > 0 else f", the same as trial {second.name}'s"
    return text + (f": {drawn_text(best.draw)}." if best.draw else ".")


def _restarts(sweep: SweepData) -> str:
    count = sum(len(trial.retries) for trial in sweep.trials)
    return f"{whole(count)} started again" if count else ""


def _time_of_trials(sweep: SweepData) -> str:
    seconds = sum(trial.seconds for trial in sweep.trials if math.isfinite(trial.seconds))
    return f"{span(seconds)} of trials" if seconds > 0 else ""


def _iterations(sweep: SweepData) -> Card:
    """What the scheduler saved."""
    done = sum(_trained(trial) for trial in sweep.trials)
    whole_run = as_number(sweep.facts.get("max_iters"))
    if not math.isfinite(whole_run) or whole_run <= 0 or not sweep.trials:
        return Card("Iterations", whole(done), "of all trials")
    return Card(
        "Iterations",
        whole(done),
        f"{100 * done / (whole_run * len(sweep.trials)):.0f} % of what all trials at full length take",
    )


def _trained(trial: Trial) -> float:
    return trial.iter if math.isfinite(trial.iter) else 0.0
