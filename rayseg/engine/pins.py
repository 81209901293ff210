"""Pins: labels such as ``best_mIoU`` that stand for checkpoints, one small file each."""

from __future__ import annotations

from urllib.parse import quote, unquote

from rayseg.core.errors import CheckpointError
from rayseg.engine.checkpoint import DamagedError, is_name
from rayseg.engine.storage import Check, Storage

PINS = "pins"
LONGEST_FILE_NAME = 200


class Pins:
    """The labels of a checkpoint store. A label is any text: metrics of classes may hold spaces and slashes."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def set(self, label: str, name: str, attempt: int, check: Check) -> None:
        """Let a label stand for a checkpoint, from one moment to the next.

        Raises:
            CheckpointError: the label is empty, ``last``, or too long; or it could not be written.
        """
        file = quote(label, safe=" ")
        if label in ("", ".", "..", "last") or len(file) > LONGEST_FILE_NAME:
            raise CheckpointError(f"{label!r} cannot be a label: it is empty, too long, or has a meaning of its own")
        self._storage.write_bytes(f"{PINS}/{file}", f"{name}\n".encode(), attempt, check)

    def remove(self, label: str, attempt: int, check: Check) -> None:
        """Take a label away, if it is there."""
        if label in self.all():
            self._storage.remove(f"{PINS}/{quote(label, safe=' ')}", attempt, check)

    def all(self) -> dict[str, str]:
        """Label → name of its checkpoint, in the order of labels.

        Raises:
            CheckpointError: a pin is damaged, or the store could not be read.
        """
        pins = {}
        for key, data in self._storage.read_all(f"{PINS}/{file}" for file in self._storage.names(PINS)).items():
            name = data.decode(errors="replace").removesuffix("\n")
            if not is_name(name):
                raise DamagedError(f"{self._storage.path(key)} is damaged: it holds {name!r}")
            pins[unquote(key.removeprefix(f"{PINS}/"))] = name
        return pins
