"""Publisher: how a run's parts tell the owner process of numbers, facts, pictures and lines of text."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any

from rayseg.core.record import Kind, Record

if TYPE_CHECKING:
    from rayseg.engine.runner import Runner

RECENT_RECORDS = 256


class Publisher:
    """Makes records and gives them to the host; only rank 0's reach the owner, pictures excepted.

    Attributes:
        recent: the last scalar records. Each checkpoint carries them, so that one which the owner had not yet
            written when it was killed is not lost.
    """

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.recent: deque[Record] = deque(maxlen=RECENT_RECORDS)
        self._warned: set[str] = set()

    def scalars(self, mode: str, at_iter: int, values: dict[str, Any]) -> None:
        """One line of ``metrics.jsonl``; ``at_iter`` counts completed iterations."""
        record = self._record("scalars", mode=mode, data=values, at_iter=at_iter)
        self.recent.append(record)
        self._from_rank0(record)

    def event(self, name: str, /, **data: Any) -> None:
        """A fact about the run; ``data`` holds JSON values."""
        self._from_rank0(self._record("event", name=name, data=data))

    def times(self) -> None:
        """Where the time of this process's run has gone until now."""
        self.event("times", **self.runner.stopwatch.seconds())

    def image(self, mode: str, path: str, tag: str) -> None:
        """A picture that this rank has written; ``path`` is relative to the run directory."""
        self.runner.host.publish(self._record("image", mode=mode, data={"path": path, "tag": tag}))

    def log(self, message: str, level: str = "INFO", *, from_all: bool = False) -> None:
        """A line of text; with ``from_all`` also of other ranks, whose number it then begins with."""
        if from_all and self.runner.rank:
            message = f"[rank {self.runner.rank}] {message}"
            self.runner.host.publish(self._record("log", data={"level": level, "message": message}))
        else:
            self._from_rank0(self._record("log", data={"level": level, "message": message}))

    def warning(self, message: str) -> None:
        """Something that the user should know and that stops nothing."""
        self.event("warning", message=message)

    def warn_once(self, message: str) -> None:
        """A warning that this process has not given yet."""
        if message not in self._warned:
            self._warned.add(message)
            self.warning(message)

    def _from_rank0(self, record: Record) -> None:
        if self.runner.rank == 0:
            self.runner.host.publish(record)

    def _record(
        self, kind: Kind, *, data: dict[str, Any], mode: str = "", name: str = "", at_iter: int | None = None
    ) -> Record:
        runner = self.runner
        done = runner.iter if at_iter is None else at_iter
        return Record(kind, done, runner.epoch, time.time(), mode=mode, name=name, data=data)
