"""Tracker: what a run's records are shown on or sent to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from rayseg.core.record import Record

CheckpointPolicy = Literal["none", "best", "last", "all"]


class Checkpoints(Protocol):
    """The checkpoints of a run, wherever they are stored."""

    def names(self, policy: CheckpointPolicy) -> list[str]:
        """Those that exist and that the policy takes, oldest first."""

    def fetch(self, name: str, folder: Path) -> None:
        """Copy a checkpoint's files into a folder of this machine.

        Raises:
            CheckpointError: it is gone (pruned since) or damaged.
        """


class Tail(Protocol):
    """Lines that grow."""

    def new_lines(self) -> Iterator[dict[str, Any]]:
        """Those that were not given before: ``mode``, ``iter``, ``time``, and numbers."""


@dataclass(frozen=True)
class RunInfo:
    """The run that a tracker follows.

    Attributes:
        run_dir: the run directory.
        facts: ``facts()`` is ``run.json`` as it stands; a resumed run's has the ids of ``remember`` under ``tracking``.
        remember: ``remember(key, value)`` writes an id into ``run.json`` under ``tracking`` (``wandb_run_id``), so
            that a resumed run goes on there. Callable from any thread.
        warn: tells people of a trouble, in ``log.txt`` and on the terminal. Callable from any thread.
        say: tells people something that is no trouble, in the same places. Callable from any thread.
        checkpoints: the run's checkpoints; None where nobody said where they are.
        tail: for what has lines but no ``metrics.jsonl``, such as a sweep: those behind a cursor.
        config: the config, where the owner has it at hand; else it is read out of the run directory.
    """

    run_dir: Path
    facts: Callable[[], Mapping[str, Any]]
    remember: Callable[[str, str], None]
    warn: Callable[[str], None]
    say: Callable[[str], None] = lambda _: None
    checkpoints: Checkpoints | None = None
    tail: Callable[[Mapping[str, int]], Tail] | None = None
    config: Mapping[str, Any] | None = None


class Tracker:
    """Base class. It lives in the process that owns the run, so a worker that dies does not touch it.

    The order of calls is ``start``, any number of ``write``, ``flush``, and ``finish`` once. An exception from any of
    them is reported once and ends the tracker, never the run.

    ``write`` must not wait. A tracker that talks to a server, or keeps files of its own, is a
    ``rayseg.tracking.follower.Follower``: it sends what the run directory holds, from a thread of its own.
    """

    def start(self, run: RunInfo) -> None:
        """Begin, or go on with a run that was resumed. Must not wait for a server."""

    def write(self, record: Record) -> None:
        """A record of any kind, in order, already in ``metrics.jsonl`` if it belongs there. Must not wait.

        Lines that a restart adds to the file from a checkpoint are in the file only.
        """

    def flush(self, timeout_s: float) -> None:
        """Send on what is there; give up after ``timeout_s`` seconds: the end of the run waits for it."""

    def finish(self, status: str, error: str | None) -> None:
        """The end, after ``flush``: ``status`` is ``finished``, ``failed`` or ``interrupted``."""
