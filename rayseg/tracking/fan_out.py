"""The trackers of a run as one: a tracker that fails is dropped with a warning, the others and the run go on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from threading import Timer

from rayseg.core.record import Record
from rayseg.tracking.tracker import RunInfo, Tracker

LEAST_S = 2.0  # of the time together that is left for the last ones: they had their threads all the while
GRACE_S = 5.0  # beyond its time, before a tracker that is waited for is named


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
        """Flush all, within ``timeout_s`` seconds together; Ctrl-C ends the wait for one of them.

        A tracker that does not keep to its time is named, so that people know what they wait for.
        """
        deadline = time.monotonic() + timeout_s
        for tracker in list(self._alive):
            left = max(min(LEAST_S, timeout_s), deadline - time.monotonic())
            with self._named_if_late(tracker, left + GRACE_S):
                try:
                    self._one(tracker, partial(_flush, timeout_s=left))
                except KeyboardInterrupt:
                    self._warn(f"interrupted: {type(tracker).__name__} is not waited for any longer")

    def finish(self, status: str, error: str | None) -> None:
        """Finish all, the first one last."""
        self._alive.reverse()
        self._each(lambda tracker: tracker.finish(status, error))

    def _each(self, call: Callable[[Tracker], None]) -> None:
        for tracker in list(self._alive):
            self._one(tracker, call)

    def _one(self, tracker: Tracker, call: Callable[[Tracker], None]) -> None:
        try:
            call(tracker)
        except Exception as error:
            self._alive.remove(tracker)
            self._warn(
                f"{type(tracker).__name__} failed and is left out for the rest of the run; "
                f"training and metrics.jsonl are not touched: {type(error).__name__}: {error}"
            )

    @contextmanager
    def _named_if_late(self, tracker: Tracker, seconds: float) -> Iterator[None]:
        message = f"{type(tracker).__name__} is still waited for; Ctrl-C ends the wait"
        late = Timer(seconds, self._warn, [message])
        late.daemon = True
        late.start()
        try:
            yield
        finally:
            late.cancel()
            late.join()


def _flush(tracker: Tracker, timeout_s: float) -> None:
    tracker.flush(timeout_s)
