"""Saves a checkpoint in a process that stops, or fails, at a chosen point. ``CrashServer`` is its parent's side.

A point is reached just before each change that the process asks of the file system, and at seeded offsets inside the
writing of each file. The server has imported everything once, and forks for each command.
"""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from rayseg.core.errors import CheckpointError, StaleAttemptError
from rayseg.engine.checkpoint import encode_manifest
from rayseg.engine.checkpoint_store import CheckpointStore, FileEntry
from rayseg.engine.storage import HashingSink
from rayseg.engine.storage_local import LocalStorage
from tests.checkpoints import content, facts, rank_files

CHANGES = ("fsync", "replace", "rename", "mkdir", "unlink", "rmdir", "link")
FILE_BYTES = 1_300_000
OFFSETS_A_FILE = 2
DONE, STALE, FAILED, BROKEN = 0, 3, 4, 5


class ManifestFirst(CheckpointStore):
    """Wrong on purpose: what it commits is not yet written."""

    def stage(self, name: str, files: Any, attempt: int) -> dict[str, FileEntry]:
        """Measure, write the manifest, and only then the files."""
        entries = {file: _measured(write) for file, write in files.items()}
        self._storage.write_bytes(
            f"{name}/manifest.json", encode_manifest(facts(3, "child"), entries, attempt), attempt, _no
        )
        for file, write in files.items():
            self._storage.write(f"{name}/{file}", write, attempt, _no)
        return entries


class ManifestRemovedLast(CheckpointStore):
    """Wrong on purpose: what it removes looks committed until the end."""

    def _remove(self, names: Any, attempt: int) -> list[str]:
        for name in names:
            for file in reversed(self._storage.names(name)):
                os.unlink(Path(self.root, name, file))
        return list(names)


class InPlace(CheckpointStore):
    """Wrong on purpose: a manifest is there before all of it is."""

    def __init__(self, url: Any) -> None:
        super().__init__(url)
        storage = self._storage
        assert isinstance(storage, LocalStorage)
        self._storage.write_bytes = self._write_in_place  # type: ignore[method-assign]

    def _write_in_place(self, key: str, data: bytes, attempt: int, check: Any) -> None:
        Path(self.root, key).parent.mkdir(exist_ok=True)
        with open(Path(self.root, key), "wb", buffering=0) as file:
            file.write(data[: len(data) // 2])
            os.fsync(file.fileno())
            file.write(data[len(data) // 2 :])


STORES: dict[str, type[CheckpointStore]] = {
    store.__name__: store for store in (CheckpointStore, ManifestFirst, ManifestRemovedLast, InPlace)
}


def _no() -> None:
    """Check nothing."""


def _measured(write: Callable[[BinaryIO], None]) -> FileEntry:
    with open(os.devnull, "wb") as nothing:
        sink = HashingSink(nothing)
        write(sink)  # type: ignore[arg-type]
    return sink.entry


class Points:
    """Counts the points that are reached; stops at one until its parent kills it or sends a byte, or fails there."""

    def __init__(self, at: int, error: int | None) -> None:
        self.at, self.error, self.count = at, error, 0

    def reach(self, what: str) -> None:
        """One more point."""
        self.count += 1
        if self.count != self.at:
            return
        if self.error is not None:
            raise OSError(self.error, os.strerror(self.error))
        _say(stopped=what, pid=os.getpid())
        os.read(0, 1)

    def watch(self) -> None:
        """Make a point of each change that is asked of the system."""
        for name in CHANGES:
            setattr(os, name, self._before(name, getattr(os, name)))

    def _before(self, name: str, really: Callable[..., Any]) -> Callable[..., Any]:
        def change(*args: Any, **options: Any) -> Any:
            self.reach(f"{name} {' '.join(str(arg) for arg in args)}")
            return really(*args, **options)

        return change

    def writer(self, iteration: int, file: str, by: str) -> Callable[[BinaryIO], None]:
        """Writes a file's content with points at seeded offsets."""
        data = content(iteration, file, by, FILE_BYTES)
        offsets = sorted(random.Random(f"offsets of {file}").sample(range(1, FILE_BYTES), OFFSETS_A_FILE))

        def write(target: BinaryIO) -> None:
            for start, end in zip([0, *offsets], [*offsets, FILE_BYTES], strict=True):
                target.write(data[start:end])
                self.reach(f"write {file} at {end}")

        return write


def save_iter_3(store: CheckpointStore, points: Points, by: str) -> None:
    """What a resumed run does with its store until its next checkpoint is saved."""
    attempt = store.claim_attempt()
    store.clean(attempt)
    store.latest()
    entries: dict[str, FileEntry] = {}
    for rank in range(2):
        writers = {file: points.writer(3, file, by) for file in rank_files(rank)}
        entries |= store.stage("iter_3", writers, attempt)
    store.commit("iter_3", entries, facts(3, by), attempt)
    store.pin("best_mIoU", "iter_3", attempt)
    store.prune(0, attempt)


def _child(root: str, store: str, at: int, error: int | None = None, limit: int | None = None) -> int:
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    points = Points(at, error)
    checkpoints = STORES[store](root)
    points.watch()
    try:
        save_iter_3(checkpoints, points, by="child")
        status, message = DONE, "; ".join(checkpoints.warnings)
    except CheckpointError as failure:
        status, message = STALE if isinstance(failure, StaleAttemptError) else FAILED, str(failure)
    except BaseException:
        status, message = BROKEN, traceback.format_exc()
    _say(status=status, message=message, points=points.count)
    return status


def _claims(root: str, times: int) -> int:
    store = CheckpointStore(root)
    _say(claimed=[store.claim_attempt() for _ in range(times)])
    return DONE


def _flush_nothing(descriptor: Any) -> None:
    """In the place of os.fsync."""


def _say(**line: Any) -> None:
    os.write(1, json.dumps(line).encode() + b"\n")


def _serve() -> None:
    """Fork for each line of commands on stdin; several commands in a line run at the same time.

    Flushing to the disk is left out: it takes most of the time, and no killed process can tell the difference.
    """
    os.fsync = _flush_nothing
    while line := _line():
        children = []
        for command in json.loads(line):
            pid = os.fork()
            if pid == 0:
                os._exit(_claims(**command) if "times" in command else _child(**command))
            children.append(pid)
        for pid in children:
            os.waitpid(pid, 0)
        _say(ended=True)


def _line() -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        if not (byte := os.read(0, 1)):
            return b""
        line += byte
    return line


class CrashServer:
    """The process in which checkpoints are saved and which can be stopped anywhere."""

    def __init__(self) -> None:
        root = Path(__file__).parents[3]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.engine.crashing"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=root,
            env={**os.environ, "PYTHONPATH": str(root)},
        )

    def start(self, *commands: dict[str, Any]) -> dict[str, Any]:
        """Run commands; returns the first thing they say."""
        self.send(json.dumps(commands).encode() + b"\n")
        return self.hear()

    def send(self, data: bytes) -> None:
        """Send a command, or the byte that lets a stopped process go on."""
        assert self._process.stdin is not None
        self._process.stdin.write(data)
        self._process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        """The next line that is said."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the crash server has died"
        return dict(json.loads(line))

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


if __name__ == "__main__":
    _serve()
