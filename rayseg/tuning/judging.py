"""Judge: the scheduler of Ray Tune that a sweep uses. It writes results down, and lets a wrapped one decide.

A decision to stop never reaches Ray Tune, which would kill the trial: the trial is asked to end, ends at its next
control point with its files in order, and says so itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ray.tune.schedulers import FIFOScheduler, TrialScheduler

VALUES = "values/"  # how Ray Tune flattens what a trial reports


@dataclass(frozen=True)
class Known:
    """A trial as the wrapped scheduler sees it; equal for the same trial before and after a restart."""

    trial_id: str
    status: str = "RUNNING"


class Judge(FIFOScheduler):
    """Feeds results to ``rule``, each (trial, iteration) once, and passes on its decisions.

    Args:
        metric: what is compared.
        rule: a scheduler of Ray Tune that only stops trials, or None. It sees a ``Known`` for each.
        write: writes an event of the journal.
        end: asks a trial to end, and waits until it can hear of it.
        name: of the rule, for people.
        last_iter: where a trial ends by itself.
    """

    def __init__(
        self,
        metric: str,
        rule: Any,
        write: Callable[..., Any],
        end: Callable[[str, str], None],
        name: str,
        last_iter: int,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._compared = metric
        self._rule = rule
        self._write = write
        self._end = end
        self._name = name
        self._last_iter = last_iter
        self._seen: dict[str, int] = {}
        self._added: set[str] = set()
        self._unruled: set[str] = set()  # judged, or a repeat of the search's best
        self._unwritten: dict[str, int] = {}

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:
        """The metric is known already."""
        return True

    def replay(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Let the rule see what an earlier driver's trials gave, in the order of the journal.

        A decision that the driver did not live to write down is written now.
        """
        for line in lines:
            self._replay(line)
        for name, at in self._unwritten.items():
            self._write("judged", trial=name, iter=at, reason=self._reason(at))
        self._unwritten.clear()

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """A trial begins, or begins again after a failure."""
        self._add(trial.trial_id)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """A validation: into the journal, then before the rule."""
        name, at = trial.trial_id, result["iter"]
        if at <= self._seen.get(name, 0):  # made again after a restart
            return TrialScheduler.CONTINUE
        self._seen[name] = at
        values = {key.removeprefix(VALUES): value for key, value in result.items() if key.startswith(VALUES)}
        self._write("result", trial=name, iter=at, values=values)
        decision = self._decide(name, at, values)
        if at < self._last_iter:
            self._act(name, at, decision)
        return TrialScheduler.CONTINUE

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """A trial has ended by itself."""
        ended = {key: result.get(key) for key in ("status", "iter", "reason")}
        self._write("ended", trial=trial.trial_id, **ended)

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        """A trial has ended while it did not run."""

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """A trial has failed."""

    def debug_string(self) -> str:
        """The rule's."""
        return self._rule.debug_string() if self._rule is not None else ""

    def _replay(self, line: Mapping[str, Any]) -> None:
        event, name = line["event"], line.get("trial", "")
        if event == "proposed" and line.get("repeat_of"):
            self._unruled.add(name)
        elif event == "proposed":
            self._add(name)
        elif event == "result":
            at = line["iter"]
            self._seen[name] = max(at, self._seen.get(name, 0))
            if self._decide(name, at, line["values"]) == TrialScheduler.STOP and at < self._last_iter:
                self._unruled.add(name)
                self._unwritten[name] = at
        elif event in ("judged", "ended"):
            self._unwritten.pop(name, None)

    def _act(self, name: str, at: int, decision: str) -> None:
        """Carry out what the rule decided, once: a trial with workers of its own may go on before it hears of it."""
        if decision == TrialScheduler.STOP:
            self._unruled.add(name)
            self._write("judged", trial=name, iter=at, reason=self._reason(at))
            self._end(name, self._reason(at))

    def _add(self, name: str) -> None:
        if self._rule is not None and name not in self._added:
            self._added.add(name)
            self._rule.on_trial_add(None, Known(name))

    def _decide(self, name: str, at: int, values: Mapping[str, Any]) -> str:
        """What the rule says; it does not see a score that is no number: in the journal it is none either."""
        score = values.get(self._compared)
        if self._rule is None or name in self._unruled:
            return TrialScheduler.CONTINUE
        if not isinstance(score, int | float) or not math.isfinite(score):
            return TrialScheduler.CONTINUE
        decision: str = self._rule.on_trial_result(_NoController, Known(name), {"iter": at, **values})
        return decision

    def _reason(self, at: int) -> str:
        return f"stopped by {self._name} at iteration {at}"


class _NoController:
    """What a rule may ask of the controller: which other trials wait. None do for its sake."""

    @staticmethod
    def get_live_trials() -> list[Any]:
        return []
