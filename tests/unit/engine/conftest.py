"""A checkpoint store on a local path, and one behind an fsspec URL."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from rayseg.engine.checkpoint_store import CheckpointStore


@pytest.fixture(params=["local", "fsspec"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[CheckpointStore]:
    """A store that both kinds of storage must keep the promises of."""
    if request.param == "local":
        yield CheckpointStore(tmp_path / "checkpoints")
        return
    from fsspec.implementations.memory import MemoryFileSystem

    root = f"/{uuid.uuid4().hex}"
    yield CheckpointStore(f"memory:/{root}/checkpoints")
    for key in [key for key in MemoryFileSystem.store if key.startswith(root)]:
        del MemoryFileSystem.store[key]


@pytest.fixture
def local(tmp_path: Path) -> CheckpointStore:
    """A store on a local path."""
    return CheckpointStore(tmp_path / "checkpoints")
