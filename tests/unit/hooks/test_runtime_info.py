"""RuntimeInfoHook: what the message hub holds in each iteration, for whoever reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rayseg.engine.hook import Hook
from tests.unit.engine.training import epochs, iterations, sgd, train


class Reader(Hook):
    """Reads the hub where a user's hook would."""

    def __init__(self) -> None:
        self.infos: list[tuple[int, int]] = []
        self.rates: list[float] = []
        self.losses: list[tuple[float, float]] = []
        self.grad_norms: list[int] = []

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        hub = runner.message_hub
        self.infos.append((hub.get_info("iter"), hub.get_info("epoch")))
        self.rates.append(hub.get_scalar("train/lr").current())

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        hub = runner.message_hub
        self.losses.append((hub.get_scalar("train/loss").current(), outputs["loss"].item()))
        scalars = hub.log_scalars
        self.grad_norms.append(len(scalars["train/grad_norm"].values) if "train/grad_norm" in scalars else 0)


def test_each_iterations_facts_come_before_other_hooks_run(tmp_path: Path) -> None:
    reader = Reader()
    train(tmp_path, reader, train_cfg=epochs(2), param_scheduler=None)
    assert reader.infos == [(i, i // 4) for i in range(8)]
    assert reader.rates == [0.05] * 8
    assert all(noted == given for noted, given in reader.losses)
    assert reader.grad_norms == [0] * 8, "without clipping there is no norm"


def test_what_the_run_is(tmp_path: Path) -> None:
    hub = train(tmp_path, train_cfg=iterations(3), experiment_name="fields").runner.message_hub
    known = {key: hub.get_info(key) for key in ("experiment_name", "seed", "max_iters", "max_epochs")}
    assert known == {"experiment_name": "fields", "seed": 3, "max_iters": 3, "max_epochs": 1}
    assert list(hub.get_info("dataset_meta")["classes"]) == ["dark", "middle", "bright"]


@pytest.mark.parametrize(("accumulation", "expected"), [(1, [1, 2, 3, 4]), (2, [0, 1, 1, 2])])
def test_the_gradient_norm_is_noted_once_a_step(tmp_path: Path, accumulation: int, expected: list[int]) -> None:
    reader = Reader()
    wrapper = sgd(clip_grad={"max_norm": 1.0}, accumulative_counts=accumulation)
    train(tmp_path, reader, train_cfg=iterations(4), optim_wrapper=wrapper)
    assert reader.grad_norms == expected


def test_it_is_there_without_being_asked_for(tmp_path: Path) -> None:
    run = train(tmp_path, train_cfg=iterations(2), default_hooks={})
    assert next(type(hook).__name__ for hook in run.runner.hooks) == "RuntimeInfoHook"
    assert run.runner.message_hub.get_scalar("train/loss").current() > 0
