"""CheckpointStore: damaged and unfinished checkpoints are skipped and named, writes that fail are explained."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any, BinaryIO

import pytest
import torch

from rayseg.core.errors import CheckpointError
from rayseg.engine import storage_local
from rayseg.engine.checkpoint_store import CheckpointStore
from tests.checkpoints import damage, files, names, save, writer


@pytest.mark.parametrize("key", ["model.safetensors", "rank_0000.pt", "rank_0001.pt", "manifest.json"])
def test_a_flipped_bit_is_skipped_with_a_warning_and_named_when_asked_for(local: CheckpointStore, key: str) -> None:
    attempt = local.claim_attempt()
    save(local, 1, attempt)
    save(local, 2, attempt)
    damage(local, f"iter_2/{key}")

    assert (newest := local.latest()) is not None
    assert newest.name == "iter_1"
    assert len(local.warnings) == 1
    assert "iter_2" in local.warnings[0]
    assert key in local.warnings[0]
    with pytest.raises(CheckpointError, match=key):
        local.load("iter_2")


def test_a_damaged_file_is_not_read(local: CheckpointStore) -> None:
    save(local, 1, local.claim_attempt())
    checkpoint = local.load("iter_1")
    damage(local, "iter_1/rank_0000.pt")
    with pytest.raises(CheckpointError, match=r"rank_0000\.pt is not what was written"):
        checkpoint.read("rank_0000.pt")
    Path(checkpoint.path, "rank_0000.pt").unlink()
    with pytest.raises(CheckpointError, match=r"rank_0000\.pt is missing"):
        checkpoint.read("rank_0000.pt")


@pytest.mark.parametrize("size", [0, 1, 100, -2])
def test_a_truncated_manifest_is_skipped(local: CheckpointStore, size: int) -> None:
    attempt = local.claim_attempt()
    save(local, 1, attempt)
    save(local, 2, attempt)
    manifest = Path(local.root, "iter_2", "manifest.json")
    manifest.write_bytes(manifest.read_bytes()[:size])
    assert (newest := local.latest()) is not None
    assert newest.name == "iter_1"
    assert "iter_2/manifest.json is damaged" in local.warnings[0]
    assert not local.is_empty()


def test_a_missing_or_short_file_is_skipped_and_an_uncommitted_one_too(local: CheckpointStore) -> None:
    attempt = local.claim_attempt()
    for iteration in (1, 2, 3):
        save(local, iteration, attempt)
    Path(local.root, "iter_2", "rank_0001.pt").unlink()
    model = Path(local.root, "iter_3", "model.safetensors")
    model.write_bytes(model.read_bytes()[:-1])
    local.stage("iter_4", files(4, 0), attempt)
    assert (newest := local.latest()) is not None
    assert newest.name == "iter_1"
    uncommitted, short, missing = local.warnings
    assert "iter_4 has no manifest.json" in uncommitted
    assert "iter_3: model.safetensors has" in short
    assert "iter_2: rank_0001.pt is missing" in missing
    local.latest()
    assert len(local.warnings) == 3, "each is said once"


def test_what_a_newer_version_made_is_never_skipped_silently(
    local: CheckpointStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = local.claim_attempt()
    save(local, 1, attempt)
    monkeypatch.setattr("rayseg.engine.checkpoint.VERSION", 2)
    save(local, 2, attempt)
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match="newer version of rayseg"):
        local.latest()


def test_a_disk_that_cannot_read_is_damage_but_a_place_that_does_not_answer_is_an_error(
    local: CheckpointStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = local.claim_attempt()
    save(local, 1, attempt)
    save(local, 2, attempt)
    number = errno.EIO

    class Broken:
        def __init__(self, file: BinaryIO) -> None:
            self.file = file

        def __enter__(self) -> Broken:
            return self

        def __exit__(self, *_: object) -> None:
            self.file.close()

        def read(self, size: int = -1) -> bytes:
            raise OSError(number, os.strerror(number))

    really = local._storage.open
    monkeypatch.setattr(
        local._storage, "open", lambda key: Broken(really(key)) if key == "iter_2/model.safetensors" else really(key)
    )
    assert (newest := local.latest()) is not None
    assert newest.name == "iter_1"
    assert "Input/output error" in local.warnings[0]
    number = errno.ESTALE
    with pytest.raises(CheckpointError, match="ESTALE"):
        local.latest()


@pytest.mark.parametrize(
    ("number", "text"), [(errno.ENOSPC, "No space left on device (ENOSPC)"), (errno.EROFS, "(EROFS)")]
)
@pytest.mark.parametrize("through_torch", [False, True])
def test_a_failed_write_says_what_the_system_says(
    store: CheckpointStore, number: int, text: str, through_torch: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = store.claim_attempt()
    save(store, 1, attempt)

    class FullDisk:
        def write(self, data: Any) -> int:
            raise OSError(number, os.strerror(number))

    def fill(self: Any, writer: Any, path: str) -> None:
        self._file = FullDisk()
        really(self, writer, path)

    from rayseg.engine.storage import HashingSink

    really = HashingSink.fill
    write = (lambda file: torch.save(torch.zeros(10), file)) if through_torch else writer(b"1234")
    with monkeypatch.context() as patch:
        patch.setattr(HashingSink, "fill", fill)
        with pytest.raises(CheckpointError) as failed:
            store.stage("iter_2", {"state.pt": write}, attempt)
    assert f"cannot write {store.root}/iter_2/" in str(failed.value)
    assert text in str(failed.value)
    assert names(store) == ["iter_1"]
    assert store.latest() is not None
    save(store, 2, attempt)
    assert names(store) == ["iter_1", "iter_2"]


def test_an_error_of_the_writer_itself_passes_as_it_is_and_leaves_no_file(store: CheckpointStore) -> None:
    attempt = store.claim_attempt()

    def write(file: BinaryIO) -> None:
        file.write(b"half")
        raise ValueError("cannot be saved")

    with pytest.raises(ValueError, match="cannot be saved"):
        store.stage("iter_1", {"state.pt": write}, attempt)
    assert store._storage.names(f"tmp/attempt_{attempt:09d}") == []


def test_a_file_is_on_the_disk_before_its_name_and_the_manifest_is_last(
    local: CheckpointStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = local.claim_attempt()
    calls: list[tuple[str, str]] = []
    sync, replace = os.fsync, os.replace

    def fsync(descriptor: int) -> None:
        calls.append(("fsync", os.readlink(f"/proc/self/fd/{descriptor}")))
        sync(descriptor)

    def rename(source: Any, target: Any) -> None:
        calls.append(("rename", str(source)))
        calls.append(("to", str(target)))
        replace(source, target)

    monkeypatch.setattr(storage_local.os, "fsync", fsync)
    monkeypatch.setattr(storage_local.os, "replace", rename)
    entries = local.stage("iter_1", files(1, 0), attempt)
    local.commit("iter_1", entries, {"iter": 1}, attempt)

    renamed = [index for index, (call, _) in enumerate(calls) if call == "rename"]
    assert [Path(calls[index + 1][1]).name for index in renamed][1:] == [
        "model.safetensors",
        "rank_0000.pt",
        "manifest.json",
    ]
    for index in renamed:
        assert ("fsync", calls[index][1]) in calls[:index], "the file is flushed before it is renamed"
        assert calls[index + 2] == ("fsync", os.path.dirname(calls[index + 1][1])), "then its folder is flushed"
    assert ("fsync", local.root) in calls, "the entry of the new folder is flushed too"
