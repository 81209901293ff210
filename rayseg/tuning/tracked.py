"""SweepRun: the run that stands for a sweep at its trackers, above those of its trials; it lives in the driver."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableMapping
from pathlib import Path
from typing import Any

from rayseg.core.record import Record
from rayseg.tracking.fan_out import TrackerGroup
from rayseg.tracking.follower import Follower
from rayseg.tracking.recorder import FLUSH_TIMEOUT_S
from rayseg.tracking.sweeps import SWEEP_MODE
from rayseg.tracking.tracker import Tracker
from rayseg.tuning.progress import Progress, sweep_info
from rayseg.tuning.syncing import deliver_rest

Note = Callable[..., None]


class SweepRun:
    """Keeps those trackers informed that have a place for a sweep as such, and at the end the others too.

    Args:
        sweep_dir: absolute.
        facts: ``sweep.json`` as it stands; ids are put under ``tracking``, troubles under ``warnings``.
        config: the sweep's, with its open leaves.
        trackers: as a trial has them.
        progress: up to now.
        note: tells people a line; ``is_trouble=True`` where one is.
    """

    def __init__(
        self,
        sweep_dir: Path,
        facts: MutableMapping[str, Any],
        config: Mapping[str, Any],
        trackers: Iterable[Tracker],
        progress: Progress,
        note: Note,
    ) -> None:
        self._sweep_dir = sweep_dir
        self._facts = facts
        self._config = config
        self._progress = progress
        self._note = note
        followers = [tracker for tracker in trackers if isinstance(tracker, Follower) and tracker.is_on]
        self._kinds = [follower.kind for follower in followers]
        self._group = TrackerGroup([follower for follower in followers if follower.takes_sweeps], self._warn)

    def start(self) -> None:
        """Begin, or go on with a sweep that was resumed."""
        facts, config = self._facts, self._config
        info = sweep_info(self._sweep_dir, facts, config, self._progress, self._remember, self._warn, self._note)
        self._group.start(info)

    def take(self, line: Mapping[str, Any]) -> None:
        """Follow one line of the journal."""
        if self._progress.take(line):
            self._group.write(Record("scalars", 0, 0, line["time"], SWEEP_MODE))

    def finish(self, status: str, error: str | None, trials: Iterable[str]) -> None:
        """Send what trials left undelivered, such as one that was killed, then the files of the sweep and how it ended.

        Args:
            status: ``finished``, ``failed`` or ``interrupted``.
            error: why it failed.
            trials: names of those that ran.
        """
        deliver_rest(self._sweep_dir, trials, self._kinds, self._warn)
        self._group.flush(FLUSH_TIMEOUT_S)
        self._group.finish(status, error)

    def _warn(self, text: str) -> None:
        self._facts["warnings"] = [*self._facts.get("warnings", []), text]
        self._note(text, is_trouble=True)

    def _remember(self, key: str, value: str) -> None:
        self._facts["tracking"] = {**self._facts["tracking"], key: value}
