"""LocalStorage: a folder on a file system, with what makes a file survive a crash and keeps left-behind processes out.

An attempt owns the folder ``tmp/attempt_<n>/``. A file is written there, flushed to the disk, and renamed to its place;
then the folder of that place is flushed. What is removed is renamed into it first. The next attempt moves that folder
away: at whatever point an earlier one stands still, its next rename then fails, since its own folder is gone.
"""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from rayseg.core.errors import CheckpointError
from rayseg.engine.storage import (
    CHUNK_BYTES,
    TEMPORARY,
    Check,
    FileEntry,
    HashingSink,
    Writer,
    read_error,
    remove_error,
    write_error,
)


class LocalStorage:
    """A folder that all ranks see.

    Args:
        root: the folder; made when something is written.
    """

    def __init__(self, root: str) -> None:
        self.root = os.path.abspath(os.path.expanduser(root))

    def path(self, key: str = "") -> str:
        """See Storage."""
        return os.path.join(self.root, key) if key else self.root

    def reserve(self, key: str, data: bytes) -> None:
        """See Storage: the exclusive flag of ``open``, which NFS honours from version 3 on."""
        target = Path(self.path(key))
        try:
            _make_folder(target.parent)
            with open(target, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            _sync_folder(target.parent)
        except FileExistsError:
            raise
        except OSError as error:
            raise write_error(str(target), error) from error

    def begin_attempt(self, attempt: int) -> None:
        """See Storage: makes the attempt's folder, and moves those of earlier ones away before it empties them."""
        own = _attempt_folder(attempt)
        try:
            _make_folder(Path(self.path(own)))
            for name in self.names(TEMPORARY):
                earlier = f"{TEMPORARY}/{name}"
                if earlier < own:
                    discarded = Path(self.path(f"{earlier.partition('.')[0]}.{uuid.uuid4().hex}"))
                    with suppress(FileNotFoundError):  # another claim did it
                        os.rename(self.path(earlier), discarded)
                        shutil.rmtree(discarded, ignore_errors=True)
        except OSError as error:
            raise write_error(self.path(own), error) from error

    def write(self, key: str, writer: Writer, attempt: int, check: Check) -> FileEntry:
        """See Storage."""
        target, temporary = Path(self.path(key)), self._temporary(attempt)
        try:
            entry = _write_and_sync(temporary, writer, str(target))
            _make_folder(target.parent)
            check()
            os.replace(temporary, target)
            _sync_folder(target.parent)
        except BaseException as error:
            with suppress(OSError):
                temporary.unlink()
            if isinstance(error, OSError):
                self._check_owner(attempt, check)
                raise write_error(str(target), error) from error
            raise
        return entry

    def write_bytes(self, key: str, data: bytes, attempt: int, check: Check) -> None:
        """See Storage."""

        def write_all(file: BinaryIO) -> None:
            file.write(data)

        self.write(key, write_all, attempt, check)

    def remove(self, key: str, attempt: int, check: Check) -> None:
        """See Storage."""
        self._take_away(key, attempt, check, os.unlink)

    def remove_folder(self, folder: str, first: str, attempt: int, check: Check) -> None:
        """See Storage: all at once, by a rename."""
        self._take_away(folder, attempt, check, shutil.rmtree)

    def _take_away(self, key: str, attempt: int, check: Check, destroy: Callable[[Path], None]) -> None:
        target, temporary = Path(self.path(key)), self._temporary(attempt)
        try:
            check()
            os.rename(target, temporary)
            _sync_folder(target.parent)
            destroy(temporary)
        except OSError as error:
            self._check_owner(attempt, check)
            if os.path.lexists(target) or not isinstance(error, FileNotFoundError | NotADirectoryError):
                raise remove_error(str(target), error) from error

    def open(self, key: str) -> BinaryIO:
        """See Storage."""
        path = self.path(key)
        try:
            return open(path, "rb")
        except FileNotFoundError:
            raise
        except NotADirectoryError:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path) from None
        except OSError as error:
            raise read_error(path, error) from error

    def read_all(self, keys: Iterable[str]) -> dict[str, bytes]:
        """See Storage."""
        found = {}
        for key in keys:
            try:
                with self.open(key) as file:
                    found[key] = file.read()
            except FileNotFoundError:
                continue
            except OSError as error:
                raise read_error(self.path(key), error) from error
        return found

    def size(self, key: str) -> int | None:
        """See Storage."""
        try:
            return os.stat(self.path(key)).st_size
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise read_error(self.path(key), error) from error

    def names(self, folder: str = "") -> list[str]:
        """See Storage."""
        try:
            return sorted(os.listdir(self.path(folder)))
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise read_error(self.path(folder), error) from error

    def _temporary(self, attempt: int) -> Path:
        return Path(self.path(_attempt_folder(attempt)), uuid.uuid4().hex)

    def _check_owner(self, attempt: int, check: Check) -> None:
        check()
        own = self.path(_attempt_folder(attempt))
        if not os.path.isdir(own):
            raise CheckpointError(f"{own} is gone, or attempt {attempt} was never claimed")


def _write_and_sync(temporary: Path, writer: Writer, shown_path: str) -> FileEntry:
    with open(temporary, "xb", buffering=CHUNK_BYTES) as file:
        sink = HashingSink(file)
        sink.fill(writer, shown_path)
        file.flush()
        os.fsync(file.fileno())
    return sink.entry


def _attempt_folder(attempt: int) -> str:
    """Key of an attempt's own folder; such keys sort as the numbers do."""
    return f"{TEMPORARY}/attempt_{attempt:09d}"


def _make_folder(folder: Path) -> None:
    """Make a folder and its parents, each entry flushed to the disk."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    with suppress(FileExistsError):
        folder.mkdir()
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    """Flush a folder's entries to the disk, so that a rename in it survives a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems flush entries by themselves and refuse this
            raise
    finally:
        os.close(descriptor)
