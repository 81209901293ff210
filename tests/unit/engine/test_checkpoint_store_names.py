"""CheckpointStore: names, labels and paths, and those that are refused."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from rayseg.core.errors import CheckpointError, ConfigError
from rayseg.engine.checkpoint_store import CheckpointStore, FileEntry
from tests.checkpoints import files, names, save, writer

BAD_NAMES = ["", ".", "..", "../x", "a/b", "/etc/passwd", "a\\..\\b/", ".hidden", "-rf", "iter\n4", "ü", "a" * 201]


def test_load_knows_names_labels_last_best_and_paths(store: CheckpointStore) -> None:
    attempt = store.claim_attempt()
    for iteration in (1, 2, 3, 4):
        save(store, iteration, attempt)
    store.pin("best_aAcc", "iter_1")
    store.pin("best_mIoU", "iter_2")
    found = {
        which: store.load(which).name for which in ("last", "best", "best_aAcc", "iter_3", f"{store.root}/iter_4/")
    }
    assert list(found.values()) == ["iter_4", "iter_2", "iter_1", "iter_3", "iter_4"]


def test_best_is_the_only_best_label_when_there_is_no_miou(store: CheckpointStore) -> None:
    save(store, 1, store.claim_attempt())
    store.pin("a_label", "iter_1")
    with pytest.raises(CheckpointError, match="no checkpoint is marked as the best"):
        store.load("best")
    store.pin("best_aAcc", "iter_1")
    assert store.load("best").name == "iter_1"


def test_load_of_a_path_reads_another_store(tmp_path: Path) -> None:
    there = CheckpointStore(tmp_path / "there")
    save(there, 7, there.claim_attempt())
    here = CheckpointStore(tmp_path / "here")
    assert here.load(tmp_path / "there" / "iter_7").path == str(tmp_path / "there" / "iter_7")


def test_a_name_that_does_not_exist_gets_the_nearest(store: CheckpointStore) -> None:
    with pytest.raises(CheckpointError, match="there is none"):
        store.load("iter_400")
    attempt = store.claim_attempt()
    save(store, 400, attempt)
    with pytest.raises(
        CheckpointError, match=r"no checkpoint 'iter_40'; there are iter_400.*; did you mean 'iter_400'\?$"
    ):
        store.load("iter_40")
    with pytest.raises(CheckpointError, match="holds no whole checkpoint"):
        CheckpointStore(f"{store.root}_other").load("last")
    with pytest.raises(CheckpointError, match=r"has no file 'rank_0002.pt'; did you mean 'rank_0001.pt'"):
        store.load("last").open("rank_0002.pt")


@pytest.mark.parametrize("name", [*BAD_NAMES, "pins", "attempts", "tmp", "last", "best", "manifest.json"])
def test_names_that_could_leave_the_store_are_refused(tmp_path: Path, name: str) -> None:
    store = CheckpointStore(tmp_path / "checkpoints")
    attempt = store.claim_attempt()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(CheckpointError, match="cannot be the name of a checkpoint"):
        store.stage(name, files(1, 0), attempt)
    with pytest.raises(CheckpointError, match="cannot be the name of a checkpoint"):
        store.commit(name, {}, {"iter": 1}, attempt)
    with pytest.raises(CheckpointError, match="cannot be the name of a checkpoint"):
        store.pin("best", name)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", [*BAD_NAMES, "manifest.json"])
def test_file_names_that_could_leave_the_checkpoint_are_refused(tmp_path: Path, name: str) -> None:
    store = CheckpointStore(tmp_path / "checkpoints")
    attempt = store.claim_attempt()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(CheckpointError, match="cannot be the name of a file"):
        store.stage("iter_1", {"ok.pt": writer(b"1"), name: writer(b"1")}, attempt)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_manifest_that_names_a_file_outside_is_damaged(local: CheckpointStore) -> None:
    from rayseg.engine.checkpoint import encode_manifest

    (outside := Path(local.root).parent / "secret").write_bytes(b"secret")
    folder = Path(local.root, "iter_1")
    folder.mkdir(parents=True)
    entry = FileEntry(6, hashlib.sha256(b"secret").hexdigest())
    (folder / "manifest.json").write_bytes(encode_manifest({"iter": 1}, {"../../secret": entry}, 1))
    assert outside.exists()
    assert local.latest() is None
    assert "'../../secret'" in local.warnings[0]


@pytest.mark.parametrize(
    "label", ["best_mIoU", "best_IoU.sports field", "best_val/mIoU", "best_IoU.crème", "../../x", "a%2Fb"]
)
def test_a_label_may_be_any_text_and_stays_in_its_folder(store: CheckpointStore, label: str) -> None:
    save(store, 1, store.claim_attempt())
    store.pin(label, "iter_1")
    assert store.pins() == {label: "iter_1"}
    assert store.load(label).name == "iter_1"
    assert len(store._storage.names("pins")) == 1


@pytest.mark.parametrize("label", ["", ".", "..", "last", "x" * 201])
def test_labels_without_a_file_or_with_a_meaning_are_refused(store: CheckpointStore, label: str) -> None:
    save(store, 1, store.claim_attempt())
    with pytest.raises(CheckpointError, match="cannot be a label"):
        store.pin(label, "iter_1")


def test_a_pin_moves_and_needs_a_committed_checkpoint(store: CheckpointStore) -> None:
    attempt = store.claim_attempt()
    save(store, 1, attempt)
    save(store, 2, attempt)
    store.stage("iter_3", files(3, 0), attempt)
    store.pin("best", "iter_1")
    store.pin("best", "iter_2")
    with pytest.raises(CheckpointError, match="no checkpoint 'iter_3'"):
        store.pin("best", "iter_3")
    assert store.pins() == {"best": "iter_2"}


def test_a_damaged_pin_stops_pruning_and_is_named(local: CheckpointStore) -> None:
    attempt = local.claim_attempt()
    save(local, 1, attempt)
    save(local, 2, attempt)
    local.pin("best_mIoU", "iter_1")
    Path(local.root, "pins", "best_mIoU").write_bytes(b"\0\0")
    assert local.prune(1) == []
    assert "pins/best_mIoU is damaged" in local.warnings[0]
    assert names(local) == ["iter_1", "iter_2"]
    with pytest.raises(CheckpointError, match="best_mIoU is damaged"):
        local.load("best")


def test_a_file_url_and_a_home_path_are_local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    roots = {CheckpointStore(url).root for url in (f"file://{tmp_path}/c", "~/c", "c", tmp_path / "c")}
    assert roots == {str(tmp_path / "c")}


def test_a_url_without_a_driver_is_bad_input() -> None:
    with pytest.raises(ConfigError, match=r"checkpoint_store\.url: cannot use gopher://"):
        CheckpointStore("gopher://x/y")


def test_reading_changes_nothing(local: CheckpointStore) -> None:
    assert (local.is_empty(), local.latest(), local.list(), local.pins()) == (True, None, [], {})
    assert not Path(local.root).exists()
