"""Tracker: what a run's records are shown on or sent to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rayseg.core.record import Record


@dataclass(frozen=True)
class RunInfo:
    """The run that a tracker follows.

    Attributes:
        run_dir: the run directory.
        facts: ``facts()`` is ``run.json`` as it stands; a resumed run's has the ids of ``remember`` under ``tracking``.
        remember: ``remember(key, value)`` writes an id into ``run.json`` under ``tracking`` (``wandb_run_id``), so
            that a resumed run goes on there. Callable from any thread.
        warn: tells people of a trouble, in ``log.txt`` and on the terminal. Callable from any thread.
    """

    run_dir: Path
    facts: Callable[[], Mapping[str, Any]]
    remember: Callable[[str, str], None]
    warn: Callable[[str], None]


class Tracker:
    """Base class. It lives in the process that owns the run, so a worker that dies does not touch it.

    The order of calls is ``start``, any number of ``write``, ``flush``, and ``finish`` once. An exception from any of
    them is reported once and ends the tracker, never the run.

    **Numbers are read from the file.** A tracker that talks to a server or keeps files of its own does not send what
    ``write`` is given: it follows ``metrics.jsonl`` with a ``rayseg.tracking.tail.MetricsTail``, whose cursor (the
    last iteration of each mode that has arrived) is saved in the run directory, best from a thread of its own, which
    ``write`` wakes. So nothing is lost when the server is away, a restarted run sends nothing twice (a value that was
    sent stays, though its line is made again), and ``rayseg sync`` is the same tracker on a finished directory.
    """

    def start(self, run: RunInfo) -> None:
        """Begin, or go on with a run that was resumed. Must not wait for a server."""

    def write(self, record: Record) -> None:
        """A record of any kind, in order, already in ``metrics.jsonl`` if it belongs there. Must not wait.

        Lines that a restart adds to the file from a checkpoint are in the file only.
        """

    def flush(self, timeout_s: float) -> None:
        """Send on what is there; give up after ``timeout_s`` seconds. Called when the run has ended."""

    def finish(self, status: str, error: str | None) -> None:
        """The end, after ``flush``: ``status`` is ``finished``, ``failed`` or ``interrupted``."""
