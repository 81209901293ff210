"""RunLogger: ``runner.logger``, a logger of Python's ``logging`` whose lines reach the owner of the run."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rayseg.engine.runner import Runner

LONGEST_MESSAGE = 16_000  # characters; a record has at most 64 kB


class RunLogger(logging.Logger):
    """Publishes what it is given: on rank 0 everything of its level, on other ranks errors, with the rank before them.

    It belongs to its runner and not to ``logging``'s tree, so that nothing of it outlives the run.

    Args:
        runner: whose lines they are.
        level: a level's name or number; lines below it are dropped.
    """

    def __init__(self, runner: Runner, level: int | str = logging.INFO) -> None:
        super().__init__("rayseg", level)
        self.addHandler(_ToOwner(runner))


class _ToOwner(logging.Handler):
    def __init__(self, runner: Runner) -> None:
        super().__init__()
        self._runner = runner

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        if len(text) > LONGEST_MESSAGE:
            text = f"{text[:LONGEST_MESSAGE]} ... ({len(text) - LONGEST_MESSAGE} characters more)"
        self._runner.publish.log(text, record.levelname, from_all=record.levelno >= logging.ERROR)
