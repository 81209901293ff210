"""Storage: the few file operations that a checkpoint store is made of, and what its two kinds share.

Keys are relative paths with ``/``. Whatever is written appears under its key whole or not at all.
"""

from __future__ import annotations

import errno
import hashlib
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol, cast

from rayseg.core.errors import CheckpointError

Writer = Callable[[BinaryIO], None]
Check = Callable[[], None]

CHUNK_BYTES = 1 << 20
TEMPORARY = "tmp"


@dataclass(frozen=True)
class FileEntry:
    """A file of a checkpoint: its size in bytes and its SHA-256 in hex."""

    size: int
    sha256: str


class Storage(Protocol):
    """What a checkpoint store needs of a place.

    What changes something takes the number of the attempt that does it, and ``check``, which raises when a newer
    attempt has taken over; it is called last before the change.
    Every method raises CheckpointError, with the path and the system's reason, when the place does not answer.
    """

    root: str

    def path(self, key: str = "") -> str:
        """The full path or URL of a key."""

    def reserve(self, key: str, data: bytes) -> None:
        """Create a key that must not exist. Of several processes one succeeds; FileExistsError in the others."""

    def begin_attempt(self, attempt: int) -> None:
        """Let an attempt make changes and, where the place can do that, no earlier one any more."""

    def write(self, key: str, writer: Writer, attempt: int, check: Check) -> FileEntry:
        """Stream a file into its place, replacing what is there."""

    def write_bytes(self, key: str, data: bytes, attempt: int, check: Check) -> None:
        """``write`` for something small, in one request."""

    def remove(self, key: str, attempt: int, check: Check) -> None:
        """Remove a file, if it exists."""

    def remove_folder(self, folder: str, first: str, attempt: int, check: Check) -> None:
        """Remove a folder, if it exists; of what it holds the file ``first`` before all else, or all at once."""

    def open(self, key: str) -> BinaryIO:
        """Open for reading. FileNotFoundError when the key does not exist."""

    def read_all(self, keys: Iterable[str]) -> dict[str, bytes]:
        """The contents of small files; those that do not exist are left out."""

    def size(self, key: str) -> int | None:
        """Bytes of a file, None when it does not exist."""

    def names(self, folder: str = "") -> list[str]:
        """Names of the files and folders in a folder, sorted; none when it does not exist."""


class HashingSink(io.RawIOBase):
    """A write-only file that hashes and counts what passes through, and remembers the error of a failed write.

    (torch.save turns the error of a write into a RuntimeError that no longer says what happened.)
    """

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file
        self._hash = hashlib.sha256()
        self._size = 0
        self.error: Exception | None = None

    def writable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """Bytes written so far."""
        return self._size

    def write(self, data: Any) -> int:
        """Write all of ``data`` (bytes-like). Returns its size in bytes."""
        view = memoryview(data).cast("B")
        try:
            self._file.write(view)
        except Exception as error:
            self.error = error
            raise
        self._hash.update(view)
        self._size += view.nbytes
        return view.nbytes

    def fill(self, writer: Writer, path: str) -> None:
        """Let a writer write.

        Raises:
            CheckpointError: it failed because a write did. Any other error of the writer passes as it is.
        """
        try:
            writer(cast(BinaryIO, self))
        except Exception as error:
            if self.error is None and not isinstance(error, OSError):
                raise
            raise write_error(path, self.error or error) from error

    @property
    def entry(self) -> FileEntry:
        """Size and checksum of all that was written."""
        return FileEntry(self._size, self._hash.hexdigest())


def write_error(path: str, error: BaseException) -> CheckpointError:
    """The CheckpointError for a failed write."""
    return CheckpointError(f"cannot write {path}: {reason(error)}; checkpoints saved before stay as they are")


def read_error(path: str, error: BaseException) -> CheckpointError:
    """The CheckpointError for a failed read."""
    return CheckpointError(f"cannot read {path}: {reason(error)}")


def remove_error(path: str, error: BaseException) -> CheckpointError:
    """The CheckpointError for a failed removal."""
    return CheckpointError(f"cannot remove {path}: {reason(error)}")


def reason(error: BaseException) -> str:
    """What the system says: its text and the name of its number (``No space left on device (ENOSPC)``)."""
    if isinstance(error, OSError) and error.errno is not None:
        return f"{error.strerror} ({errno.errorcode.get(error.errno, error.errno)})"
    return f"{type(error).__name__}: {error}"
