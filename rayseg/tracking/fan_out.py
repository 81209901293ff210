"""The trackers of a run as one: a tracker that fails is dropped with a warning, the others and the run go on."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from rayseg.core.record import Record
from rayseg.tracking.tracker import RunInfo, Tracker


class TrackerGroup:
    """Calls every tracker that still works.

    Args:
        trackers: in the order in which they are called.
        warn: called with one line when a tracker fails.
    """

    def __init__(self, trackers: Sequence[Tracker], warn: Callable[[str], None]) -> None:
        self._alive = list(trackers)
        self._warn = warn

    def start(self, run: RunInfo) -> None:
        """Start all."""
        self._each(lambda tracker: tracker.start(run))

    def write(self, record: Record) -> None:
        """Show a record to all."""
        self._each(lambda tracker: tracker.write(record))

    def flush(self, timeout_s: float) -> None:
        """Flush all, within ``timeout_s`` seconds together."""
        deadline = time.monotonic() + timeout_s
        self._each(lambda tracker: tracker.flush(max(0.0, deadline - time.monotonic())))

    def finish(self, status: str, error: str | None) -> None:
        """Finish all, the first one last."""
        self._alive.reverse()
        self._each(lambda tracker: tracker.finish(status, error))

    def _each(self, call: Callable[[Tracker], None]) -> None:
        for tracker in list(self._alive):
            try:
                call(tracker)
            except Exception as error:
                self._alive.remove(tracker)
                self._warn(
                    f"{type(tracker).__name__} failed and is left out for the rest of the run; "
                    f"training and metrics.jsonl are not touched: {type(error).__name__}: {error}"
                )
