"""Checkpoint: one committed checkpoint, and its manifest.

The manifest is a JSON object: ``format``, ``version``, ``attempt`` (which committed it), ``facts`` (what the run says
of it: ``iter``, ``phase``, ``world_size`` ...), ``files`` (name → size and SHA-256), and ``sha256`` of all that.
"""

from __future__ import annotations

import errno
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from rayseg.core.errors import CheckpointError, did_you_mean
from rayseg.engine.storage import CHUNK_BYTES, FileEntry, Storage, read_error

MANIFEST = "manifest.json"
FORMAT = "rayseg checkpoint"
VERSION = 1

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")


class DamagedError(CheckpointError):
    """A checkpoint's manifest or one of its files is not what was written."""


@dataclass(frozen=True)
class Checkpoint:
    """One committed checkpoint. Can be sent to other processes.

    Attributes:
        name: such as ``iter_400``.
        facts: what the run says of it; read-only.
        files: its files with their sizes and checksums; read-only.
        attempt: the attempt that committed it.
    """

    name: str
    facts: Mapping[str, Any]
    files: Mapping[str, FileEntry]
    attempt: int
    storage: Storage = field(repr=False, compare=False)

    @property
    def iter(self) -> int:
        """Completed iterations when it was made."""
        return int(self.facts["iter"])

    @property
    def path(self) -> str:
        """Its folder's path or URL."""
        return self.storage.path(self.name)

    def open(self, name: str) -> BinaryIO:
        """One of its files, for reading.

        Raises:
            CheckpointError: it has no such file, or the file is not there.
        """
        if name not in self.files:
            raise CheckpointError(f"{self.path} has no file {name!r}{did_you_mean(name, self.files)}")
        try:
            return self.storage.open(f"{self.name}/{name}")
        except FileNotFoundError:
            raise DamagedError(f"{self.path}: {name} is missing") from None

    def read(self, name: str) -> bytes:
        """One of its files, checked against its checksum.

        Raises:
            CheckpointError: it has no such file, or the file is missing or damaged.
        """
        try:
            with self.open(name) as file:
                data = file.read()
        except OSError as error:
            raise read_error(f"{self.path}/{name}", error) from error
        self._compare(name, FileEntry(len(data), hashlib.sha256(data).hexdigest()))
        return data

    def verify(self) -> None:
        """Read every file and compare it with its checksum.

        Raises:
            DamagedError: a file is missing or is not what was written (a CheckpointError).
            CheckpointError: the store could not be read.
        """
        self.verify_sizes()
        for name in self.files:
            try:
                with self.open(name) as file:
                    found = _entry_of(file)
            except OSError as error:
                if error.errno in (errno.EIO, errno.EUCLEAN):
                    raise DamagedError(f"{self.path}: {name} cannot be read: {error.strerror}") from error
                raise read_error(f"{self.path}/{name}", error) from error
            self._compare(name, found)

    def verify_sizes(self) -> None:
        """Check, without reading them, that every file is there with its size.

        Raises:
            DamagedError: one is not.
        """
        for name, expected in self.files.items():
            size = self.storage.size(f"{self.name}/{name}")
            if size is None:
                raise DamagedError(f"{self.path}: {name} is missing")
            if size != expected.size:
                raise DamagedError(f"{self.path}: {name} has {size} bytes, {expected.size} were written")

    def _compare(self, name: str, found: FileEntry) -> None:
        if found != self.files[name]:
            raise DamagedError(f"{self.path}: {name} is not what was written (its checksum differs)")


def check_name(name: str, what: str) -> None:
    """Refuse what is not a plain file name, or could leave the store.

    Raises:
        CheckpointError: with the name and the rule.
    """
    if not is_name(name):
        raise CheckpointError(
            f"{name!r} cannot be the name of a {what}: letters, digits, '_', '-' and '.' are allowed, "
            f"no '.' or '-' at the beginning, 200 characters at most, and not {MANIFEST!r}"
        )


def is_name(name: str) -> bool:
    """Whether this may name a checkpoint or a file of one: one plain component of a path, not hidden."""
    return _NAME.fullmatch(name) is not None and name != MANIFEST


def encode_manifest(facts: Mapping[str, Any], files: Mapping[str, FileEntry], attempt: int) -> bytes:
    """The manifest's bytes.

    Raises:
        CheckpointError: no whole number ``iter`` in the facts, or a value that is not JSON's.
    """
    if not isinstance(facts.get("iter"), int):
        raise CheckpointError(f"the facts of a checkpoint need 'iter', a whole number; found {facts.get('iter')!r}")
    try:
        plain_facts = json.loads(json.dumps(dict(facts)))
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"the facts of a checkpoint must be JSON values: {error}") from None
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "attempt": attempt,
        "facts": plain_facts,
        "files": {name: vars(entry) for name, entry in sorted(files.items())},
    }
    return json.dumps({**manifest, "sha256": _digest(manifest)}, indent=1).encode() + b"\n"


def decode_manifest(data: bytes, name: str, storage: Storage) -> Checkpoint:
    """The checkpoint that a manifest describes.

    Raises:
        DamagedError: it is not a manifest, or is not what was written.
        CheckpointError: made by a newer version of rayseg.
    """
    path = storage.path(f"{name}/{MANIFEST}")
    try:
        manifest = json.loads(data)
        claimed = manifest.pop("sha256")
        if manifest["format"] != FORMAT or claimed != _digest(manifest):
            raise ValueError("its checksum differs")
        if manifest["version"] > VERSION:
            raise CheckpointError(f"{path}: made by a newer version of rayseg; upgrade to use it")
        files = {file: FileEntry(**entry) for file, entry in manifest["files"].items()}
        strange = [file for file in files if not is_name(file)]
        if strange or not isinstance(manifest["facts"]["iter"], int):
            raise ValueError(f"it names a file {strange[0]!r}" if strange else "its iter is not a number")
        return Checkpoint(name, manifest["facts"], files, manifest["attempt"], storage)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedError(f"{path} is damaged ({error})") from None


def _digest(manifest: Mapping[str, Any]) -> str:
    canonical = json.dumps(manifest, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _entry_of(file: BinaryIO) -> FileEntry:
    digest, size = hashlib.sha256(), 0
    while chunk := file.read(CHUNK_BYTES):
        digest.update(chunk)
        size += len(chunk)
    return FileEntry(size, digest.hexdigest())
