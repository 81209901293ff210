"""``mmengine.logging``: lines for the log, and the hub of the run's numbers."""

from __future__ import annotations

import logging
from typing import Any

from rayseg.engine.current import find_runner
from rayseg.engine.message_hub import MessageHub

__all__ = ["MMLogger", "MessageHub", "print_log"]


class MMLogger:
    """Where MM's users find the logger. It is ``runner.logger``; outside a run, Python's logger ``rayseg``."""

    @staticmethod
    def get_current_instance() -> logging.Logger:
        """The logger of the run that is going on in this thread."""
        runner = find_runner()
        return logging.getLogger("rayseg") if runner is None else runner.logger

    @staticmethod
    def get_instance(name: str, **kwargs: Any) -> logging.Logger:
        """The same: a run has one log."""
        return MMLogger.get_current_instance()


def print_log(msg: Any, logger: logging.Logger | str | None = None, level: int = logging.INFO) -> None:
    """Write a line into the log.

    Args:
        msg: what is written.
        logger: a logger; 'silent' writes nothing; None and every other name is the run's.
        level: of the line, such as ``logging.WARNING``.
    """
    if logger == "silent":
        return
    target = logger if isinstance(logger, logging.Logger) else MMLogger.get_current_instance()
    target.log(level, "%s", msg)
