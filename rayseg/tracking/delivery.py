"""Delivery: what a tracker's destination has already got of a run, kept in the run directory."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

from rayseg.tracking.files import RecordingError, replace_file
from rayseg.tracking.json_lines import encode

DELIVERY_DIR = "trackers"


def informed(run_dir: Path, status: str) -> Counter[str]:
    """How many destinations of each kind know that a run has ended so."""
    found: Counter[str] = Counter()
    for path in (run_dir / DELIVERY_DIR).glob("*.json"):
        with suppress(OSError, ValueError, KeyError, TypeError):
            if json.loads(path.read_bytes())["status"] == status:
                found[path.name.partition("-")[0]] += 1
    return found


class Delivery:
    """What has arrived at one destination; a follower that is started again goes on behind it.

    Args:
        run_dir: the run directory; the file is ``trackers/<kind>-<hash of the destination>.json``.
        kind: whose, such as ``mlflow``.
        destination: the server and the experiment there, without secrets.

    Attributes:
        run_id: the destination's own name of the run, None until it has one.
        cursor: the last iteration of each mode that has arrived.
        pictures: paths of the pictures that have arrived, relative to the run directory.
        files: size and time of the files that have arrived, by their relative path; a changed one is sent again.
        checkpoints: names of the checkpoints that have arrived.
        status: how the run ended as the destination knows it; None while it is running there.
    """

    def __init__(self, run_dir: Path, kind: str, destination: str) -> None:
        digest = hashlib.sha256(destination.encode()).hexdigest()[:8]
        self.path = run_dir / DELIVERY_DIR / f"{kind}-{digest}.json"
        self.destination = destination
        self.clear()
        self._load()

    def clear(self) -> None:
        """Nothing has arrived: everything will be sent from the beginning."""
        self.run_id: str | None = None
        self.cursor: dict[str, int] = {}
        self.pictures: set[str] = set()
        self.files: dict[str, list[int]] = {}
        self.checkpoints: set[str] = set()
        self.status: str | None = None

    def arrived(self, line: dict[str, Any]) -> None:
        """Note that a line of ``metrics.jsonl`` has arrived, and all before it."""
        self.cursor[line["mode"]] = max(line["iter"], self.cursor.get(line["mode"], -1))

    def save(self) -> None:
        """Replace the file.

        Raises:
            RecordingError: it could not be written; the one before stays.
        """
        value = {
            "destination": self.destination,
            "run_id": self.run_id,
            "cursor": self.cursor,
            "pictures": sorted(self.pictures),
            "files": self.files,
            "checkpoints": sorted(self.checkpoints),
            "status": self.status,
        }
        try:
            self.path.parent.mkdir(exist_ok=True)
        except OSError as error:
            raise RecordingError(self.path, error) from error
        replace_file(self.path, encode(value, indent=1).encode() + b"\n")

    def _load(self) -> None:
        """Take over what the file says; a damaged one says nothing, and what is sent twice does no harm."""
        try:
            value = json.loads(self.path.read_bytes())
            self.run_id = value["run_id"]
            self.cursor = {str(mode): int(at_iter) for mode, at_iter in value["cursor"].items()}
            self.pictures = set(value["pictures"])
            self.files = {str(name): [int(part) for part in stamp] for name, stamp in value["files"].items()}
            self.checkpoints = set(value["checkpoints"])
            self.status = value.get("status")
        except FileNotFoundError:
            return
        except (ValueError, KeyError, TypeError, AttributeError):
            self.clear()
        except OSError as error:
            raise RecordingError(self.path, error, "read") from error
