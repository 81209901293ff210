"""log.txt: a line for everything of level INFO and above, with its time, and the way there for Python's logging."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

from rayseg.tracking.files import AppendFile, RecordingError

OWN_LOGGER = "rayseg"


class LogFile:
    """The open log of a run directory. A resumed run's lines follow the earlier ones.

    Raises:
        RecordingError: it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._file = AppendFile(path)
        if not self._file.ends_line():
            self._file.append(b"\n")

    def write(self, level: str, text: str, at: float) -> None:
        """Write ``text``, each of its lines with the time (local, of ``at`` seconds since the Unix epoch) and level."""
        if level_number(level) < logging.INFO:
            return
        stamp = time.strftime("%Y/%m/%d %H:%M:%S", time.localtime(at))
        lines = [f"{stamp} - {level} - {line}\n" for line in text.splitlines() or [""]]
        self._file.append("".join(lines).encode("utf-8", "replace"))

    def fileno(self) -> int:
        """The file descriptor."""
        return self._file.fileno()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class RunLogHandler(logging.Handler):
    """Hands what Python code logs in this process to the recorder: rayseg's own from INFO, of others warnings.

    Args:
        receive: called with level, text (with the traceback, if the line carries one) and time of each line.
    """

    def __init__(self, receive: Callable[[str, str, float], None]) -> None:
        super().__init__(logging.INFO)
        self._receive = receive
        self._level_before = logging.NOTSET

    def attach(self) -> None:
        """Begin to listen."""
        own = logging.getLogger(OWN_LOGGER)
        self._level_before = own.level
        if own.getEffectiveLevel() > logging.INFO:
            own.setLevel(logging.INFO)
        logging.getLogger().addHandler(self)

    def detach(self) -> None:
        """Stop listening; loggers are as they were."""
        logging.getLogger().removeHandler(self)
        logging.getLogger(OWN_LOGGER).setLevel(self._level_before)

    def handle(self, record: logging.LogRecord) -> bool:
        """Hand on one line, without the handler's own lock: the recorder has one, and two could wait for each other."""
        if record.levelno < logging.WARNING and record.name.partition(".")[0] != OWN_LOGGER:
            return False
        self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Hand on one line. A full disk is reported by the next record, not to the code that logs."""
        try:
            self._receive(record.levelname, self.format(record), record.created)
        except RecordingError:
            return
        except Exception:
            self.handleError(record)


def level_number(level: str) -> int:
    """The number of a level's name; an unknown name counts as INFO."""
    return logging.getLevelNamesMapping().get(level, logging.INFO)
