"""Hooks of these tests; the test copies the file beside its config."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from rayseg.engine.hook import Hook

PATIENCE_S = 150


class NameNode(Hook):
    """Write the node's id and the process's after ``at`` iterations, and wait for the file ``done``; only once.

    Args:
        at: completed iterations.
        name: the file that gets the ids.
        done: the file that is waited for.
    """

    def __init__(self, at: int, name: str, done: str) -> None:
        self.at = at
        self.name = Path(name)
        self.done = Path(done)

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Rank 1 does it."""
        if runner.iter + 1 != self.at or runner.rank != 1 or self.done.exists():
            return
        import ray

        partial = self.name.with_suffix(".partial")
        partial.write_text(f"{ray.get_runtime_context().get_node_id()} {os.getpid()}")
        partial.rename(self.name)
        deadline = time.monotonic() + PATIENCE_S
        while not self.done.exists() and time.monotonic() < deadline:
            time.sleep(0.05)


class Meet(Hook):
    """Begin no training before two processes are here.

    Args:
        place: a directory where each leaves a file.
    """

    def __init__(self, place: str) -> None:
        self.place = Path(place)

    def before_train(self, runner: Any) -> None:
        """Wait for the other one."""
        self.place.mkdir(exist_ok=True)
        (self.place / str(os.getpid())).touch()
        deadline = time.monotonic() + PATIENCE_S
        while len(list(self.place.iterdir())) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
