"""Files that survive a crash: appended line by line, or replaced whole. A failed write leaves what was there."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Literal, Self

from rayseg.core.errors import RaysegError


class RecordingError(RaysegError):
    """A file of the run directory could not be written or read; the message names it and says why.

    What the file held is kept.
    """

    def __init__(self, path: Path, error: OSError, doing: Literal["written", "read"] = "written") -> None:
        self.path = path
        reason = error.strerror or type(error).__name__
        kept = "; what was recorded before is kept" if doing == "written" else ""
        super().__init__(f"{path}: cannot be {doing}: {reason}{kept}")


class AppendFile:
    """A file that only grows, written without a buffer: after ``append`` returns, a killed process loses nothing.

    Raises:
        RecordingError: it cannot be opened for writing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise RecordingError(path, error) from error

    def append(self, data: bytes) -> None:
        """Write all of ``data`` at the end, or nothing of it.

        Raises:
            RecordingError: the disk is full, read-only or gone; a part that was written is taken back.
        """
        try:
            size = os.fstat(self._fd).st_size
            try:
                write_all(self._fd, data)
            except BaseException:  # a Ctrl-C too
                with contextlib.suppress(OSError):
                    os.ftruncate(self._fd, size)
                raise
        except OSError as error:
            raise RecordingError(self.path, error) from error

    def truncate(self, size: int) -> None:
        """Cut the file to ``size`` bytes."""
        try:
            os.ftruncate(self._fd, size)
        except OSError as error:
            raise RecordingError(self.path, error) from error

    def sync(self) -> None:
        """Wait until the disk has it, so that a power failure loses nothing either."""
        try:
            os.fsync(self._fd)
        except OSError as error:
            raise RecordingError(self.path, error) from error

    def ends_line(self) -> bool:
        """Whether the file is empty or its last byte is a newline; a crash may have torn the last line."""
        try:
            size = os.fstat(self._fd).st_size
            return size == 0 or os.pread(self._fd, 1, size - 1) == b"\n"
        except OSError as error:
            raise RecordingError(self.path, error, "read") from error

    def fileno(self) -> int:
        """The file descriptor."""
        return self._fd

    def close(self) -> None:
        """Close it; a second call does nothing."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


class Replacement:
    """New contents for a file, put in its place at once by ``commit``; without it the old file stays as it is.

    Use it as a context manager: what was not committed is taken away at the end.

    Raises:
        RecordingError: naming the file that was to be replaced.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._temporary = path.with_name(f".{path.name}.tmp")
        self._file: BinaryIO | None = None

    def write(self, data: bytes) -> None:
        """Add to the new contents."""
        try:
            if self._file is None:
                self._file = open(self._temporary, "wb")  # noqa: SIM115
            self._file.write(data)
        except OSError as error:
            raise RecordingError(self.path, error) from error

    def commit(self) -> None:
        """Put the new contents in the file's place: after a crash the one or the other is there, never a mixture."""
        self.write(b"")
        assert self._file is not None
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            os.replace(self._temporary, self.path)
            sync_directory(self.path.parent)
        except OSError as error:
            raise RecordingError(self.path, error) from error
        self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            with contextlib.suppress(OSError):
                self._temporary.unlink()
            self._file = None


def replace_file(path: Path, data: bytes) -> None:
    """Put ``data`` in the place of a file's contents, at once.

    Raises:
        RecordingError: the file is as it was.
    """
    with Replacement(path) as new:
        new.write(data)
        new.commit()


def replace_keeping(path: Path, data: bytes) -> None:
    """As ``replace_file``; contents that differ are kept beside it under a number: ``config.1.py``.

    Raises:
        RecordingError: the file is as it was.
    """
    try:
        before = path.read_bytes() if path.is_file() else None
    except OSError as error:
        raise RecordingError(path, error, "read") from error
    if before == data:
        return
    if before is not None:
        number = 1
        while (kept := path.with_name(f"{path.stem}.{number}{path.suffix}")).exists():
            number += 1
        replace_file(kept, before)
    replace_file(path, data)


def write_all(fd: int, data: bytes) -> None:
    """``os.write`` until everything is written."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def sync_directory(directory: Path) -> None:
    """Make a rename last through a power failure, where the file system can do that."""
    with contextlib.suppress(OSError):
        fd = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
