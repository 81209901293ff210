"""The checkpoint store in an S3-compatible object store, used from several processes."""

from __future__ import annotations

import itertools
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import pytest

from rayseg.core.errors import CheckpointError, StaleAttemptError
from rayseg.engine.checkpoint_store import CheckpointStore
from tests.checkpoints import content, facts, files, holds_what_was_saved, names, save
from tests.integration.engine.object_store import (
    BUCKET,
    LARGE_BYTES,
    S3Server,
    claim,
    read_newest,
    stage_and_stop_inside,
    stage_as,
)

SPAWN = multiprocessing.get_context("spawn")
numbers = itertools.count()


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    """The driver, connected to a server with one empty bucket."""
    import s3fs

    server = S3Server()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", server.endpoint)
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        s3fs.S3FileSystem.clear_instance_cache()
        driver = s3fs.S3FileSystem(use_listings_cache=False)
        driver.mkdir(BUCKET)
        yield driver
        s3fs.S3FileSystem.clear_instance_cache()
    server.close()


@pytest.fixture(scope="module")
def processes(s3: Any) -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(3, mp_context=SPAWN) as pool:
        yield pool


@pytest.fixture
def url(s3: Any) -> str:
    return f"s3://{BUCKET}/run_{next(numbers)}/checkpoints"


@pytest.fixture
def store(url: str) -> CheckpointStore:
    return CheckpointStore(url)


