"""Checkpointer: request, stage, commit, pins, pruning, and what becomes of a write that fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rayseg.core.errors import CheckpointError
from rayseg.engine.checkpoint_store import CheckpointStore
from rayseg.engine.control import Agreement
from rayseg.engine.runner import Runner
from tests.unit.engine.training import At, Spy, build, hooks, iterations, train


def saving(at: int, pin: str | None = None) -> At:
    return At("after_train_iter", at - 1, lambda runner: runner.save_checkpoint(pin=pin))


def sections(max_iters: int = 6, **checkpoint: Any) -> dict[str, Any]:
    return {
        "train_cfg": iterations(max_iters),
        "default_hooks": hooks(**{"save_last": False, **checkpoint}),
        "param_scheduler": None,
        "val_dataloader": None,
    }


def test_nothing_is_saved_unasked(tmp_path: Path) -> None:
    run = train(tmp_path, **sections())
    assert run.saved == []
    assert run.runner.checkpointer.committed_iter == -1


def test_any_hook_may_ask(tmp_path: Path) -> None:
    run = train(tmp_path, saving(3), **sections())
    assert run.saved == ["iter_3"]
    (event,) = run.events("checkpoint")
    files = run.runner.checkpointer.store.load("last").files
    assert event["name"] == "iter_3"
    assert event["iter"] == 3
    assert event["seconds"] > 0
    assert event["bytes"] == sum(entry.size for entry in files.values())


def test_two_requests_at_one_boundary_make_one_checkpoint(tmp_path: Path) -> None:
    spy = Spy()
    run = train(tmp_path, saving(3, "a"), saving(3, "b"), saving(3), spy, **sections())
    assert run.saved == ["iter_3"]
    assert len(spy.of("before_save_checkpoint")) == 1
    assert run.runner.checkpointer.store.pins() == {"a": "iter_3", "b": "iter_3"}


def test_a_commit_falls_at_the_next_control_point(tmp_path: Path) -> None:
    committed: list[tuple[int, int]] = []

    def note(runner: Runner) -> None:
        committed.append((runner.iter, runner.checkpointer.committed_iter))

    watch = [At("before_train_iter", at, note) for at in range(6)]
    train(tmp_path, saving(1), *watch, env_cfg={"control_interval": 3}, **sections())
    assert committed == [(0, -1), (1, -1), (2, -1), (3, 1), (4, 1), (5, 1)]


def test_a_second_checkpoint_before_the_control_point_commits_the_first(tmp_path: Path) -> None:
    run = train(tmp_path, saving(1), saving(2), env_cfg={"control_interval": 5}, **sections())
    assert run.saved == ["iter_1", "iter_2"]


def test_a_pin_of_what_is_staged_or_committed_saves_nothing_again(tmp_path: Path) -> None:
    for asked_in_validation_of, control in ((4, 2), (4, 100)):
        work_dir = tmp_path / str(control)
        spy = Spy()
        pinning = At("after_val", asked_in_validation_of, lambda runner: runner.save_checkpoint(pin="mine"))
        run = train(
            work_dir,
            pinning,
            spy,
            train_cfg=iterations(6, val_interval=4),
            default_hooks=hooks(interval=4, save_last=False),
            env_cfg={"control_interval": control},
        )
        assert run.runner.checkpointer.store.pins() == {"mine": "iter_4"}
        assert [at for at, _ in spy.of("before_save_checkpoint")] == [4]
        assert len(run.events("checkpoint")) == 1


def test_pinned_ones_are_kept_beside_the_last(tmp_path: Path) -> None:
    run = train(tmp_path, saving(2, "mine"), **sections(12, interval=2, max_keep_ckpts=2))
    assert run.saved == ["iter_2", "iter_10", "iter_12"]


class BrokenStore(CheckpointStore):
    """Cannot write, from the second checkpoint on."""

    def stage(self, name: str, files: Any, attempt: int) -> Any:
        if name != "iter_2":
            raise CheckpointError(f"{name}: no space left on device")
        return super().stage(name, files, attempt)


def test_a_write_that_fails_ends_the_run_at_the_control_point(tmp_path: Path) -> None:
    run = build(tmp_path, saving(2), saving(3), env_cfg={"control_interval": 1}, **sections())
    run.runner.checkpointer.store = BrokenStore(tmp_path / "checkpoints")
    with pytest.raises(CheckpointError, match="iter_3: no space left on device"):
        run.runner.train()
    assert run.saved == ["iter_2"]
    assert isinstance(run.runner.failure, CheckpointError)


def test_an_attempt_that_was_overtaken_cannot_commit(tmp_path: Path) -> None:
    zombie = build(tmp_path, saving(3), **sections())
    successor = build(tmp_path, saving(3), **sections())
    assert zombie.runner.checkpointer.attempt < successor.runner.checkpointer.attempt
    with pytest.raises(CheckpointError, match="attempt"):
        zombie.runner.train()
    assert zombie.saved == []
    successor.runner.train()
    assert successor.saved == ["iter_3"]


def test_a_damaged_checkpoint_is_passed_over_with_a_warning(tmp_path: Path) -> None:
    first = train(tmp_path, **sections(6, interval=3))
    damaged = Path(first.runner.checkpointer.store.load("iter_6").path) / "training_state.pt"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    spy = Spy()
    again = train(tmp_path, spy, **sections(6, interval=3))
    assert [at for at, _ in spy.of("before_train_iter")] == [3, 4, 5]
    assert any("iter_6" in event["message"] for event in again.events("warning"))
    assert again.events("attempt")[0]["start_from"] == "iter_3"
    assert again.runner.checkpointer.store.load("iter_6").facts["iter"] == 6


def test_what_is_staged_is_committed_before_a_validation(tmp_path: Path) -> None:
    """However far the next control point is: the validation's score belongs to a checkpoint that is there."""
    committed: list[int] = []
    note = At("before_val", 4, lambda runner: committed.append(runner.checkpointer.committed_iter))
    train(
        tmp_path,
        saving(3),
        note,
        train_cfg=iterations(6, val_interval=4),
        default_hooks=hooks(),
        env_cfg={"control_interval": 100},
        param_scheduler=None,
    )
    assert committed == [3]


def test_a_pin_joins_what_is_staged_and_not_yet_committed(tmp_path: Path) -> None:
    checkpointer = build(tmp_path, **sections()).runner.checkpointer
    for label in ("a", "b"):
        checkpointer.request(label)
        checkpointer.stage_if_requested()
    assert checkpointer.store.pins() == {}
    assert checkpointer.control_point() == Agreement(stop=False, staged=True)
    assert checkpointer.store.pins() == {"a": "iter_0", "b": "iter_0"}
