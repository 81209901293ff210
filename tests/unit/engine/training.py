"""Whole runs over the toys in this process, with everything that they published, for the tests of engine and hooks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rayseg.core.record import Record
from rayseg.engine.hook import STAGES, Hook
from rayseg.engine.host import LocalHost
from rayseg.engine.runner import Runner
from tests.toys import ToyDataset, toy_config


@dataclass
class Run:
    """A runner and what came of it."""

    runner: Runner
    records: list[Record]
    outcome: dict[str, Any] = field(default_factory=dict)

    def scalars(self, mode: str) -> dict[int, dict[str, Any]]:
        """Iteration → numbers of the lines of a mode; a second line of one iteration would be a mistake."""
        lines = [(r.iter, r.data) for r in self.records if r.kind == "scalars" and r.mode == mode]
        assert len({at for at, _ in lines}) == len(lines), lines
        return dict(lines)

    def events(self, name: str) -> list[dict[str, Any]]:
        """The data of the events of a name, in order."""
        return [record.data for record in self.records if record.kind == "event" and record.name == name]

    @property
    def saved(self) -> list[str]:
        """Names of the checkpoints in the store, oldest first."""
        return [checkpoint.name for checkpoint in self.runner.checkpointer.store.list()]


class Spy(Hook):
    """Notes each stage with the completed iterations, the epoch, and what else the stage was given."""

    priority = "LOWEST"

    def __init__(self) -> None:
        self.calls: list[tuple[str, int, int]] = []
        self.given: list[dict[str, Any]] = []

    @property
    def stages(self) -> list[str]:
        return [stage for stage, _, _ in self.calls]

    def of(self, stage: str) -> list[tuple[int, int]]:
        """(iter, epoch) of each call of a stage."""
        return [(at, epoch) for name, at, epoch in self.calls if name == stage]

    def arguments(self, stage: str, name: str) -> list[Any]:
        """One argument of each call of a stage."""
        pairs = zip(self.calls, self.given, strict=True)
        return [given[name] for (called, _, _), given in pairs if called == stage]


def _note(stage: str) -> Callable[..., None]:
    def method(self: Spy, runner: Runner, **given: Any) -> None:
        self.calls.append((stage, runner.iter, runner.epoch))
        self.given.append(given)

    return method


for _stage in STAGES:
    setattr(Spy, _stage, _note(_stage))


class At(Hook):
    """Calls ``action(runner)`` at a stage, when so many iterations are complete."""

    def __init__(self, stage: str, at_iter: int, action: Callable[[Runner], None]) -> None:
        def method(runner: Runner, **given: Any) -> None:
            if runner.iter == at_iter:
                action(runner)

        setattr(self, stage, method)


class Stop:
    """What a host asks; ``At("after_train_iter", 2, stop)`` makes it answer from then on."""

    def __init__(self) -> None:
        self.reason: str | None = None

    def __call__(self, runner: Runner | None = None) -> str | None:
        if runner is not None:
            self.reason = "SIGTERM"
        return self.reason


def build(work_dir: Path, *hooks: Hook, stop: Stop | None = None, **sections: Any) -> Run:
    """A runner over the toys with live hooks besides the config's."""
    records: list[Record] = []
    host = LocalHost(records.append, device="cpu", stop=stop)
    runner = Runner.from_config(toy_config(**sections), host=host, work_dir=work_dir)
    for hook in hooks:
        runner.hooks.register(hook)
    return Run(runner, records)


def train(work_dir: Path, *hooks: Hook, stop: Stop | None = None, **sections: Any) -> Run:
    """A run from its start, or from its newest checkpoint, to its end."""
    run = build(work_dir, *hooks, stop=stop, **sections)
    run.outcome = run.runner.train()
    return run


def iterations(max_iters: int, val_interval: int = 1000, **more: Any) -> dict[str, Any]:
    """``train_cfg`` of an iteration loop."""
    return {"type": "IterBasedTrainLoop", "max_iters": max_iters, "val_interval": val_interval, **more}


def epochs(max_epochs: int, val_interval: int = 1, **more: Any) -> dict[str, Any]:
    """``train_cfg`` of an epoch loop; an epoch of the toys' 16 images has 4 iterations."""
    return {"type": "EpochBasedTrainLoop", "max_epochs": max_epochs, "val_interval": val_interval, **more}


def hooks(interval: int = 1000, **checkpoint: Any) -> dict[str, Any]:
    """``default_hooks`` that save each so many iterations, and after the last."""
    return {
        "logger": {"type": "LoggerHook", "interval": 2},
        "checkpoint": {"type": "CheckpointHook", "interval": interval, **checkpoint},
    }


def validation(size: int = 7, batch_size: int = 4, **more: Any) -> dict[str, Any]:
    """``val_dataloader`` over so many toys."""
    dataset = {"type": ToyDataset, "size": size, "first": 100, "test_mode": True}
    return {"batch_size": batch_size, "dataset": dataset, **more}


def sgd(**more: Any) -> dict[str, Any]:
    """``optim_wrapper`` with SGD; ``more`` goes to the wrapper."""
    return {"type": "OptimWrapper", "optimizer": {"type": "SGD", "lr": 0.05, "momentum": 0.9}, **more}
