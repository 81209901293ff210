"""CheckpointStore: where a run's checkpoints live, on a local path or behind an fsspec URL.

    <root>/iter_400/<files>, manifest.json    the manifest is written last: its presence is the commit
    <root>/pins/best_mIoU                     holds the name of the checkpoint that the label stands for
    <root>/attempts/000000001                 claims: the highest number may write, all others may not
    <root>/tmp/attempt_000000001/             what is being written or removed (local paths only)

A checkpoint's life: each rank stages its files, rank 0 commits, prune removes it. What has a manifest and is whole is
never written to again. What was begun and never committed is overwritten or cleaned.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rayseg.core.errors import CheckpointError, StaleAttemptError, did_you_mean
from rayseg.engine.attempts import ATTEMPTS, Attempts
from rayseg.engine.checkpoint import MANIFEST, Checkpoint, DamagedError, check_name, decode_manifest, encode_manifest
from rayseg.engine.pins import PINS, Pins
from rayseg.engine.storage import TEMPORARY, FileEntry, Writer
from rayseg.engine.storages import open_storage

__all__ = ["Checkpoint", "CheckpointStore", "FileEntry", "Writer"]

NOT_CHECKPOINTS = (ATTEMPTS, PINS, TEMPORARY, "last", "best")
MARKER = ".staged_by_"


class CheckpointStore:
    """The checkpoints of one run. Every rank makes its own; several processes may use one place at the same time.

    Args:
        url: a path that all ranks see, or an fsspec URL (``s3://bucket/run/checkpoints``).

    Attributes:
        root: the absolute path, or the URL.
        warnings: what was skipped or could not be done, one line each, in order; for the caller to publish and clear.

    Raises:
        ConfigError: no driver for the URL.
    """

    def __init__(self, url: str | os.PathLike[str]) -> None:
        self._storage = open_storage(url)
        self._attempts = Attempts(self._storage)
        self._pins = Pins(self._storage)
        self._good: set[str] = set()
        self.root = self._storage.root
        self.warnings: list[str] = []

    def claim_attempt(self) -> int:
        """Claim the next attempt number. From now on every earlier attempt is refused.

        Two processes never get the same number: locally by the exclusive flag of ``open``, in object stores by a
        conditional PUT, where driver and server know it (S3, GCS, Azure do).

        On a local path no earlier attempt can change anything any more when this returns. In an object store a request
        that is already under way still can; what comes of it is whole, or is recognised as damaged.
        """
        return self._attempts.claim()

    def check_attempt(self, attempt: int) -> None:
        """Check that no newer attempt has claimed the store.

        Raises:
            StaleAttemptError: one has.
        """
        self._attempts.check(attempt)

    def stage(self, name: str, files: Mapping[str, Writer], attempt: int) -> dict[str, FileEntry]:
        """Write a rank's files of a checkpoint that is not committed yet; checksums are computed while writing.

        Leftovers of an earlier attempt under this name are replaced. If the name is already committed and whole,
        nothing is written and the committed entries are returned; if it is damaged, its manifest is removed first.

        Args:
            name: such as ``iter_400``.
            files: name → function that writes the file.
            attempt: the number that was claimed.

        Returns:
            The entries to hand to ``commit``, which needs those of all ranks.

        Raises:
            CheckpointError: a name is not allowed, or a file could not be written (with path and the system's reason).
            StaleAttemptError: a newer attempt has claimed the store.
        """
        _check_checkpoint_name(name)
        for file in files:
            check_name(file, "file")
        self.check_attempt(attempt)
        committed = self._whole_or_uncommitted(name, attempt)
        if committed is not None:
            return {file: committed.files[file] for file in files if file in committed.files}
        check = self._attempts.checker(attempt)
        self._storage.write_bytes(f"{name}/{MARKER}{attempt}", b"", attempt, check)
        return {file: self._storage.write(f"{name}/{file}", files[file], attempt, check) for file in files}

    def commit(self, name: str, entries: Mapping[str, FileEntry], facts: Mapping[str, Any], attempt: int) -> None:
        """Make a staged checkpoint count: write its manifest, whole or not at all. One rank calls it, after all staged.

        Committing again what is committed does nothing; committed content is never replaced by another.

        Args:
            name: of the checkpoint.
            entries: what ``stage`` returned on all ranks.
            facts: JSON values; ``iter``, the completed iterations, is needed.
            attempt: the number that was claimed.

        Raises:
            CheckpointError: a staged file is not there, the name holds another checkpoint, or the write failed.
            StaleAttemptError: a newer attempt has claimed the store.
        """
        _check_checkpoint_name(name)
        self.check_attempt(attempt)
        committed = self._whole_or_uncommitted(name, attempt)
        if committed is not None:
            if entries.items() <= committed.files.items():
                return
            raise CheckpointError(f"{committed.path} is already committed, with other content; it is left as it is")
        if not entries:
            raise CheckpointError(f"{self._storage.path(name)}: a checkpoint without files cannot be committed")
        manifest = encode_manifest(facts, entries, attempt)
        checkpoint = decode_manifest(manifest, name, self._storage)
        checkpoint.verify_sizes()
        self._storage.write_bytes(f"{name}/{MANIFEST}", manifest, attempt, self._attempts.checker(attempt))
        self._good.add(name)
        self._tidy(checkpoint, attempt)

    def pin(self, label: str, name: str, attempt: int | None = None) -> None:
        """Let a label such as ``best_mIoU`` stand for a committed checkpoint, which is then never pruned.

        Args:
            label: any text (class names of metrics may hold spaces) but ``last``.
            name: of the checkpoint.
            attempt: the number that was claimed; the newest if not given.

        Raises:
            CheckpointError: no such checkpoint, or a label that is not allowed.
            StaleAttemptError: a newer attempt has claimed the store.
        """
        self._named(name)
        attempt = self._attempts.newest() if attempt is None else attempt
        self._pins.set(label, name, attempt, self._attempts.checker(attempt))

    def unpin(self, label: str, attempt: int | None = None) -> None:
        """Take a label away, if it is there; its checkpoint may be pruned from then on. See ``pin``."""
        attempt = self._attempts.newest() if attempt is None else attempt
        self._pins.remove(label, attempt, self._attempts.checker(attempt))

    def pins(self) -> dict[str, str]:
        """Label → name of its checkpoint, in the order of labels. CheckpointError when a pin is damaged."""
        return self._pins.all()

    def prune(self, keep_last: int, attempt: int | None = None, *, spare_newest: bool = True) -> Sequence[str]:
        """Remove old checkpoints. Never removes a pinned one, nor the newest good one, nor one that is being staged.

        What cannot be removed is a line in ``warnings``: a run need not end because of it.

        Args:
            keep_last: how many unpinned ones are kept, newest first; at least 0.
            attempt: the number that was claimed; the newest if not given.
            spare_newest: False of a run that nobody goes on with: the newest good one may go too.

        Returns:
            The names that were removed, oldest first.

        Raises:
            StaleAttemptError: a newer attempt has claimed the store.
        """
        assert keep_last >= 0, keep_last
        attempt = self._attempts.newest() if attempt is None else attempt
        self.check_attempt(attempt)
        try:
            pinned = set(self.pins().values())
            newest_first = self.list()[::-1]
            doomed = [checkpoint.name for checkpoint in newest_first if checkpoint.name not in pinned][keep_last:]
            needed = spare_newest and doomed
            good = next((one.name for one in newest_first if self._is_good(one)), None) if needed else None
        except CheckpointError as error:
            self._warn(f"old checkpoints were not removed: {error}")
            return []
        if needed and good is None:
            return []
        return self._remove([name for name in reversed(doomed) if name != good], attempt)

    def clean(self, attempt: int) -> Sequence[str]:
        """Remove what earlier attempts began and never committed, and what an interrupted removal left; returns names.

        Raises:
            StaleAttemptError: a newer attempt has claimed the store.
        """
        self.check_attempt(attempt)
        for checkpoint in self.list():
            self._tidy(checkpoint, attempt)
        return self._remove([name for name, staged_by in self._uncommitted() if staged_by < attempt], attempt)

    def is_empty(self) -> bool:
        """Whether nothing was ever committed here, or all of it was removed (damaged ones count as being there)."""
        return not self._manifests()

    def latest(self) -> Checkpoint | None:
        """The newest checkpoint whose files all match their checksums; None when there is none.

        Damaged and unfinished ones are skipped, each with a line in ``warnings``.

        Raises:
            CheckpointError: the store could not be read, or holds what a newer version of rayseg made.
        """
        for name, _ in self._uncommitted():
            self._warn(f"{self._storage.path(name)} has no {MANIFEST}, it is not committed: skipped")
        return next((checkpoint for checkpoint in self.list()[::-1] if self._verified(checkpoint)), None)

    def load(self, which: str | os.PathLike[str]) -> Checkpoint:
        """One checkpoint, verified.

        Args:
            which: ``last``; ``best`` (the label ``best_mIoU``, else the first that begins with best); a label; a name
                such as ``iter_400``; or the path or URL of a checkpoint's folder, in this store or another.

        Raises:
            CheckpointError: it does not exist, or is damaged.
        """
        text = os.fspath(which).rstrip("/")
        if text == "last":
            newest = self.latest()
            if newest is None:
                raise CheckpointError("; ".join([f"{self.root} holds no whole checkpoint", *self.warnings]))
            return newest
        pins = self.pins()
        if text == "best" and text not in pins:
            best = [label for label in ("best_mIoU", *pins) if label in pins and label.startswith("best")]
            if not best:
                raise CheckpointError(f"{self.root}: no checkpoint is marked as the best; save_best makes such marks")
            text = best[0]
        folder, slash, name = text.rpartition("/")
        if slash and text not in pins:
            return CheckpointStore(folder or "/").load(name)
        checkpoint = self._named(pins.get(text, text))
        checkpoint.verify()
        return checkpoint

    def _named(self, name: str) -> Checkpoint:
        """A committed checkpoint by its name, unverified."""
        _check_checkpoint_name(name)
        manifest = self._manifests([name]).get(name)
        if manifest is None:
            known = [one.name for one in self.list()]
            there = f"there are {', '.join(known)}" if known else "there is none"
            raise CheckpointError(f"{self.root}: no checkpoint {name!r}; {there}{did_you_mean(name, known)}")
        return decode_manifest(manifest, name, self._storage)

    def _manifests(self, names: Iterable[str] | None = None) -> dict[str, bytes]:
        """Name → manifest, of those that have one."""
        keys = {f"{name}/{MANIFEST}": name for name in (self._folders() if names is None else names)}
        return {keys[key]: data for key, data in self._storage.read_all(keys).items()}

    def _folders(self) -> Sequence[str]:
        return [name for name in self._storage.names() if name not in NOT_CHECKPOINTS and not name.startswith(".")]

    def _uncommitted(self) -> Sequence[tuple[str, int]]:
        """Folders of ours that have no manifest, with the newest attempt that began to stage there (0: none known)."""
        committed = self._manifests()
        found = []
        for name in self._folders():
            if name not in committed:
                markers = [re.fullmatch(rf"{re.escape(MARKER)}(\d+)", file) for file in self._storage.names(name)]
                attempts = [int(marker[1]) for marker in markers if marker]
                if attempts or re.fullmatch(r"iter_\d+", name):
                    found.append((name, max(attempts, default=0)))
        return found

    def _whole_or_uncommitted(self, name: str, attempt: int) -> Checkpoint | None:
        """The committed checkpoint if it is whole; else None, and a damaged one loses its manifest."""
        manifest = self._manifests([name]).get(name)
        if manifest is None:
            return None
        try:
            checkpoint = decode_manifest(manifest, name, self._storage)
            checkpoint.verify()
            return checkpoint
        except DamagedError as error:
            self._warn(f"{error}: it is made again")
            self._good.discard(name)
            self._storage.remove(f"{name}/{MANIFEST}", attempt, self._attempts.checker(attempt))
            return None

    def _verified(self, checkpoint: Checkpoint) -> bool:
        try:
            checkpoint.verify()
        except DamagedError as error:
            self._warn(f"{error}: skipped")
            self._good.discard(checkpoint.name)
            return False
        self._good.add(checkpoint.name)
        return True

    def _is_good(self, checkpoint: Checkpoint) -> bool:
        """As ``_verified``, but of what this object itself wrote or verified only the sizes are looked at again."""
        if checkpoint.name not in self._good:
            return self._verified(checkpoint)
        try:
            checkpoint.verify_sizes()
            return True
        except DamagedError:
            return self._verified(checkpoint)

    def _remove(self, names: Iterable[str], attempt: int) -> Sequence[str]:
        removed = []
        for name in names:
            self._good.discard(name)
            try:
                self._storage.remove_folder(name, MANIFEST, attempt, self._attempts.checker(attempt))
                removed.append(name)
            except StaleAttemptError:
                raise
            except CheckpointError as error:
                self._warn(str(error))
        return removed

    def _tidy(self, checkpoint: Checkpoint, attempt: int) -> None:
        """Remove from a committed folder what does not belong to it: markers, files of an earlier, larger world."""
        check = self._attempts.checker(attempt)
        try:
            for file in self._storage.names(checkpoint.name):
                if file != MANIFEST and file not in checkpoint.files:
                    self._storage.remove(f"{checkpoint.name}/{file}", attempt, check)
        except StaleAttemptError:
            raise
        except CheckpointError as error:
            self._warn(f"{error}; it does not belong to the checkpoint and does no harm")

    def _warn(self, line: str) -> None:
        if line not in self.warnings:
            self.warnings.append(line)

    def list(self) -> list[Checkpoint]:
        """The committed checkpoints by iteration, oldest first; their files are not verified.

        Raises:
            CheckpointError: the store could not be read, or holds what a newer version of rayseg made.
        """
        found = []
        for name, manifest in self._manifests().items():
            try:
                found.append(decode_manifest(manifest, name, self._storage))
            except DamagedError as error:
                self._warn(f"{error}: skipped")
        return sorted(found, key=lambda checkpoint: (checkpoint.iter, checkpoint.attempt))


def _check_checkpoint_name(name: str) -> None:
    check_name(name, "checkpoint")
    if name in NOT_CHECKPOINTS:
        raise CheckpointError(f"{name!r} cannot be the name of a checkpoint: it has a meaning of its own here")
