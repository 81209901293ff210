"""ObjectStorage: a prefix in an object store (S3, GCS, Azure ...), through fsspec.

An object appears with the request that completes its upload; a broken-off upload is invisible (a lifecycle rule of the
bucket should remove such parts). Who stands still just before that last request can still make it later: unlike a
rename, it cannot be taken away from a process that was left behind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property
from typing import Any, BinaryIO, cast

from rayseg.core.errors import CheckpointError
from rayseg.engine.storage import Check, FileEntry, HashingSink, Writer, read_error, remove_error, write_error

REQUESTS_AT_ONCE = 8


class ObjectStorage:
    """A prefix whose driver reads credentials and endpoint from the environment.

    Args:
        root: URL such as ``s3://bucket/runs/7/checkpoints``.
    """

    def __init__(self, root: str) -> None:
        self.root = root.rstrip("/")

    def __getstate__(self) -> dict[str, Any]:
        """Only the URL travels to other processes: connections do not."""
        return {"root": self.root}

    @cached_property
    def _fs(self) -> Any:
        from fsspec.core import url_to_fs

        return url_to_fs(self.root, use_listings_cache=False)[0]

    def path(self, key: str = "") -> str:
        """See Storage."""
        return f"{self.root}/{key}" if key else self.root

    def reserve(self, key: str, data: bytes) -> None:
        """See Storage: a conditional PUT (S3's If-None-Match, GCS's generation match, Azure's).

        A driver or server without it only looks before it writes: two claims in the same moment may then both succeed.
        """
        try:
            self._request(write_error, key, "pipe_file", data, mode="create")
        except CheckpointError as error:
            if self.size(key) is not None:
                raise FileExistsError(self.path(key)) from error
            raise

    def begin_attempt(self, attempt: int) -> None:
        """See Storage: nothing to do; an earlier attempt stops at its next ``check``."""

    def write(self, key: str, writer: Writer, attempt: int, check: Check) -> FileEntry:
        """See Storage."""
        path = self.path(key)
        file = self._request(write_error, key, "open", mode="wb", autocommit=False)
        try:
            sink = HashingSink(file)
            sink.fill(writer, path)
            _call(write_error, path, file.close)
            check()
            _call(write_error, path, file.commit)
        except BaseException:
            with suppress(Exception):
                file.discard()
                file.closed = True  # or its destructor would upload the rest
            raise
        return sink.entry

    def write_bytes(self, key: str, data: bytes, attempt: int, check: Check) -> None:
        """See Storage."""
        check()
        self._request(write_error, key, "pipe_file", data)

    def remove(self, key: str, attempt: int, check: Check) -> None:
        """See Storage."""
        check()
        with suppress(FileNotFoundError):
            self._request(remove_error, key, "rm_file")

    def remove_folder(self, folder: str, first: str, attempt: int, check: Check) -> None:
        """See Storage."""
        self.remove(f"{folder}/{first}", attempt, check)
        with suppress(FileNotFoundError):
            self._request(remove_error, folder, "rm", recursive=True)

    def open(self, key: str) -> BinaryIO:
        """See Storage."""
        return cast(BinaryIO, self._request(read_error, key, "open", mode="rb"))

    def read_all(self, keys: Iterable[str]) -> dict[str, bytes]:
        """See Storage: several requests at a time."""
        keys = list(keys)
        with ThreadPoolExecutor(REQUESTS_AT_ONCE, thread_name_prefix="checkpoint-store") as pool:
            contents = list(pool.map(self._read, keys))
        return {key: content for key, content in zip(keys, contents, strict=True) if content is not None}

    def _read(self, key: str) -> bytes | None:
        try:
            return cast(bytes, self._request(read_error, key, "cat_file"))
        except FileNotFoundError:
            return None

    def size(self, key: str) -> int | None:
        """See Storage."""
        try:
            return cast(int, self._request(read_error, key, "info")["size"])
        except FileNotFoundError:
            return None

    def names(self, folder: str = "") -> list[str]:
        """See Storage."""
        try:
            found = self._request(read_error, folder, "ls", detail=False)
        except FileNotFoundError:
            return []
        own = self._fs._strip_protocol(self.path(folder))
        return sorted({name.rstrip("/").rpartition("/")[2] for name in found if name.rstrip("/") != own})

    def _request(self, failure: Failure, key: str, method: str, *args: Any, **options: Any) -> Any:
        path = self.path(key)
        return _call(failure, path, lambda: getattr(self._fs, method)(path, *args, **options))


Failure = Callable[[str, BaseException], CheckpointError]


def _call(failure: Failure, path: str, function: Callable[[], Any]) -> Any:
    """Call a driver, whose errors may be of any class. What is not there is a FileNotFoundError, except for writes."""
    try:
        return function()
    except Exception as error:
        if isinstance(error, FileNotFoundError) and failure is not write_error:
            raise
        raise failure(path, error) from error
