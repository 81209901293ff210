"""run.json: what a run is and how it stands, always whole and valid."""

from __future__ import annotations

import json
from pathlib import Path
from secrets import token_hex
from typing import Any

from rayseg.tracking.files import RecordingError, replace_file
from rayseg.tracking.json_lines import encode

RUN_FILE = "run.json"
DEFAULTS: dict[str, Any] = {
    "uid": "",
    "name": "",
    "status": "running",
    "seed": None,
    "iter": 0,
    "epoch": 0,
    "best": {},
    "last_checkpoint": None,
    "attempt": 0,
    "world_size": None,
    "threads": None,
    "error": None,
    "started": None,
    "launched": None,
    "updated": None,
    "finished": None,
    "times": {},
    "attempts": [],
    "warnings": [],
    "versions": {},
    "git": None,
    "command": None,
    "tracking": {},
}


class RunFile:
    """The facts of a run and the file that holds them; a resumed run's facts are read from it.

    ``uid`` is drawn once: by it a server knows the run again, wherever its directory was copied.

    Attributes:
        data: the facts, in the order of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data: dict[str, Any] = {**json.loads(json.dumps(DEFAULTS)), **read_run(path.parent)}
        self.data["uid"] = self.data["uid"] or new_uid()

    def write(self) -> None:
        """Replace the file at once.

        Raises:
            RecordingError: the file is as it was.
        """
        replace_file(self.path, encode(self.data, indent=2).encode("utf-8", "replace") + b"\n")


def new_uid() -> str:
    """What a run, or a sweep, is known by, wherever its directory is copied."""
    return token_hex(8)


def read_run(run_dir: Path) -> dict[str, Any]:
    """The facts of a run directory; empty when there is no ``run.json`` or it is damaged.

    Raises:
        RecordingError: it is there and cannot be read.
    """
    try:
        value = json.loads((run_dir / RUN_FILE).read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    except OSError as error:
        raise RecordingError(run_dir / RUN_FILE, error, "read") from error
    return value if isinstance(value, dict) else {}
