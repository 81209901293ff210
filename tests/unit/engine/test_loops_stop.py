"""Stops and saves: only at boundaries, agreed on at control points, never inside an accumulation window."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from rayseg.core.errors import ConfigError
from tests.toys import ToyDataset
from tests.unit.engine.training import At, Run, Spy, Stop, build, epochs, hooks, iterations, sgd, train, validation


def stopped(tmp_path: Path, stage: str, at: int, every: int, **sections: Any) -> tuple[Run, Spy]:
    """A run of which a stop is asked at a stage, with a control point each ``every`` iterations."""
    spy, stop = Spy(), Stop()
    sections = {"train_cfg": iterations(20), "default_hooks": hooks(), "param_scheduler": None, **sections}
    env = {"control_interval": every}
    return train(tmp_path, At(stage, at, stop), spy, stop=stop, env_cfg=env, **sections), spy


@pytest.mark.parametrize(("asked_in", "every", "ends_at"), [(2, 5, 5), (4, 5, 5), (5, 5, 10), (0, 1, 1)])
def test_a_stop_comes_at_the_next_control_point(tmp_path: Path, asked_in: int, every: int, ends_at: int) -> None:
    run, spy = stopped(tmp_path, "after_train_iter", asked_in, every)
    assert run.runner.iter == ends_at
    assert run.saved == [f"iter_{ends_at}"]
    assert run.outcome == {"status": "interrupted", "iter": ends_at}
    assert len(spy.of("before_train_iter")) == ends_at
    assert spy.stages[-2:] == ["after_train", "after_run"]
    assert "after_train_epoch" not in spy.stages


def test_a_stop_after_the_last_iteration_ends_a_finished_run(tmp_path: Path) -> None:
    run, spy = stopped(tmp_path, "after_train_iter", 19, 7, val_dataloader=None)
    assert run.outcome == {"status": "finished", "iter": 20}
    assert spy.stages[-3:] == ["after_train_epoch", "after_train", "after_run"]


@pytest.mark.parametrize("stage", ["after_train_iter", "after_val_iter"])
def test_a_stop_that_costs_the_last_validation_leaves_the_run_interrupted(tmp_path: Path, stage: str) -> None:
    at = 19 if stage == "after_train_iter" else 20
    run, _spy = stopped(tmp_path, stage, at, 7)
    assert run.outcome == {"status": "interrupted", "iter": 20}
    assert run.scalars("val") == {}
    resumed = train(tmp_path, train_cfg=iterations(20), default_hooks=hooks(), param_scheduler=None)
    assert resumed.outcome == {"status": "finished", "iter": 20}
    assert list(resumed.scalars("val")) == [20]


def test_a_stop_is_told_once_with_its_reason(tmp_path: Path) -> None:
    run, _ = stopped(tmp_path, "after_train_iter", 0, 1)
    assert run.events("stopping") == [{"reason": "SIGTERM"}]
    assert run.events("ended") == [{"status": "interrupted", "iter": 1}]


def test_a_stop_inside_a_window_waits_for_its_end(tmp_path: Path) -> None:
    run, _ = stopped(tmp_path, "after_train_iter", 0, 2, optim_wrapper=sgd(accumulative_counts=5))
    assert run.saved == ["iter_5"]
    assert run.runner.optim_wrapper.at_boundary
    assert len(run.events("stopping")) == 1


def test_a_save_inside_a_window_waits_for_its_end(tmp_path: Path) -> None:
    run = train(
        tmp_path,
        train_cfg=iterations(14),
        default_hooks=hooks(interval=4),
        optim_wrapper=sgd(accumulative_counts=3),
        param_scheduler=None,
    )
    # due at 4, 8, 12 and the last; 14 ends a shorter window
    assert run.saved == ["iter_6", "iter_9", "iter_12", "iter_14"]


def test_a_validation_inside_a_window_is_not_broken_off(tmp_path: Path) -> None:
    run, _ = stopped(
        tmp_path,
        "before_val_iter",
        4,
        4,
        train_cfg=iterations(20, val_interval=4),
        optim_wrapper=sgd(accumulative_counts=5),
    )
    assert list(run.scalars("val")) == [4]
    assert run.saved == ["iter_5"]


def test_a_stop_in_an_epoch_saves_its_middle(tmp_path: Path) -> None:
    run, spy = stopped(tmp_path, "after_train_iter", 4, 6, train_cfg=epochs(3))
    assert run.saved == ["iter_6"]
    assert (run.runner.iter, run.runner.epoch) == (6, 1)
    assert spy.of("after_train_epoch") == [(4, 0)]


def test_a_resumed_epoch_goes_on_in_its_middle(tmp_path: Path) -> None:
    stopped(tmp_path, "after_train_iter", 4, 6, train_cfg=epochs(3))
    spy = Spy()
    train(tmp_path, spy, train_cfg=epochs(3), default_hooks=hooks(), param_scheduler=None)
    assert spy.arguments("before_train_iter", "batch_idx") == [2, 3, 0, 1, 2, 3]
    assert spy.of("before_train_epoch") == [(6, 1), (8, 2)]
    assert spy.of("before_val") == [(8, 2), (12, 3)]
    assert spy.stages[:3] == ["before_run", "after_load_checkpoint", "before_train"]


def test_a_stop_at_the_end_of_an_epoch_leaves_its_validation_due(tmp_path: Path) -> None:
    run, spy = stopped(tmp_path, "after_train_iter", 3, 4, train_cfg=epochs(3))
    assert "before_val" not in spy.stages
    assert spy.of("after_train_epoch") == [(4, 0)]
    assert run.runner.checkpointer.store.load("last").facts["phase"] == "val_due"
    spy = Spy()
    train(tmp_path, spy, train_cfg=epochs(3), default_hooks=hooks(), param_scheduler=None)
    assert spy.of("before_val") == [(4, 1), (8, 2), (12, 3)]
    assert spy.stages.index("before_val") < spy.stages.index("before_train_epoch")


def test_a_validation_that_was_broken_off_is_made_again(tmp_path: Path) -> None:
    sections: dict[str, Any] = {
        "train_cfg": iterations(8, val_interval=4),
        "val_dataloader": validation(9, batch_size=3),
        "default_hooks": hooks(save_best="mIoU"),
    }
    run, spy = stopped(tmp_path / "a", "after_val_iter", 4, 4, **sections)
    assert run.outcome == {"status": "interrupted", "iter": 4}
    assert spy.arguments("after_val_epoch", "metrics") == [None]
    assert len(spy.of("before_val_iter")) == 1
    assert run.scalars("val") == {}
    assert run.saved == ["iter_4"]

    resumed = train(tmp_path / "a", param_scheduler=None, **sections)
    straight = train(tmp_path / "b", param_scheduler=None, **sections)
    assert repr(resumed.scalars("val")) == repr(straight.scalars("val"))
    assert resumed.runner.checkpointer.store.pins() == straight.runner.checkpointer.store.pins()


def parts(run: Run) -> list[torch.Tensor]:
    return [value.clone() for value in run.runner.model.state_dict().values()]


@pytest.mark.parametrize("accumulation", [1, 3])
@pytest.mark.parametrize("train_cfg", [iterations(12, val_interval=5), epochs(3)])
def test_a_stopped_and_resumed_run_equals_one_that_was_not(
    tmp_path: Path, train_cfg: dict[str, Any], accumulation: int
) -> None:
    wrapper = sgd(accumulative_counts=accumulation)
    hooked = {"default_hooks": hooks(), "custom_hooks": [{"type": "EMAHook", "momentum": 0.1}]}
    sections: dict[str, Any] = {"train_cfg": train_cfg, "optim_wrapper": wrapper, **hooked}
    straight = train(tmp_path / "a", **sections, param_scheduler=None, env_cfg={"control_interval": 1})
    first, _ = stopped(tmp_path / "b", "after_train_iter", 6, 1, **sections)
    assert first.outcome["status"] == "interrupted"
    second = train(tmp_path / "b", **sections, param_scheduler=None, env_cfg={"control_interval": 1})

    assert all(map(torch.equal, parts(straight), parts(second)))
    lines = {**first.scalars("val"), **second.scalars("val")}
    assert repr(lines) == repr(straight.scalars("val"))  # NaN is equal to NaN
    for at, line in {**first.scalars("train"), **second.scalars("train")}.items():
        assert line["loss"] == straight.scalars("train")[at]["loss"], at
    assert sorted({**first.scalars("train"), **second.scalars("train")}) == sorted(straight.scalars("train"))


def test_resuming_a_finished_run_trains_nothing(tmp_path: Path) -> None:
    first = train(tmp_path)
    spy = Spy()
    second = train(tmp_path, spy)
    assert second.outcome == {"status": "finished", "iter": 12}
    assert not spy.of("before_train_iter")
    assert all(map(torch.equal, parts(first), parts(second)))


def test_a_resume_may_go_further(tmp_path: Path) -> None:
    train(tmp_path, train_cfg=iterations(4), param_scheduler=None)
    spy = Spy()
    train(tmp_path, spy, train_cfg=iterations(7), param_scheduler=None)
    assert [at for at, _ in spy.of("before_train_iter")] == [4, 5, 6]


@pytest.mark.parametrize(("train_cfg", "key"), [(iterations(0), "max_iters"), (epochs(0), "max_epochs")])
def test_at_least_one_iteration(tmp_path: Path, train_cfg: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError, match=f"train_cfg.{key}: expected at least 1, found 0"):
        build(tmp_path, train_cfg=train_cfg)


def test_too_few_images_for_an_epoch(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="3 images"):
        build(
            tmp_path,
            train_cfg=epochs(1),
            train_dataloader={"batch_size": 4, "dataset": {"type": ToyDataset, "size": 3}},
        )
