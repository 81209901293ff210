"""EarlyStoppingHook: when it ends a run, that all is saved then, on every rank, and what it refuses."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from rayseg.core.errors import ConfigError, RaysegError
from rayseg.engine.hook import Hook
from rayseg.hooks.early_stopping import EarlyStoppingHook
from tests.distributed import run_ranks
from tests.unit.engine.training import Run, Spy, build, epochs, iterations, train
from tests.unit.engine.training import hooks as default_hooks
from tests.unit.hooks.test_checkpoint import Scores

IMPROVES = [0.1, 0.2, 0.3]
STALLS = [*IMPROVES, 0.3, 0.3005, 0.9, 0.9, 0.9]


def stopped(work_dir: Path, train_cfg: dict[str, Any], scores: list[float], *more: Hook, **options: Any) -> Run:
    hook = {"type": "EarlyStoppingHook", "monitor": "mIoU", **options}
    return train(
        work_dir,
        Scores(mIoU=scores),
        *more,
        train_cfg=train_cfg,
        custom_hooks=[hook],
        default_hooks=default_hooks(),
        param_scheduler=None,
        env_cfg={"control_interval": 7},
    )


def test_an_iteration_loop_ends_after_the_validation_as_finished_and_saved(tmp_path: Path) -> None:
    spy = Spy()
    run = stopped(tmp_path, iterations(16, val_interval=2), STALLS, spy, patience=2)
    assert run.outcome == {"status": "finished", "iter": 10}
    assert run.saved == ["iter_10"]
    assert list(run.scalars("val")) == [2, 4, 6, 8, 10]
    assert spy.stages[-4:] == ["after_train_epoch", "before_save_checkpoint", "after_train", "after_run"]
    lines = [record.data["message"] for record in run.records if record.kind == "log"]
    assert lines == [
        "training ends before its time, after iteration 10: "
        "EarlyStoppingHook: mIoU did not improve in 2 validations; the best was 0.3000"
    ]


def test_an_epoch_loop_ends_after_the_epoch(tmp_path: Path) -> None:
    run = stopped(tmp_path, epochs(8), STALLS, patience=1)
    assert run.outcome == {"status": "finished", "iter": 16}
    assert run.saved == ["iter_16"]


def test_a_run_that_was_ended_has_nothing_left(tmp_path: Path) -> None:
    stopped(tmp_path, iterations(16, val_interval=2), STALLS, patience=2)
    again = stopped(tmp_path, iterations(16, val_interval=2), STALLS, patience=2)
    assert again.outcome == {"status": "finished", "iter": 10}
    assert again.scalars("train") == again.scalars("val") == {}
    assert again.saved == ["iter_10"]


def test_the_count_survives_a_restart(tmp_path: Path) -> None:
    stopped(tmp_path, iterations(8, val_interval=2), STALLS[:4], patience=2)
    again = stopped(tmp_path, iterations(16, val_interval=2), STALLS[3:], patience=2)  # the last was due again
    assert again.outcome == {"status": "finished", "iter": 10}


@pytest.mark.parametrize(
    ("options", "values", "stops_at"),
    [
        ({"patience": 2}, STALLS, 5),
        ({"patience": 2, "min_delta": 0.0}, [0.1, 0.1, 0.1, 0.05, 0.05], 5),
        ({"patience": 1, "min_delta": 0.15}, [0.1, 0.2], 2),
        ({"patience": 1}, [0.5, 0.4], 2),
        ({"patience": 9, "stopping_threshold": 0.25}, [0.1, 0.25, 0.3], 3),
        ({"patience": 9}, [0.1, math.nan], 2),
        ({"patience": 9}, [0.1, math.inf], 2),
        ({"patience": 2, "check_finite": False}, [0.1, math.nan, math.nan], 3),
        ({"monitor": "loss", "patience": 2}, [3.0, 2.0, 2.5, 2.0], 4),
        ({"monitor": "loss", "patience": 9, "stopping_threshold": 1.5}, [3.0, 1.0], 2),
        ({"rule": "less", "patience": 1}, [0.1, 0.2], 2),
    ],
)
def test_when_it_stops(options: dict[str, Any], values: list[float], stops_at: int) -> None:
    hook = EarlyStoppingHook(**{"monitor": "mIoU", **options})
    reasons = [hook.reason_to_stop(value) for value in values]
    assert [reason is not None for reason in reasons].index(True) == stops_at - 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"monitor": "mIuo"}, "EarlyStoppingHook.monitor: no metric 'mIuo' in the validation; did you mean 'mIoU'"),
        ({"stopping_threshold": 80.0}, "stopping_threshold: mIoU is a fraction, at most 1, found 80"),
        ({"patience": 0}, "patience: .*at least 1"),
        ({"pateince": 3}, "pateince: .*did you mean 'patience'"),
    ],
)
def test_what_it_refuses_before_the_start(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(tmp_path, custom_hooks=[{"type": "EarlyStoppingHook", "monitor": "mIoU", **options}]).runner.train()


def test_it_needs_a_validation(tmp_path: Path) -> None:
    hook = {"type": "EarlyStoppingHook", "monitor": "mIoU"}
    with pytest.raises(ConfigError, match="there is no validation to look at; give val_dataloader"):
        build(tmp_path, custom_hooks=[hook], val_dataloader=None).runner.train()


def test_a_margin_that_looks_like_percent_is_warned_about(tmp_path: Path) -> None:
    run = stopped(tmp_path, iterations(2, val_interval=2), [0.5], min_delta=0.1)
    assert "min_delta=0.1 asks for 10 % more of mIoU each time" in run.events("warning")[0]["message"]


class Loses(Hook):
    """Takes the score away."""

    priority = "HIGHEST"

    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        assert metrics is not None
        del metrics["mIoU"]


def test_a_missing_metric_is_warned_about_once_or_an_error(tmp_path: Path) -> None:
    run = stopped(tmp_path / "a", iterations(6, val_interval=2), [0.1] * 3, Loses(), patience=1)
    assert [w["message"] for w in run.events("warning")].count(
        "EarlyStoppingHook.monitor: the validation gave no 'mIoU'; nothing is stopped while it is missing"
    ) == 1
    with pytest.raises(RaysegError, match="the validation gave no 'mIoU'"):
        stopped(tmp_path / "b", iterations(6, val_interval=2), [0.1] * 3, Loses(), strict=True)


class Asks(Hook):
    """One rank's hook asks, as hooks written for MMEngine do."""

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        if runner.rank == 1 and runner.iter == 2:
            runner.train_loop.stop_training = True


def ends_at(work_dir: Path) -> dict[str, Any]:
    return train(
        work_dir,
        Asks(),
        train_cfg=iterations(20),
        param_scheduler=None,
        default_hooks=default_hooks(),
        env_cfg={"control_interval": 5},
    ).outcome


@pytest.mark.world_size(2)
def test_all_ranks_end_after_the_same_iteration(tmp_path: Path) -> None:
    assert run_ranks(ends_at, 2, tmp_path) == [{"status": "finished", "iter": 5}] * 2


def test_an_epoch_is_trained_to_its_end(tmp_path: Path) -> None:
    class Stops(Hook):
        def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
            runner.train_loop.stop_training = runner.iter >= 1

    run = train(tmp_path, Stops(), train_cfg=epochs(5), param_scheduler=None, default_hooks=default_hooks())
    assert run.outcome == {"status": "finished", "iter": 4}
    assert list(run.scalars("val")) == [4]