def flip(s3: Any, url: str) -> None:
    data = bytearray(s3.cat_file(url))
    data[len(data) // 2] ^= 4
    s3.pipe_file(url, bytes(data))


def test_ranks_in_their_own_processes_make_one_checkpoint_that_another_reads(
    store: CheckpointStore, url: str, processes: ProcessPoolExecutor
) -> None:
    assert store.is_empty()
    assert store.latest() is None
    attempt = store.claim_attempt()
    staging = [processes.submit(stage_as, url, rank, attempt, LARGE_BYTES) for rank in range(3)]
    entries = {name: entry for of_rank in staging for name, entry in of_rank.result().items()}
    assert processes.submit(read_newest, url).result() is None
    store.commit("iter_3", entries, facts(3), attempt)

    found = processes.submit(read_newest, url).result()
    assert found is not None
    name, by, held = found
    assert (name, by) == ("iter_3", attempt)
    assert sorted(held) == ["model.safetensors", "rank_0000.pt", "rank_0001.pt", "rank_0002.pt"]
    assert all(data == content(3, file, size=LARGE_BYTES) for file, data in held.items())
    assert store._storage.names("iter_3") == ["manifest.json", *sorted(held)]


def test_a_manifest_and_a_pin_are_one_request_and_a_large_file_is_several(
    store: CheckpointStore, s3: Any, url: str
) -> None:
    attempt = store.claim_attempt()
    entries = store.stage("iter_3", files(3, 0, size=LARGE_BYTES), attempt)
    store.commit("iter_3", entries, facts(3), attempt)
    store.pin("best_IoU.crème brûlée/x", "iter_3", attempt)
    parts = {
        key: s3.info(f"{url}/{key}")["ETag"].strip('"').partition("-")[2]
        for key in ("iter_3/manifest.json", "iter_3/model.safetensors")
    }
    assert parts["iter_3/manifest.json"] == ""
    assert int(parts["iter_3/model.safetensors"]) >= 1
    assert CheckpointStore(url).pins() == {"best_IoU.crème brûlée/x": "iter_3"}


def test_processes_that_claim_at_the_same_time_get_different_numbers(
    store: CheckpointStore, url: str, processes: ProcessPoolExecutor
) -> None:
    claimed = [processes.submit(claim, url, 4) for _ in range(3)]
    attempts = [attempt for one in claimed for attempt in one.result()]
    assert len(set(attempts)) == 12
    assert store.claim_attempt() == max(attempts) + 1


def test_an_attempt_that_was_overtaken_inside_an_upload_publishes_nothing(
    store: CheckpointStore, s3: Any, url: str
) -> None:
    first = store.claim_attempt()
    here, there = SPAWN.Pipe()
    process = SPAWN.Process(target=stage_and_stop_inside, args=(url, first, there))
    process.start()
    assert here.recv() == "half"
    second = store.claim_attempt()
    save(store, 3, second, by="second")
    before = store.load("iter_3")
    here.send("go on")
    assert here.recv() == "StaleAttemptError"
    process.join()
    assert CheckpointStore(url).load("iter_3") == before
    assert holds_what_was_saved(before)
    assert not [
        upload for upload in s3.list_multipart_uploads(BUCKET) if url.endswith(upload["Key"].partition("/iter_3")[0])
    ]
    with pytest.raises(StaleAttemptError):
        CheckpointStore(url).commit("iter_4", {}, facts(4), first)


def test_a_process_that_is_killed_inside_an_upload_leaves_nothing_that_counts(store: CheckpointStore, url: str) -> None:
    first = store.claim_attempt()
    save(store, 2, first)
    here, there = SPAWN.Pipe()
    process = SPAWN.Process(target=stage_and_stop_inside, args=(url, first, there))
    process.start()
    assert here.recv() == "half"
    process.kill()
    process.join()

    later = CheckpointStore(url)
    newest = later.latest()
    assert newest is not None
    assert newest.name == "iter_2"
    assert [warning for warning in later.warnings if "iter_3 has no manifest.json" in warning]
    assert later._storage.size("iter_3/model.safetensors") is None
    second = later.claim_attempt()
    assert later.clean(second) == ["iter_3"]
    save(later, 3, second)
    assert holds_what_was_saved(later.load("last"))


def test_what_another_process_commits_and_removes_is_seen_at_once(url: str) -> None:
    writer, reader = CheckpointStore(url), CheckpointStore(url)
    attempt = writer.claim_attempt()
    assert names(reader) == []
    for iteration in (1, 2, 3):
        save(writer, iteration, attempt)
    assert names(reader) == ["iter_1", "iter_2", "iter_3"]
    writer.pin("best_mIoU", "iter_1", attempt)
    assert writer.prune(1, attempt) == ["iter_2"]
    assert names(reader) == ["iter_1", "iter_3"]
    assert reader.load("best").name == "iter_1"
    assert reader._storage.names() == ["attempts", "iter_1", "iter_3", "pins"]


@pytest.mark.parametrize("key", ["model.safetensors", "rank_0001.pt", "manifest.json"])
def test_a_damaged_object_is_skipped_and_made_again(store: CheckpointStore, s3: Any, url: str, key: str) -> None:
    attempt = store.claim_attempt()
    save(store, 1, attempt)
    save(store, 2, attempt, by="first")
    flip(s3, f"{url}/iter_2/{key}")
    newest = store.latest()
    assert newest is not None
    assert newest.name == "iter_1"
    assert key in store.warnings[0]
    save(store, 2, attempt, by="again")
    assert store.load("iter_2").facts["by"] == "again"


def test_an_interrupted_removal_leaves_nothing_that_looks_whole(
    store: CheckpointStore, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = store.claim_attempt()
    save(store, 1, attempt)
    save(store, 2, attempt)

    def die(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(store._storage._fs, "rm", die)
        with pytest.raises(KeyboardInterrupt):
            store.prune(1)
    later = CheckpointStore(url)
    assert names(later) == ["iter_2"]
    assert later._storage.size("iter_1/model.safetensors") is not None
    assert later.clean(later.claim_attempt()) == ["iter_1"]
    assert later._storage.names("iter_1") == []


def test_a_writer_that_fails_leaves_no_object_and_no_upload(store: CheckpointStore, s3: Any) -> None:
    attempt = store.claim_attempt()

    def write(file: Any) -> None:
        file.write(b"x" * LARGE_BYTES)
        raise ValueError("cannot be saved")

    before = s3.list_multipart_uploads(BUCKET)
    with pytest.raises(ValueError, match="cannot be saved"):
        store.stage("iter_1", {"state.pt": write}, attempt)
    assert store._storage.names("iter_1") == [f".staged_by_{attempt}"]
    assert s3.list_multipart_uploads(BUCKET) == before


def test_a_bucket_that_does_not_exist_is_named(s3: Any) -> None:
    store = CheckpointStore("s3://no-such-bucket/checkpoints")
    assert store.is_empty()
    with pytest.raises(
        CheckpointError, match=r"cannot write s3://no-such-bucket/checkpoints/attempts/000000001: .*bucket"
    ):
        store.claim_attempt()


def test_an_empty_file_can_be_saved(store: CheckpointStore) -> None:
    attempt = store.claim_attempt()
    entries = store.stage("iter_1", {"empty.pt": lambda file: None}, attempt)
    store.commit("iter_1", entries, facts(1), attempt)
    assert store.load("last").read("empty.pt") == b""
