"""The trials of a sweep, as its journal tells of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rayseg.reporting.values import as_mapping, as_number, as_text


@dataclass(frozen=True)
class Origin:
    """A checkpoint that a trial took over from another (population based training).

    Attributes:
        iter: of the checkpoint, from which the trial goes on.
        donor: the other trial's name.
        changes: key path → the new value, or [old, new].
        time: seconds since the Unix epoch.
    """

    iter: float
    donor: str
    changes: Mapping[str, Any]
    time: float


@dataclass
class Trial:
    """One trial.

    Attributes:
        name: of its directory below ``trials``.
        number: counted from 0 in the order of proposals.
        draw: name of dimension → value; of a trial that took over another's checkpoint the values that it has since.
        status: ``proposed``, ``running``, ``finished``, ``stopped``, ``failed`` or ``interrupted``.
        reason: why it was stopped or failed.
        iter: the highest iteration that is known.
        scores: iteration → (score, time), in order; NaN and infinities stay.
        past: scores of models that it had before it took over a checkpoint, oldest first.
        begun, ended, last_seen: seconds since the Unix epoch, NaN when not known.
        retries: why it was started again, once each.
        origins: what it took over, in order.
        repeat_of: the trial whose draw it runs once more with ``seed``, or ``baseline``; else empty.
    """

    name: str
    number: int
    draw: Mapping[str, Any]
    status: str = "proposed"
    reason: str = ""
    iter: float = 0
    scores: dict[float, tuple[float, float]] = field(default_factory=dict)
    past: list[dict[float, tuple[float, float]]] = field(default_factory=list)
    begun: float = math.nan
    ended: float = math.nan
    last_seen: float = math.nan
    retries: list[str] = field(default_factory=list)
    origins: list[Origin] = field(default_factory=list)
    repeat_of: str = ""
    seed: str = ""

    def best(self, sign: float) -> tuple[float, float, float]:
        """(score, iteration, time) of the best validation, the earlier one of two equal ones; NaN without one.

        Args:
            sign: 1 when higher is better, -1 when lower is.
        """
        finite = [(score, at, time) for at, (score, time) in self.scores.items() if math.isfinite(score)]
        return max(finite, key=lambda row: (sign * row[0], -row[1]), default=(math.nan,) * 3)

    @property
    def seconds(self) -> float:
        """From its first start to its end, NaN when one of them is not known."""
        return self.ended - self.begun


def follow(lines: Iterable[Mapping[str, Any]], metric: str) -> list[Trial]:
    """The trials of a journal in the order of proposals; what a line lacks stays unknown."""
    trials: dict[str, Trial] = {}
    for line in lines:
        name = as_text(line.get("trial"))
        if not name:
            continue
        if line["event"] == "proposed":
            number = as_number(line.get("number"))
            number = int(number) if math.isfinite(number) else len(trials)
            of, seed = as_text(line.get("repeat_of")), as_text(line.get("seed"))
            trials.setdefault(name, Trial(name, number, dict(as_mapping(line.get("draw"))), repeat_of=of, seed=seed))
        trial, event = trials.get(name), _EVENTS.get(line["event"])
        if trial is None or event is None:
            continue
        event(trial, line, metric)
        time = as_number(line.get("time"))
        trial.last_seen = time if math.isfinite(time) else trial.last_seen
    return list(trials.values())


def _started(trial: Trial, line: Mapping[str, Any], metric: str) -> None:
    trial.status, trial.reason, trial.ended = "running", "", math.nan
    if math.isnan(trial.begun):
        trial.begun = as_number(line.get("time"))


def _result(trial: Trial, line: Mapping[str, Any], metric: str) -> None:
    at, score = as_number(line.get("iter")), as_number(as_mapping(line.get("values")).get(metric))
    if math.isfinite(at):
        trial.scores.setdefault(at, (score, as_number(line.get("time"))))
        trial.iter = max(trial.iter, at)


def _judged(trial: Trial, line: Mapping[str, Any], metric: str) -> None:
    trial.reason = as_text(line.get("reason"))


def _exploited(trial: Trial, line: Mapping[str, Any], metric: str) -> None:
    """Its scores are those of a model that nobody goes on with; the new one's begin at that iteration."""
    at, changes = as_number(line.get("iter")), as_mapping(line.get("changes"))
    if trial.scores:
        trial.past.append(trial.scores)
    trial.scores = {}
    trial.draw = dict(as_mapping(line.get("draw"))) or trial.draw
    trial.iter = at if math.isfinite(at) else trial.iter
    trial.origins.append(Origin(at, as_text(line.get("donor")), changes, as_number(line.get("time"))))


def _retried(trial: Trial, line: Mapping[str, Any], metric: str) -> None:
    trial.retries.append(as_text(line.get("reason")))
    trial.status = "proposed"


def _ended(trial: Trial, line: Mapping[str, Any], metric: str) -> None:
    trial.status = as_text(line.get("status")) or "unknown"
    trial.reason = as_text(line.get("reason")) or trial.reason
    trial.ended = as_number(line.get("time"))
    at = as_number(line.get("iter"))
    trial.iter = max(trial.iter, at) if math.isfinite(at) else trial.iter


_EVENTS: dict[str, Callable[[Trial, Mapping[str, Any], str], None]] = {
    "proposed": lambda trial, line, metric: None,
    "started": _started,
    "result": _result,
    "judged": _judged,
    "exploited": _exploited,
    "retried": _retried,
    "ended": _ended,
}
