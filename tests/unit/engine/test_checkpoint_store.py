"""CheckpointStore: what is saved can be found and read, and is never replaced; one test a promise."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from pathlib import Path
from typing import Any, BinaryIO

import pytest
import torch

from rayseg.core.errors import CheckpointError, StaleAttemptError
from rayseg.engine.checkpoint_store import Checkpoint, CheckpointStore, FileEntry
from tests.checkpoints import content, damage, files, names, save


def test_a_committed_checkpoint_is_read_back(store: CheckpointStore) -> None:
    assert store.is_empty()
    assert store.latest() is None
    attempt = store.claim_attempt()
    save(store, 400, attempt)

    checkpoint = CheckpointStore(store.root).latest()
    assert checkpoint is not None
    assert (checkpoint.name, checkpoint.iter, checkpoint.attempt) == ("iter_400", 400, attempt)
    assert checkpoint.facts == {"iter": 400, "phase": "train", "world_size": 2, "by": ""}
    assert checkpoint.path == f"{store.root}/iter_400"
    assert set(checkpoint.files) == {"model.safetensors", "rank_0000.pt", "rank_0001.pt"}
    assert checkpoint.read("rank_0001.pt") == content(400, "rank_0001.pt")
    with checkpoint.open("model.safetensors") as file:
        assert file.read() == content(400, "model.safetensors")
    assert not store.is_empty()
    assert store.warnings == []


def test_an_entry_is_size_and_sha256_of_what_was_written(store: CheckpointStore) -> None:
    data = os.urandom(3_000_001)
    entries = store.stage(
        "iter_1", {"a.bin": lambda file: [file.write(data[:5]), file.write(data[5:])]}, store.claim_attempt()
    )
    assert entries == {"a.bin": FileEntry(len(data), hashlib.sha256(data).hexdigest())}


def test_nothing_is_read_back_to_compute_checksums(store: CheckpointStore, monkeypatch: pytest.MonkeyPatch) -> None:
    attempt = store.claim_attempt()
    opened: list[str] = []
    really = store._storage.open
    monkeypatch.setattr(store._storage, "open", lambda key: (opened.append(key), really(key))[1])
    save_entries = store.stage("iter_1", files(1, 0), attempt)
    store.commit("iter_1", save_entries, {"iter": 1}, attempt)
    assert [key for key in opened if not key.endswith("manifest.json")] == []


def test_the_manifest_says_format_version_and_files(local: CheckpointStore) -> None:
    save(local, 4, local.claim_attempt(), world_size=1)
    manifest = json.loads(Path(local.root, "iter_4", "manifest.json").read_text())
    assert (manifest["format"], manifest["version"], manifest["attempt"]) == ("rayseg checkpoint", 1, 1)
    assert manifest["files"]["rank_0000.pt"] == {
        "size": len(content(4, "rank_0000.pt")),
        "sha256": hashlib.sha256(content(4, "rank_0000.pt")).hexdigest(),
    }


def test_a_checkpoint_travels_to_other_processes(store: CheckpointStore) -> None:
    save(store, 4, store.claim_attempt())
    there: Checkpoint = pickle.loads(pickle.dumps(store.latest()))
    assert there == store.latest()
    assert there.read("rank_0000.pt") == content(4, "rank_0000.pt")


def test_torch_files_can_be_loaded_from_an_open_file(store: CheckpointStore) -> None:
    attempt = store.claim_attempt()
    entries = store.stage("iter_1", {"state.pt": lambda file: torch.save({"x": torch.arange(1000)}, file)}, attempt)
    store.commit("iter_1", entries, {"iter": 1}, attempt)
    with store.load("last").open("state.pt") as file:
        assert torch.load(file, weights_only=True)["x"].equal(torch.arange(1000))


def test_facts_come_back_as_json_has_them(store: CheckpointStore) -> None:
    attempt = store.claim_attempt()
    entries = store.stage("iter_1", files(1, 0), attempt)
    store.commit("iter_1", entries, {"iter": 1, "pair": (1, 2), "by_number": {10: "a", 9: "b"}}, attempt)
    assert store.load("iter_1").facts == {"iter": 1, "pair": [1, 2], "by_number": {"10": "a", "9": "b"}}


@pytest.mark.parametrize(
    ("facts", "message"), [({}, "'iter'"), ({"iter": 1.5}, "1.5"), ({"iter": 1, "x": {1}}, "JSON")]
)
def test_facts_that_cannot_be_kept_are_refused(store: CheckpointStore, facts: dict[str, Any], message: str) -> None:
    attempt = store.claim_attempt()
    entries = store.stage("iter_1", files(1, 0), attempt)
    with pytest.raises(CheckpointError, match=message):
        store.commit("iter_1", entries, facts, attempt)
    assert store.is_empty()


def test_the_newest_is_the_one_with_the_highest_iteration(store: CheckpointStore) -> None:
    attempt = store.claim_attempt()
    for iteration in (9, 100, 20):
        save(store, iteration, attempt)
    assert names(store) == ["iter_9", "iter_20", "iter_100"]
    assert store.load("last").name == "iter_100"


def test_staging_what_is_committed_writes_nothing(store: CheckpointStore) -> None:
    save(store, 1, store.claim_attempt())
    before = store.load("iter_1")
    later = CheckpointStore(store.root)
    attempt = later.claim_attempt()
    entries = later.stage("iter_1", files(1, 0, by="another"), attempt)
    assert entries == {name: before.files[name] for name in ("model.safetensors", "rank_0000.pt")}
    later.commit("iter_1", entries, {"iter": 1, "phase": "val_due"}, attempt)
    assert later.load("iter_1") == before
    assert before.read("model.safetensors") == content(1, "model.safetensors")


def test_committing_twice_is_once(store: CheckpointStore) -> None:
    attempt = store.claim_attempt()
    entries = store.stage("iter_1", files(1, 0), attempt)
    store.commit("iter_1", entries, {"iter": 1}, attempt)
    store.commit("iter_1", entries, {"iter": 1}, attempt)
    assert names(store) == ["iter_1"]


def test_committing_other_content_under_a_committed_name_is_refused(store: CheckpointStore) -> None:
    attempt = store.claim_attempt()
    save(store, 1, attempt)
    before = store.load("iter_1")
    with pytest.raises(CheckpointError, match="already committed, with other content"):
        store.commit("iter_1", {"model.safetensors": FileEntry(3, "0" * 64)}, {"iter": 1}, attempt)
    assert store.load("iter_1") == before


def test_a_damaged_checkpoint_is_made_again_by_a_world_of_another_size(local: CheckpointStore) -> None:
    save(local, 1, local.claim_attempt(), world_size=3)
    damage(local, "iter_1/rank_0002.pt")
    later = CheckpointStore(local.root)
    save(later, 1, later.claim_attempt(), world_size=2, by="later")
    checkpoint = later.load("iter_1")
    assert checkpoint.attempt == 2
    assert checkpoint.read("rank_0001.pt") == content(1, "rank_0001.pt", "later")
    assert sorted(os.listdir(checkpoint.path)) == ["manifest.json", "model.safetensors", "rank_0000.pt", "rank_0001.pt"]
    assert "it is made again" in later.warnings[0]


def test_leftovers_of_an_earlier_attempt_are_replaced(store: CheckpointStore) -> None:
    first = store.claim_attempt()
    for rank in range(3):
        store.stage("iter_1", files(1, rank, by="dead"), first)
    later = CheckpointStore(store.root)
    save(later, 1, later.claim_attempt(), world_size=2)
    checkpoint = later.load("iter_1")
    assert checkpoint.read("model.safetensors") == content(1, "model.safetensors")
    assert later._storage.names("iter_1") == ["manifest.json", "model.safetensors", "rank_0000.pt", "rank_0001.pt"]


def test_a_commit_needs_every_staged_file_in_its_size(store: CheckpointStore) -> None:
    attempt = store.claim_attempt()
    entries = store.stage("iter_1", files(1, 0), attempt)
    with pytest.raises(CheckpointError, match=r"rank_0001\.pt is missing"):
        store.commit("iter_1", {**entries, "rank_0001.pt": FileEntry(1, "0" * 64)}, {"iter": 1}, attempt)
    with pytest.raises(CheckpointError, match="1 were written"):
        store.commit("iter_1", {**entries, "rank_0000.pt": FileEntry(1, "0" * 64)}, {"iter": 1}, attempt)
    with pytest.raises(CheckpointError, match="without files"):
        store.commit("iter_1", {}, {"iter": 1}, attempt)
    assert store.is_empty()


def test_attempts_are_numbered_and_a_stale_one_can_change_nothing(store: CheckpointStore) -> None:
    first = store.claim_attempt()
    save(store, 1, first)
    entries = store.stage("iter_2", files(2, 0), first)
    second = CheckpointStore(store.root).claim_attempt()
    assert (first, second) == (1, 2)
    store.check_attempt(second)
    for change in (
        lambda: store.check_attempt(first),
        lambda: store.stage("iter_3", files(3, 0), first),
        lambda: store.commit("iter_2", entries, {"iter": 2}, first),
        lambda: store.pin("best", "iter_1", first),
        lambda: store.prune(0, first),
        lambda: store.clean(first),
    ):
        with pytest.raises(StaleAttemptError, match="attempt 2 of this run has taken over; attempt 1 may not"):
            change()
    assert (names(store), store.pins()) == (["iter_1"], {})


def test_an_attempt_that_was_overtaken_while_it_wrote_publishes_nothing(local: CheckpointStore) -> None:
    attempt = local.claim_attempt()

    def overtaken(file: BinaryIO) -> None:
        file.write(b"x" * 100)
        CheckpointStore(local.root).claim_attempt()

    with pytest.raises(StaleAttemptError):
        local.stage("iter_1", {"model.safetensors": overtaken}, attempt)
    assert "model.safetensors" not in local._storage.names("iter_1")


def test_a_number_that_was_taken_meanwhile_is_not_used(store: CheckpointStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.claim_attempt()
    really, seen = store._attempts.newest, iter([0, 0])
    monkeypatch.setattr(store._attempts, "newest", lambda: next(seen, None) or really())
    assert store.claim_attempt() == 2


def test_an_attempt_must_be_claimed(local: CheckpointStore) -> None:
    with pytest.raises(CheckpointError, match="attempt 1 was never claimed"):
        local.stage("iter_1", files(1, 0), 1)
