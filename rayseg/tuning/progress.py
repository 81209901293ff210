"""Progress: a sweep's own numbers, the best score so far at each end of a trial, as lines that trackers take."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rayseg.tracking.sweeps import SWEEP_MODE
from rayseg.tracking.tracker import RunInfo
from rayseg.tuning.standing import ENDED, Standing


class Progress:
    """The lines of one sweep: ``iter`` counts the trials that have ended, ``trial`` is the number of the best one.

    Args:
        metric: what trials are compared by.
        mode: ``max`` or ``min``.
        lines: the journal's, from its beginning.
    """

    def __init__(self, metric: str, mode: str, lines: Iterable[Mapping[str, Any]] = ()) -> None:
        self._metric = metric
        self._mode = mode
        self._standing = Standing()
        self._ended: set[str] = set()
        self._lines: list[dict[str, Any]] = []
        for line in lines:
            self.take(line)

    def take(self, line: Mapping[str, Any]) -> bool:
        """Follow one line of the journal; whether it made one here."""
        self._standing.take(line)
        if line["event"] != "ended" or line["status"] not in ENDED or line["trial"] in self._ended:
            return False
        trial = self._standing.trials.get(line["trial"])
        if trial is None or trial.repeat_of:
            return False
        self._ended.add(line["trial"])
        ranked = self._standing.ranked(self._metric, self._mode)
        best = ranked[0].best(self._metric, self._mode) if ranked else None
        if best is None:
            return False
        head = {"mode": SWEEP_MODE, "iter": len(self._ended), "time": line["time"]}
        self._lines.append({**head, self._metric: best[0], "trial": ranked[0].number})
        return True

    def tail(self, cursor: Mapping[str, int]) -> ProgressTail:
        """The lines behind a cursor, those to come too."""
        return ProgressTail(self._lines, cursor.get(SWEEP_MODE, -1))


class ProgressTail:
    """Lines that were not given before.

    Args:
        lines: a list that grows.
        given: up to which ``iter`` they were.
    """

    def __init__(self, lines: list[dict[str, Any]], given: int) -> None:
        self._lines = lines
        self._given = given

    def new_lines(self) -> Iterator[dict[str, Any]]:
        """The lines behind the last one given."""
        for line in list(self._lines):
            if line["iter"] > self._given:
                self._given = line["iter"]
                yield line


def sweep_info(
    sweep_dir: Path,
    facts: Mapping[str, Any],
    config: Mapping[str, Any],
    progress: Progress,
    remember: Callable[[str, str], None],
    warn: Callable[[str], None],
    say: Callable[[str], None],
) -> RunInfo:
    """A sweep as the run that a tracker follows."""
    return RunInfo(
        sweep_dir, lambda: _run_facts(facts), remember, warn=warn, say=say, tail=progress.tail, config=config
    )


def _run_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    best = facts.get("best")
    return {**facts, "best": {facts["metric"]: best} if best else {}}
