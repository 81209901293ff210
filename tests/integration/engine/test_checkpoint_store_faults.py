"""A local store whose process is killed, fails, or is left behind, at every point at which it changes something."""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rayseg.core.errors import CheckpointError
from rayseg.engine.checkpoint_store import CheckpointStore
from tests.checkpoints import files, holds_what_was_saved, names, save
from tests.integration.engine.crashing import BROKEN, DONE, FAILED, FILE_BYTES, STALE, CrashServer


@pytest.fixture(scope="module")
def server() -> Iterator[CrashServer]:
    server = CrashServer()
    yield server
    server.close()


@pytest.fixture(autouse=True)
def _no_flush(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the server: it takes most of the time, and no killed process can tell the difference."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with two checkpoints, the older one the best, which was killed while three ranks staged a third."""
    root = tmp_path_factory.mktemp("template") / "checkpoints"
    store = CheckpointStore(root)
    attempt = store.claim_attempt()
    save(store, 1, attempt, by="template")
    save(store, 2, attempt, by="template")
    store.pin("best_mIoU", "iter_1", attempt)
    for rank in range(3):
        store.stage("iter_3", files(3, rank, by="dead"), attempt)
    (root / "tmp" / "attempt_000000001" / "half").write_bytes(b"half a file")
    return root


def assert_sound(root: Path) -> None:
    """What looks committed is whole and is what was written; nothing that was saved before is lost."""
    store = CheckpointStore(root)
    problems = []
    for checkpoint in store.list():
        try:
            checkpoint.verify()
            assert holds_what_was_saved(checkpoint)
        except CheckpointError as error:
            problems.append(str(error))
    assert not problems + store.warnings, "what looks committed is damaged"
    newest = store.latest()
    assert newest is not None
    assert newest.iter >= 2, "a checkpoint that was saved before is lost"
    assert store.load("best").name in ("iter_1", "iter_3")


def take_over(root: Path) -> None:
    """What the next attempt of the run does until its next checkpoint is saved; it works, whatever it finds."""
    store = CheckpointStore(root)
    attempt = store.claim_attempt()
    store.clean(attempt)
    save(store, 3, attempt, by="next")
    store.pin("best_mIoU", "iter_3", attempt)
    store.prune(0, attempt)
    assert names(store) == ["iter_3"]
    assert store.pins() == {"best_mIoU": "iter_3"}
    assert not store.warnings
    assert sorted(os.listdir(root)) == ["attempts", "iter_3", "pins", "tmp"]
    checkpoint = store.load("last")
    assert sorted(os.listdir(checkpoint.path)) == sorted([*checkpoint.files, "manifest.json"])
    assert holds_what_was_saved(checkpoint)
    assert os.listdir(root / "tmp") == [f"attempt_{attempt:09d}"]
    assert os.listdir(root / "tmp" / f"attempt_{attempt:09d}") == []


def tree(root: Path) -> dict[str, str]:
    """What the checkpoints and pins are."""
    folders = [root / "pins", *root.glob("iter_*")]
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def kill_everywhere(server: CrashServer, template: Path, folder: Path, store: str) -> list[str]:
    """Save a checkpoint over and over, killed at the first point, the second, ...; returns the points."""
    points: list[str] = []
    for at in itertools.count(1):
        root = folder / f"{store}_{at}"
        shutil.copytree(template, root)
        said = server.start({"root": str(root), "store": store, "at": at})
        if "stopped" in said:
            os.kill(said["pid"], signal.SIGKILL)
            points.append(said["stopped"])
        else:
            assert said["status"] == DONE, said
        assert server.hear() == {"ended": True}
        assert_sound(root)
        if "status" in said:
            assert names(CheckpointStore(root)) == ["iter_3"]
            return points
        take_over(root)
        shutil.rmtree(root)
    raise AssertionError("not reached")


def test_a_kill_at_any_point_loses_nothing_and_leaves_nothing_that_looks_whole(
    server: CrashServer, template: Path, tmp_path: Path
) -> None:
    points = kill_everywhere(server, template, tmp_path, "CheckpointStore")
    kinds = {point.split()[0] for point in points}
    assert {"write", "fsync", "replace", "rename", "mkdir", "unlink", "rmdir"} <= kinds
    assert any(point.startswith("replace") and point.endswith("iter_3/manifest.json") for point in points)
    assert len([point for point in points if point.startswith("write")]) == 9
    assert len(points) > 60


@pytest.mark.parametrize("store", ["ManifestFirst", "ManifestRemovedLast", "InPlace"])
def test_a_store_that_is_wrong_on_purpose_is_caught(
    server: CrashServer, template: Path, tmp_path: Path, store: str
) -> None:
    with pytest.raises(AssertionError, match="what looks committed is damaged"):
        kill_everywhere(server, template, tmp_path, store)


def test_an_attempt_that_was_left_behind_at_any_point_changes_nothing_any_more(
    server: CrashServer, template: Path, tmp_path: Path
) -> None:
    outcomes: list[int] = []
    for at in itertools.count(1):
        root = tmp_path / str(at)
        shutil.copytree(template, root)
        said = server.start({"root": str(root), "store": "CheckpointStore", "at": at})
        if "status" in said:
            assert said["status"] == DONE, said
            server.hear()
            break
        take_over(root)
        before = tree(root)
        server.send(b"g")
        went_on = server.hear()
        assert server.hear() == {"ended": True}
        assert went_on["status"] != BROKEN, went_on["message"]
        assert tree(root) == before, said["stopped"]
        assert_sound(root)
        outcomes.append(went_on["status"])
        shutil.rmtree(root)
    assert outcomes.count(STALE) > 40
    assert outcomes[0] == DONE, "who had not claimed its number yet is simply the next attempt"


@pytest.mark.parametrize(("number", "every"), [(errno.ENOSPC, 1), (errno.EROFS, 7)])
def test_a_disk_that_fails_at_any_point_is_named_and_loses_nothing(
    server: CrashServer, template: Path, tmp_path: Path, number: int, every: int
) -> None:
    failures = 0
    for at in itertools.count(1, every):
        root = tmp_path / str(at)
        shutil.copytree(template, root)
        said = server.start({"root": str(root), "store": "CheckpointStore", "at": at, "error": number})
        assert server.hear() == {"ended": True}
        assert said["status"] in (DONE, FAILED), said["message"]
        assert_sound(root)
        if said["points"] < at:
            break
        if said["status"] == FAILED:
            failures += 1
            assert f"{os.strerror(number)} ({errno.errorcode[number]})" in said["message"]
            assert str(root) in said["message"]
        take_over(root)
        shutil.rmtree(root)
    assert failures > 30 // every


def test_a_file_that_the_system_itself_refuses_to_make_larger(
    server: CrashServer, template: Path, tmp_path: Path
) -> None:
    root = tmp_path / "checkpoints"
    shutil.copytree(template, root)
    said = server.start({"root": str(root), "store": "CheckpointStore", "at": 0, "limit": FILE_BYTES // 2})
    server.hear()
    assert said["status"] == FAILED
    assert f"cannot write {root}/iter_3/model.safetensors: File too large (EFBIG)" in said["message"]
    assert_sound(root)
    take_over(root)


def test_processes_that_claim_at_the_same_time_get_different_numbers(server: CrashServer, tmp_path: Path) -> None:
    said = server.start(*[{"root": str(tmp_path), "times": 5}] * 4)
    claimed: list[Any] = []
    while "claimed" in said:
        claimed += said["claimed"]
        said = server.hear()
    assert len(claimed) == 20
    assert len(set(claimed)) == 20
    assert CheckpointStore(tmp_path).claim_attempt() == max(claimed) + 1


@pytest.mark.parametrize("damaged", ["model.safetensors", "rank_0000.pt", "rank_0001.pt", "manifest.json"])
@pytest.mark.parametrize("how", ["a flipped bit", "truncated", "missing"])
def test_a_run_goes_on_from_the_newest_whole_one_and_makes_the_damaged_one_again(
    server: CrashServer, template: Path, tmp_path: Path, damaged: str, how: str
) -> None:
    root = tmp_path / "checkpoints"
    shutil.copytree(template, root)
    store = CheckpointStore(root)
    save(store, 3, store.claim_attempt(), by="first")
    path = root / "iter_3" / damaged
    data = path.read_bytes()
    if how == "missing":
        path.unlink()
    else:
        middle = len(data) // 2
        path.write_bytes(
            data[:middle] + (bytes([data[middle] ^ 1]) + data[middle + 1 :] if how == "a flipped bit" else b"")
        )

    newest = CheckpointStore(root).latest()
    assert newest is not None
    assert newest.name == "iter_2"
    said = server.start({"root": str(root), "store": "CheckpointStore", "at": 0})
    server.hear()
    assert said["status"] == DONE
    assert ("iter_3" in said["message"]) == (path.name != "manifest.json" or how != "missing"), (
        "else it was cleaned away"
    )
    assert_sound(root)
    again = CheckpointStore(root).load("last")
    assert (again.name, again.facts["by"]) == ("iter_3", "child")
