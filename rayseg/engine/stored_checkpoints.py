"""The checkpoints of a run as trackers see them: names by policy, files to send."""

from __future__ import annotations

import shutil
from pathlib import Path

from rayseg.core.errors import CheckpointError
from rayseg.engine.checkpoint_store import CheckpointStore
from rayseg.engine.storage import read_error
from rayseg.tracking.tracker import CheckpointPolicy


class StoredCheckpoints:
    """What a ``CheckpointStore`` holds.

    Args:
        store: a store of its own: it is used from the trackers' threads.
    """

    def __init__(self, store: CheckpointStore) -> None:
        self._store = store

    def names(self, policy: CheckpointPolicy) -> list[str]:
        """Those that the policy takes, oldest first; the last one stands for the best where no best is kept."""
        if policy == "none":
            return []
        names = [checkpoint.name for checkpoint in self._store.list()]
        pinned = set(self._store.pins().values())
        if policy == "best" and pinned:
            return [name for name in names if name in pinned]
        return names if policy == "all" else names[-1:]

    def fetch(self, name: str, folder: Path) -> None:
        """Copy a checkpoint's files into ``folder``.

        Raises:
            CheckpointError: it is gone or damaged, or could not be copied.
        """
        checkpoint = self._store.load(name)
        for file in checkpoint.files:
            try:
                with checkpoint.open(file) as source, open(folder / file, "wb") as target:
                    shutil.copyfileobj(source, target)
            except CheckpointError:
                raise
            except OSError as error:
                raise read_error(f"{checkpoint.path}/{file}", error) from error
