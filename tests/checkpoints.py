"""Checkpoints whose content is known, for the tests of the store."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from rayseg.engine.checkpoint_store import Checkpoint, CheckpointStore, FileEntry


def writer(data: bytes, pieces: int = 3) -> Callable[[BinaryIO], None]:
    """Writes data in a few pieces."""

    def write(file: BinaryIO) -> None:
        size = max(1, -(-len(data) // pieces))
        for start in range(0, len(data), size):
            file.write(data[start : start + size])

    return write


def content(iteration: int, file: str, by: str = "", size: int = 300) -> bytes:
    """What a file of a checkpoint holds: known from who made it."""
    return random.Random(f"{iteration} {file} {by}").randbytes(size)


def rank_files(rank: int) -> list[str]:
    """Names of the files that a rank writes."""
    return ["model.safetensors", "rank_0000.pt"] if rank == 0 else [f"rank_{rank:04d}.pt"]


def files(iteration: int, rank: int, by: str = "", size: int = 300) -> dict[str, Callable[[BinaryIO], None]]:
    """A rank's files with their writers."""
    return {name: writer(content(iteration, name, by, size)) for name in rank_files(rank)}


def facts(iteration: int, by: str = "", world_size: int = 2) -> dict[str, Any]:
    """What the manifest says."""
    return {"iter": iteration, "phase": "train", "world_size": world_size, "by": by}


def save(store: CheckpointStore, iteration: int, attempt: int, world_size: int = 2, by: str = "") -> None:
    """Stage as every rank, commit as rank 0."""
    name = f"iter_{iteration}"
    entries: dict[str, FileEntry] = {}
    for rank in range(world_size):
        entries |= store.stage(name, files(iteration, rank, by), attempt)
    store.commit(name, entries, facts(iteration, by, world_size), attempt)


def names(store: CheckpointStore) -> list[str]:
    """Names of the committed checkpoints, oldest first."""
    return [checkpoint.name for checkpoint in store.list()]


def holds_what_was_saved(checkpoint: Checkpoint) -> bool:
    """Whether each file holds what its maker wrote."""
    return all(
        checkpoint.read(name) == content(checkpoint.iter, name, checkpoint.facts["by"], entry.size)
        for name, entry in checkpoint.files.items()
    )


def damage(store: CheckpointStore, key: str) -> None:
    """Flip one bit of a file of a local store."""
    path = Path(store.root, key)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
