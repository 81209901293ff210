"""The journal of a sweep: one JSON object a line, on the disk before anything follows from it.

=============  ===========================================================================================
event          its keys besides ``event`` and ``time``
=============  ===========================================================================================
``launch``     ``command``: a driver has begun, or gone on with, the sweep
``proposed``   ``trial``, ``number``, ``draw``, of a repeat also ``repeat_of``, ``seed``; before its directory is made
``started``    ``trial``, ``host``, ``node``, ``pid``: its process trains
``result``     ``trial``, ``iter``, ``values``: a validation; each (trial, iter) once, unless ``exploited`` lies between
``judged``     ``trial``, ``iter``, ``reason``: the scheduler ends it after this result
``exploited``  ``trial``, ``donor``, ``checkpoint``, ``iter``, ``changes``: it is to go on from another's checkpoint;
               ``draw``, ``base``, ``schedule`` as in ``TrialState``
``took_over``  ``trial``, ``number``: it has the checkpoint of its so many-th ``exploited``
``retried``    ``trial``, ``reason``: it failed and is started again
``ended``      ``trial``, ``status``, ``iter``, ``reason``; ``finished``, ``stopped``, ``failed``, ``interrupted``
=============  ===========================================================================================
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Lock
from typing import Any

from rayseg.core.errors import ConfigError
from rayseg.tracking.files import AppendFile, RecordingError
from rayseg.tracking.json_lines import encode

JOURNAL_FILE = "journal.jsonl"


class Journal:
    """The journal of one sweep directory, open for writing. Calls may come from any thread.

    Raises:
        RecordingError: it cannot be written.
    """

    def __init__(self, sweep_dir: Path) -> None:
        self._file = AppendFile(sweep_dir / JOURNAL_FILE)
        self._lock = Lock()
        if not self._file.ends_line():  # a crash tore the last line; it is skipped when read
            self._file.append(b"\n")

    def write(self, event: str, **facts: Any) -> dict[str, Any]:
        """Add a line and wait until the disk has it; gives the line."""
        line = {"event": event, "time": time.time(), **facts}
        with self._lock:
            self._file.append(encode(line).encode() + b"\n")
            self._file.sync()
        return line

    def fileno(self) -> int:
        """The file descriptor."""
        return self._file.fileno()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def drawn(sweep_dir: Path, trial: str) -> dict[str, Any]:
    """The draw of a trial, empty when it was never proposed.

    Raises:
        ConfigError, RecordingError: as ``read_journal``.
    """
    proposals = (line for line in read_journal(sweep_dir) if line["event"] == "proposed" and line["trial"] == trial)
    return next((dict(line["draw"]) for line in proposals), {})


def read_journal(sweep_dir: Path) -> Iterator[dict[str, Any]]:
    """The lines in order; torn ones are left out.

    Raises:
        ConfigError: there is no journal.
        RecordingError: it cannot be read.
    """
    path = sweep_dir / JOURNAL_FILE
    try:
        with path.open("rb") as file:
            for text in file:
                try:
                    line = json.loads(text)
                except ValueError:
                    continue
                if isinstance(line, dict) and isinstance(line.get("event"), str):
                    yield line
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigError(f"{sweep_dir}: no sweep directory: it has no {JOURNAL_FILE}") from None
    except OSError as error:
        raise RecordingError(path, error, "read") from error
