"""How a sweep stands: its trials and their results, read out of the journal and followed as it grows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["proposed", "running", "finished", "stopped", "failed", "interrupted"]
ENDED = ("finished", "stopped", "failed")  # what a resume does not run again


@dataclass
class TrialState:
    """One trial.

    Attributes:
        name: of its directory below ``trials``.
        number: counted from 0 in the order of proposals.
        draw: name of dimension → value; after a takeover the values of now.
        status: ``stopped`` by the scheduler, ``interrupted`` with its state saved, and so on.
        reason: why it was stopped or failed.
        results: iteration → numbers of the validation, in order.
        begun: when its process first trained, seconds since the Unix epoch.
        ended: when it ended.
        failures: why it was started again, once each.
        base: the draw that its config was made of; another trial's after a takeover.
        schedule: what changes in that config, ``{"iter": ..., "values": {key: value}}`` each, in order.
        takeover: the ``exploited`` line of the journal that is still to be carried out.
        lineage: ``iter``, ``donor``, ``checkpoint``, ``changes`` of each takeover (population based training).
        judged: the scheduler has decided to end it.
        repeat_of: the trial whose draw it runs once more, with ``seed``; empty of a trial of the search.
    """

    name: str
    number: int
    draw: dict[str, Any]
    status: Status = "proposed"
    reason: str = ""
    iter: int = 0
    results: dict[int, dict[str, float]] = field(default_factory=dict)
    begun: float | None = None
    ended: float | None = None
    failures: list[str] = field(default_factory=list)
    base: dict[str, Any] = field(default_factory=dict)
    schedule: list[dict[str, Any]] = field(default_factory=list)
    takeover: Mapping[str, Any] | None = None
    lineage: list[dict[str, Any]] = field(default_factory=list)
    judged: bool = False
    repeat_of: str = ""
    seed: int | None = None

    def best(self, metric: str, mode: str) -> tuple[float, int] | None:
        """(value, iteration) of the best validation, the earlier one of two equal ones; None without a number."""
        sign = 1.0 if mode == "max" else -1.0
        found = [(value, at) for at, values in self.results.items() if math.isfinite(value := _number(values, metric))]
        return max(found, key=lambda pair: (sign * pair[0], -pair[1])) if found else None

    @property
    def last_iter(self) -> int:
        """The highest iteration that is known."""
        return max([self.iter, *self.results])


class Standing:
    """Every trial of a sweep by its name, in the order of proposals.

    Args:
        lines: the journal's, from its beginning.
    """

    def __init__(self, lines: Iterable[Mapping[str, Any]] = ()) -> None:
        self.trials: dict[str, TrialState] = {}
        self.launches = 0
        for line in lines:
            self.take(line)

    def take(self, line: Mapping[str, Any]) -> None:
        """Follow one line of the journal; what it does not know it leaves alone."""
        event, trial = line["event"], self.trials.get(line.get("trial", ""))
        if event == "launch":
            self.launches += 1
        elif event == "proposed":
            repeat = {"repeat_of": line.get("repeat_of", ""), "seed": line.get("seed")}
            draw = dict(line["draw"])
            self.trials[line["trial"]] = TrialState(line["trial"], line["number"], draw, base=draw, **repeat)
            if (of := self.trials.get(repeat["repeat_of"])) is not None:
                self.trials[line["trial"]].base, self.trials[line["trial"]].schedule = of.base, of.schedule
        elif trial is not None and event in _FOLLOWED:
            _FOLLOWED[event](trial, line)

    def searched(self) -> list[TrialState]:
        """The trials of the search."""
        return [trial for trial in self.trials.values() if not trial.repeat_of]

    def repeats(self) -> list[TrialState]:
        """Those that run a draw once more."""
        return [trial for trial in self.trials.values() if trial.repeat_of]

    def ranked(self, metric: str, mode: str) -> list[TrialState]:
        """The trials of the search that have a score, the best first; of equal ones the one proposed first."""
        scored = [(best, trial) for trial in self.searched() if (best := trial.best(metric, mode)) is not None]
        sign = 1.0 if mode == "max" else -1.0
        return [trial for _, trial in sorted(scored, key=lambda pair: (-sign * pair[0][0], pair[1].number))]

    def unfinished(self) -> list[TrialState]:
        """Those that a resume goes on with."""
        return [trial for trial in self.trials.values() if trial.status not in ENDED]

    def counts(self) -> dict[str, int]:
        """Status → trials of the search, of every status that there is."""
        found = dict.fromkeys(("finished", "stopped", "failed", "interrupted", "running", "proposed"), 0)
        for trial in self.searched():
            found[trial.status] += 1
        return found


def _number(values: Mapping[str, Any], metric: str) -> float:
    value = values.get(metric)
    return float(value) if isinstance(value, int | float) else math.nan


def _started(trial: TrialState, line: Mapping[str, Any]) -> None:
    trial.status, trial.reason, trial.ended = "running", "", None
    trial.begun = line["time"] if trial.begun is None else trial.begun


def _result(trial: TrialState, line: Mapping[str, Any]) -> None:
    trial.results.setdefault(line["iter"], line["values"])


def _judged(trial: TrialState, line: Mapping[str, Any]) -> None:
    trial.judged, trial.reason = True, line["reason"]


def _exploited(trial: TrialState, line: Mapping[str, Any]) -> None:
    """Its results are those of a model that nobody goes on with; the new one's begin at that iteration."""
    trial.results, trial.iter = {}, line["iter"]
    trial.draw, trial.base, trial.schedule = dict(line["draw"]), dict(line["base"]), list(line["schedule"])
    trial.takeover = line
    trial.lineage.append({key: line[key] for key in ("iter", "donor", "checkpoint", "changes")})


def _took_over(trial: TrialState, line: Mapping[str, Any]) -> None:
    if line["number"] == len(trial.lineage):  # else it has been told of the next one already
        trial.takeover = None


def _retried(trial: TrialState, line: Mapping[str, Any]) -> None:
    trial.failures.append(line["reason"])
    trial.status = "proposed"


def _ended(trial: TrialState, line: Mapping[str, Any]) -> None:
    trial.status, trial.iter, trial.ended = line["status"], line["iter"], line["time"]
    trial.reason = line.get("reason") or trial.reason


_FOLLOWED = {
    "started": _started,
    "result": _result,
    "judged": _judged,
    "exploited": _exploited,
    "took_over": _took_over,
    "retried": _retried,
    "ended": _ended,
}
