"""An S3-compatible server in a process of its own, and what the tests do with it from several processes."""

from __future__ import annotations

import os
import subprocess
import sys
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, BinaryIO

from rayseg.core.errors import CheckpointError
from rayseg.engine.checkpoint_store import CheckpointStore, FileEntry
from tests.checkpoints import content, files

BUCKET = "runs"
LARGE_BYTES = 12_000_000


class S3Server:
    """moto's server on a free port of 127.0.0.1; one request at a time, so that conditional writes are atomic."""

    def __init__(self) -> None:
        root = Path(__file__).parents[3]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.engine.object_store"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=root,
            env={**os.environ, "PYTHONPATH": str(root)},
            text=True,
        )
        assert self._process.stdout is not None
        self.endpoint = f"http://127.0.0.1:{self._process.stdout.readline().strip()}"

    def close(self) -> None:
        """End the server: it serves as long as its stdin is open."""
        self._process.communicate()


def stage_as(url: str, rank: int, attempt: int, size: int) -> dict[str, FileEntry]:
    """What one rank does for iter_3."""
    return CheckpointStore(url).stage("iter_3", files(3, rank, size=size), attempt)


def claim(url: str, times: int) -> list[int]:
    """Claim a few attempts."""
    store = CheckpointStore(url)
    return [store.claim_attempt() for _ in range(times)]


def read_newest(url: str) -> tuple[Any, ...] | None:
    """What another process sees."""
    checkpoint = CheckpointStore(url).latest()
    if checkpoint is None:
        return None
    return checkpoint.name, checkpoint.attempt, {name: checkpoint.read(name) for name in checkpoint.files}


def stage_and_stop_inside(url: str, attempt: int, parent: Connection) -> None:
    """Stage a large file; stop in the middle of it until the parent says something, then tell it how that ended."""

    def write(file: BinaryIO) -> None:
        data = content(3, "model.safetensors", size=LARGE_BYTES)
        file.write(data[: LARGE_BYTES // 2])
        parent.send("half")
        parent.recv()
        file.write(data[LARGE_BYTES // 2 :])

    try:
        CheckpointStore(url).stage("iter_3", {"model.safetensors": write}, attempt)
        parent.send("staged")
    except CheckpointError as error:
        parent.send(type(error).__name__)


def _serve() -> None:
    import threading

    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.port, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    _serve()
