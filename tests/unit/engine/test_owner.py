"""RunOwner: records become the run's files, and a new attempt begins where its checkpoint stands."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from rayseg.engine.build import resolve_config
from rayseg.engine.checkpoint_store import CheckpointStore
from rayseg.engine.host import LocalHost
from rayseg.engine.owner import RunOwner
from rayseg.engine.runner import Runner
from rayseg.tracking.recorder import RunRecorder
from tests.toys import toy_config
from tests.unit.engine.training import At, hooks, iterations

STARTED: list[RunRecorder] = []


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    """No recorder goes on listening to the log after its test."""
    yield
    while STARTED:
        STARTED.pop().finish("failed")


def owned(work_dir: Path) -> RunOwner:
    recorder = RunRecorder(work_dir, [])
    recorder.start({"name": "toy"})
    STARTED.append(recorder)
    return RunOwner(recorder, CheckpointStore(work_dir / "checkpoints"))


def attempt(owner: RunOwner, work_dir: Path, *more: At, **sections: Any) -> None:
    """One worker group; it may crash."""
    host = LocalHost(owner.receive, device="cpu")
    runner = Runner.from_config(resolve_config(toy_config(**sections)), host=host, work_dir=work_dir)
    for hook in more:
        runner.hooks.register(hook)
    with suppress(ZeroDivisionError):
        runner.train()


def run(work_dir: Path, *more: At, **sections: Any) -> RunOwner:
    """A launch with one attempt."""
    owner = owned(work_dir)
    attempt(owner, work_dir, *more, **sections)
    owner.recorder.finish("finished" if owner.ended else "failed")
    return owner


def crash(at: int) -> At:
    return At("before_train_iter", at, lambda runner: 1 // 0)


def lines(work_dir: Path) -> list[tuple[str, int]]:
    texts = (work_dir / "metrics.jsonl").read_text().splitlines()
    return [(line["mode"], line["iter"]) for line in map(json.loads, texts)]


WHOLE = [("train", 2), ("val", 3), ("train", 4), ("train", 6), ("val", 6)]


def sections() -> dict[str, Any]:
    return {"train_cfg": iterations(6, val_interval=3), "default_hooks": hooks(interval=3, save_best="mIoU")}


def test_a_run(tmp_path: Path) -> None:
    owner = run(tmp_path, **sections())
    assert lines(tmp_path) == WHOLE
    assert owner.ended == {"status": "finished", "iter": 6}
    assert owner.iter == 6
    assert owner.best["mIoU"]["value"] >= owner.metrics["mIoU"] > 0
    assert owner.best["mIoU"]["iter"] in (3, 6)


def test_a_crash_and_its_resume(tmp_path: Path) -> None:
    first = run(tmp_path, crash(5), **sections())
    assert first.ended is None
    assert first.iter == 4, "the last line that was heard of"
    assert lines(tmp_path) == WHOLE[:3]
    second = run(tmp_path, **sections())
    assert second.ended == {"status": "finished", "iter": 6}
    assert lines(tmp_path) == WHOLE
    assert (tmp_path / "metrics.attempt_1.jsonl").is_file()


def test_lines_that_the_owner_lost_come_back_from_the_checkpoint(tmp_path: Path) -> None:
    run(tmp_path, crash(5), **sections())
    numbers = tmp_path / "metrics.jsonl"
    numbers.write_text("")
    run(tmp_path, **sections())
    assert [line for line in lines(tmp_path) if line[1] <= 3] == WHOLE[:2]


def test_a_run_that_begins_again_forgets_what_it_heard(tmp_path: Path) -> None:
    """No checkpoint was made before the crash."""
    changed = {**sections(), "default_hooks": hooks()}
    owner = owned(tmp_path)
    attempt(owner, tmp_path, crash(5), **changed)
    assert owner.iter == 4
    assert owner.metrics
    attempt(owner, tmp_path, crash(1), **changed)
    assert owner.iter == 0
    assert owner.metrics == {}
    assert lines(tmp_path) == []


def test_a_resume_knows_the_last_validation(tmp_path: Path) -> None:
    """A finished run that is resumed validates no more, and still has its numbers."""
    run(tmp_path, **{**sections(), "train_cfg": iterations(4, val_interval=3)})
    owner = run(tmp_path, crash(5), **{**sections(), "train_cfg": iterations(9, val_interval=6)})
    assert owner.ended is None
    assert "mIoU" in owner.metrics
