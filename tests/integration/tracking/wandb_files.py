"""Reads W&B's transaction log: blocks of 32 KiB with records of checksum, length, kind and a protobuf message."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BLOCK, HEADER = 32768, 7
WHOLE, LAST = 1, 4


class OfflineRun:
    """An offline run as ``wandb sync`` would upload it.

    Attributes:
        folder: its directory.
        run: the ``RunRecord``.
        rows: the history.
        config, summary: as they are at the end.
        artifacts: (type, aliases, local paths of the files).
        exits: exit codes; one if the run came to its end.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows: list[dict[str, Any]] = []
        self.config: dict[str, Any] = {}
        self.summary: dict[str, Any] = {}
        self.files: list[str] = []
        self.artifacts: list[tuple[str, list[str], list[Path]]] = []
        self.steps: dict[str, str] = {}
        self.exits: list[int] = []
        (path,) = folder.glob("*.wandb")
        for record in _records(path):
            getattr(self, f"_{record.WhichOneof('record_type')}", lambda record: None)(record)

    def _run(self, record: Any) -> None:
        self.run = record.run
        self.config |= _values(record.run.config.update)

    def _config(self, record: Any) -> None:
        self.config |= _values(record.config.update)

    def _history(self, record: Any) -> None:
        self.rows.append(_values(record.history.item))

    def _summary(self, record: Any) -> None:
        self.summary |= _values(record.summary.update)

    def _files(self, record: Any) -> None:
        self.files += [file.path for file in record.files.files]

    def _metric(self, record: Any) -> None:
        self.steps[record.metric.glob_name or record.metric.name] = record.metric.step_metric

    def _artifact(self, record: Any) -> None:
        paths = [Path(entry.local_path) for entry in record.artifact.manifest.contents]
        self.artifacts.append((record.artifact.type, list(record.artifact.aliases), paths))

    def _exit(self, record: Any) -> None:
        self.exits.append(record.exit.exit_code)


def offline_runs(folder: Path) -> list[OfflineRun]:
    """Every offline run below a directory."""
    return [OfflineRun(path) for path in sorted(folder.rglob("offline-run-*")) if path.is_dir()]


def _values(items: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for item in items:
        path = list(item.nested_key) or [item.key]
        into = found
        for part in path[:-1]:
            into = into.setdefault(part, {})
        into[path[-1]] = json.loads(item.value_json)
    return found


def _records(path: Path) -> Iterator[Any]:
    from wandb.proto.wandb_internal_pb2 import Record

    data = path.read_bytes()
    assert data[:4] == b":W&B"
    at, message = HEADER, b""
    while at + HEADER <= len(data):
        if BLOCK - at % BLOCK < HEADER:
            at += BLOCK - at % BLOCK
            continue
        checksum, length, kind = struct.unpack("<IHB", data[at : at + HEADER])
        part = data[at + HEADER : at + HEADER + length]
        assert zlib.crc32(bytes([kind]) + part) == checksum
        at, message = at + HEADER + length, message + part
        if kind in (WHOLE, LAST):
            yield Record.FromString(message)
            message = b""
