"""Attempts: one worker group of a run after another, of which only the newest may write."""

from __future__ import annotations

import json
import os
import socket
from functools import partial

from rayseg.core.errors import StaleAttemptError
from rayseg.engine.storage import Check, Storage

ATTEMPTS = "attempts"


class Attempts:
    """The claimed attempt numbers of a checkpoint store: one small file each, never removed."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def claim(self) -> int:
        """See ``CheckpointStore.claim_attempt``."""
        attempt = 0
        claim = json.dumps({"host": socket.gethostname(), "pid": os.getpid()}).encode()
        while True:
            attempt = max(attempt, self.newest()) + 1
            try:
                self._storage.reserve(f"{ATTEMPTS}/{attempt:09d}", claim)
            except FileExistsError:
                continue
            self._storage.begin_attempt(attempt)
            if self.newest() == attempt:
                return attempt

    def newest(self) -> int:
        """The highest number that was claimed, 0 before the first."""
        return max((int(name) for name in self._storage.names(ATTEMPTS) if name.isdecimal()), default=0)

    def check(self, attempt: int) -> None:
        """Raise StaleAttemptError if a newer attempt has claimed the store."""
        newest = self.newest()
        if newest > attempt:
            raise StaleAttemptError(
                f"{self._storage.root}: attempt {newest} of this run has taken over; "
                f"attempt {attempt} may not save any more"
            )

    def checker(self, attempt: int) -> Check:
        """``check`` as a function without arguments."""
        return partial(self.check, attempt)
