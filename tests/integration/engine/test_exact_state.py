"""What a run is made of, item by item: leave one out of the state, and the test of its name fails."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rayseg.core.randomness import get_rng_state
from rayseg.engine import Hook, LocalHost, Runner
from rayseg.hooks.checkpoint import CheckpointHook
from rayseg.hooks.ema import EMAHook
from tests.toys import ToyDataset, toy_config

STOP_AT = 8


class Drawing(Hook):
    """Draws from the generators that nothing else in a training process uses."""

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        random.random()
        np.random.rand()


def config() -> dict[str, Any]:
    """Everything that has a state, with values that are no longer those of the start at iteration 8."""
    return toy_config(
        train_dataloader={"batch_size": 4, "dataset": {"type": ToyDataset, "size": 18}},
        train_cfg={"type": "IterBasedTrainLoop", "max_iters": 12, "val_interval": 4},
        optim_wrapper={
            "type": "AmpOptimWrapper",
            "dtype": "float16",
            "loss_scale": {"init_scale": 64.0, "growth_interval": 3},
            "accumulative_counts": 2,
            "optimizer": {"type": "AdamW", "lr": 0.02},
            "clip_grad": {"max_norm": 1.0},
        },
        default_hooks={
            "logger": {"interval": 3},
            "checkpoint": {"by_epoch": False, "interval": -1, "save_best": "auto"},
        },
        custom_hooks=[{"type": "EMAHook", "momentum": 0.2, "begin_iter": 2}, {"type": Drawing}],
    )


def hook(runner: Runner, kind: type) -> Any:
    return next(hook for hook in runner.hooks if isinstance(hook, kind))


def parameters(runner: Runner) -> dict[str, Any]:
    return {name: value.detach() for name, value in runner.model.named_parameters()}


ITEMS: dict[str, Callable[[Runner], Any]] = {
    "iteration": lambda runner: runner.iter,
    "passes": lambda runner: runner.epoch,
    "last validation": lambda runner: runner.loop.last_validated,
    "validation due": lambda runner: runner.loop.validation_due,
    "place in the data": lambda runner: (runner.position, runner.train_dataloader.position),
    "weights": parameters,
    "BatchNorm statistics": lambda runner: dict(runner.model.named_buffers()),
    "average": lambda runner: hook(runner, EMAHook).average.named_values(),
    "updates of the average": lambda runner: hook(runner, EMAHook).average.steps,
    "moments of the optimizer": lambda runner: runner.optim_wrapper.optimizer.state_dict()["state"],
    "learning rates": lambda runner: runner.optim_wrapper.get_lr(),
    "counts of the accumulation": lambda runner: runner.optim_wrapper.inner_count,
    "loss scale": lambda runner: {k: v for k, v in runner.optim_wrapper.state_dict().items() if k != "optimizer"},
    "schedules": lambda runner: [scheduler.state_dict() for scheduler in runner.param_schedulers],
    "best": lambda runner: hook(runner, CheckpointHook).best,
    "windows of the log": lambda runner: runner.message_hub.state_dict()["scalars"],
    "last records": lambda runner: [repr(record) for record in runner.publish.recent],
    "random": lambda runner: get_rng_state()["python"],
    "numpy.random": lambda runner: get_rng_state()["numpy"],
    "torch's random": lambda runner: get_rng_state()["torch"],
    "threads": lambda runner: torch.get_num_threads(),
    "global batch": lambda runner: runner.global_batch_size,
}


def snapshot(runner: Runner) -> dict[str, Any]:
    return {name: _copied(item(runner)) for name, item in ITEMS.items()}


def _copied(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_copied(item) for item in value]
    return value


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_equal(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(_equal, a, b))
    return bool(a == b)


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The state of a run that was stopped, of one that goes on from it, and of one that has not begun."""
    run = tmp_path_factory.mktemp("state") / "run"
    threads = torch.get_num_threads()
    stopped = Runner.from_config(config(), host=_host(lambda: stopped.iter >= STOP_AT), work_dir=run)
    assert stopped.train() == {"status": "interrupted", "iter": STOP_AT}
    found = {"stopped": snapshot(stopped)}
    torch.set_num_threads(2)
    found["fresh"] = snapshot(_begun(run.with_name("fresh")))
    torch.set_num_threads(2)
    found["resumed"] = snapshot(_begun(run))
    torch.set_num_threads(threads)
    return found


def _host(stop: Callable[[], bool]) -> LocalHost:
    return LocalHost(device="cpu", stop=lambda: "test" if stop() else None)


def _begun(run: Path) -> Runner:
    runner = Runner.from_config(config(), host=LocalHost(device="cpu"), work_dir=run)
    runner.call_hook("before_run")
    runner._begin()
    return runner


@pytest.mark.parametrize("item", ITEMS)
def test_is_what_it_was_when_the_run_stopped(states: dict[str, dict[str, Any]], item: str) -> None:
    assert _equal(states["resumed"][item], states["stopped"][item])


SAME_AT_THE_START = {"threads", "global batch"}


@pytest.mark.parametrize("item", [item for item in ITEMS if item not in SAME_AT_THE_START])
def test_is_not_what_it_is_at_the_start(states: dict[str, dict[str, Any]], item: str) -> None:
    """So that the test before could fail."""
    assert not _equal(states["fresh"][item], states["stopped"][item])


def test_a_validation_that_was_due_is_run_first(tmp_path: Path) -> None:
    """A stop inside a validation leaves it due; the resumed run begins with it."""
    run = tmp_path / "run"
    seen: list[str] = []
    runner = Runner.from_config(config(), host=_host(lambda: bool(runner.message_hub.get_info("stop"))), work_dir=run)
    runner.val_loop.dataloader = _Interrupting(runner.val_loop.dataloader, runner)
    assert runner.train()["status"] == "interrupted"
    resumed = Runner.from_config(
        config(), host=LocalHost(lambda record: seen.append(f"{record.kind} {record.mode} {record.iter}")), work_dir=run
    )
    assert resumed.start_from is not None
    assert resumed.start_from.facts["phase"] == "val_due"
    resumed.train()
    assert next(line for line in seen if line.startswith("scalars")) == "scalars val 4"


class _Interrupting:
    """A loader that asks for a stop after its first batch."""

    def __init__(self, loader: Any, runner: Runner) -> None:
        self.loader, self.runner, self.dataset = loader, runner, loader.dataset

    def __iter__(self) -> Any:
        for batch in self.loader:
            yield batch
            self.runner.message_hub.update_info("stop", True)
