"""CheckpointStore: what pruning and cleaning remove, and what they never do."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rayseg.core.errors import StaleAttemptError
from rayseg.engine import storage_local
from rayseg.engine.checkpoint_store import Checkpoint, CheckpointStore
from tests.checkpoints import files, names, save


def test_prune_keeps_the_newest_and_the_pinned(store: CheckpointStore) -> None:
    attempt = store.claim_attempt()
    for iteration in range(1, 7):
        save(store, iteration, attempt)
    store.pin("best_mIoU", "iter_2")
    store.pin("best_aAcc", "iter_6")
    store.stage("iter_7", files(7, 0), attempt)
    assert store.prune(2) == ["iter_1", "iter_3"]
    assert names(store) == ["iter_2", "iter_4", "iter_5", "iter_6"]
    assert store._storage.names("iter_1") == []
    assert "model.safetensors" in store._storage.names("iter_7")


def test_what_is_unpinned_may_go(store: CheckpointStore) -> None:
    attempt = store.claim_attempt()
    for iteration in (1, 2, 3):
        save(store, iteration, attempt)
    store.pin("a/b c", "iter_1")
    store.pin("best_mIoU", "iter_2")
    store.unpin("a/b c")
    store.unpin("never pinned", attempt)
    assert store.pins() == {"best_mIoU": "iter_2"}
    assert store.prune(1) == ["iter_1"]
    store.claim_attempt()
    with pytest.raises(StaleAttemptError):
        store.unpin("best_mIoU", attempt)


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(0, 5),
    pinned=st.sets(st.integers(1, 5)),
    damaged=st.sets(st.integers(1, 5)),
    keep_last=st.integers(0, 3),
    fresh=st.booleans(),
)
def test_prune_never_takes_what_a_run_needs(
    count: int, pinned: set[int], damaged: set[int], keep_last: int, fresh: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = CheckpointStore(folder)
        attempt = store.claim_attempt()
        everything = range(1, count + 1)
        for iteration in everything:
            save(store, iteration, attempt, world_size=1)
        for iteration in pinned.intersection(everything):
            store.pin(f"pin_{iteration}", f"iter_{iteration}")
        for iteration in damaged.intersection(everything):
            Path(folder, f"iter_{iteration}", "rank_0000.pt").write_bytes(b"")
        newest = CheckpointStore(folder).latest()

        (CheckpointStore(folder) if fresh else store).prune(keep_last)

        left = {checkpoint.iter for checkpoint in store.list()}
        unpinned = [iteration for iteration in everything if iteration not in pinned]
        kept = pinned.intersection(everything) | set(unpinned[max(0, len(unpinned) - keep_last) :])
        if newest is None:
            assert left == set(everything)
        else:
            assert left == kept | {newest.iter}
            assert CheckpointStore(folder).latest() == newest


def test_prune_of_an_object_that_wrote_the_newest_does_not_read_it_again(
    store: CheckpointStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = store.claim_attempt()
    save(store, 1, attempt)
    save(store, 2, attempt)
    monkeypatch.setattr(Checkpoint, "verify", lambda self: pytest.fail(f"{self.name} was read"))
    assert store.prune(1) == ["iter_1"]


def test_what_cannot_be_removed_is_a_warning(local: CheckpointStore, monkeypatch: pytest.MonkeyPatch) -> None:
    attempt = local.claim_attempt()
    for iteration in (1, 2, 3):
        save(local, iteration, attempt)
    really = os.rename

    def rename(source: Any, target: Any) -> None:
        if Path(source).name == "iter_1":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        really(source, target)

    monkeypatch.setattr(storage_local.os, "rename", rename)
    assert local.prune(1) == ["iter_2"]
    assert local.warnings == [f"cannot remove {local.root}/iter_1: Permission denied (EACCES)"]


def test_clean_removes_what_earlier_attempts_left_and_nothing_else(store: CheckpointStore) -> None:
    first = store.claim_attempt()
    save(store, 1, first)
    store.stage("iter_2", files(2, 0), first)
    store.stage("named", files(9, 0), first)
    second = store.claim_attempt()
    store.stage("iter_3", files(3, 0), second)
    store._storage.write_bytes("notes/mine.txt", b"by hand", second, lambda: None)
    assert store.clean(second) == ["iter_2", "named"]
    left = set(store._storage.names())
    assert left - {"tmp", "attempts"} == {"iter_1", "iter_3", "notes"}
    save(store, 3, second)
    assert names(store) == ["iter_1", "iter_3"]
