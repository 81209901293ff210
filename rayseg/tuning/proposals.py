"""Proposals: where Ray Tune gets its trials from. What is proposed is in the journal and has its directory first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ray.tune.search import SearchAlgorithm

Next = Callable[[], str | None]


class Proposals(SearchAlgorithm):
    """Gives Ray Tune one trial after the other, by name; as many at a time as ``limit`` says.

    Args:
        waiting: names of trials to go on with first, of an earlier driver.
        propose: makes the next new trial and gives its name; None when there is none left.
        limit: trials at the same time.
    """

    def __init__(self, waiting: Sequence[str], propose: Next, limit: int) -> None:
        self._waiting = list(waiting)
        self._propose = propose
        self._limit = limit
        self._live: set[str] = set()
        self._exhausted = False
        self._stopped = False
        self._experiment: Any = None

    def add_configurations(self, experiments: Any) -> None:
        """Learn what a trial of Ray Tune is made of."""
        self._experiment = experiments[0]

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any) -> bool:
        """The space is ours."""
        return True

    @property
    def total_samples(self) -> int:
        """Not known here."""
        return 0

    def stop(self) -> None:
        """Give no more trials; called from another thread."""
        self._stopped = True

    def next_trial(self) -> Any:
        """A trial, or None while as many as may run do."""
        if len(self._live) >= self._limit or self.is_finished():
            return None
        name = self._waiting.pop(0) if self._waiting else self._propose()
        if name is None:
            self._exhausted = True
            return None
        self._live.add(name)
        return self._made(name)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """A trial has ended: there is room for another one."""
        self._live.discard(trial_id)

    def is_finished(self) -> bool:
        """Whether no trial is left to give."""
        return self._stopped or (self._exhausted and not self._waiting)

    def _made(self, name: str) -> Any:
        from ray.tune.experiment.config_parser import _create_trial_from_spec, _make_parser

        spec = {**self._experiment.spec, "config": {"trial": name}}
        return _create_trial_from_spec(spec, _make_parser(), trial_id=name, experiment_tag=name)
