"""A network and hooks that make trouble in a trial; the conftest copies this file beside the configs of these tests."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rayseg.engine.hook import Hook

PATIENCE_S = 120


class Net(nn.Module):
    """BatchNorm and dropout: whatever a resume forgets shows in the scores.

    Args:
        fault: ``raise``, ``memory``, ``cuda_memory`` or ``kill``: what happens in a forward pass of the training.
        at: in which one, counted from 1 in each process.
        once: a file that is made when it happens, and keeps it from happening again.
    """

    def __init__(
        self, num_classes: int = 3, width: int = 4, fault: str | None = None, at: int = 7, once: str | None = None
    ) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU())
        self.dropout = nn.Dropout2d(0.2)
        self.head = nn.Conv2d(width, num_classes, 1)
        self.fault, self.at, self.once = fault, at, Path(once) if once else None
        self.passes = 0

    def forward(self, image: Tensor) -> Tensor:
        if self.training and self.fault is not None and not image.is_meta:
            self.passes += 1
            if self.passes == self.at and not (self.once and self.once.exists()):
                if self.once:
                    self.once.touch()
                fail(self.fault)
        return self.head(self.dropout(self.encoder(image)))


def fail(fault: str) -> None:
    """Make it happen."""
    if fault == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    raise {
        "raise": ValueError("this network has had enough\nof everything"),
        "memory": MemoryError(),
        "cuda_memory": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
    }[fault]


class Hold(Hook):
    """Some trials wait after an iteration until the sweep directory has a file ``go_on``, or the run is to stop.

    Args:
        trials: their names.
        at: completed iterations at which they wait.
    """

    def __init__(self, trials: list[str], at: int) -> None:
        self.trials = trials
        self.at = at

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        trial, sweep_dir = Path(runner.work_dir), Path(runner.work_dir).parents[1]
        if trial.name not in self.trials or runner.iter + 1 != self.at:
            return
        (trial / f"held_{os.getpid()}").touch()
        deadline = time.monotonic() + PATIENCE_S
        while not (sweep_dir / "go_on").exists() and runner.host.stop_reason() is None:
            assert time.monotonic() < deadline, "nobody let it go on"
            time.sleep(0.02)


class UntilJudged(Hold):
    """Waits as Hold does, until the trial is told to end."""

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        if Path(runner.work_dir).name not in self.trials or runner.iter + 1 != self.at:
            return
        deadline = time.monotonic() + PATIENCE_S
        while runner.host.end_reason() is None:
            assert time.monotonic() < deadline, "nobody told it to end"
            time.sleep(0.02)


class Deaf(Hold):
    """Waits as Hold does, and does not listen to the wish to stop."""

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        trial = Path(runner.work_dir)
        if trial.name in self.trials and runner.iter + 1 == self.at:
            (trial / f"held_{os.getpid()}").touch()
            deadline = time.monotonic() + PATIENCE_S
            while time.monotonic() < deadline:
                time.sleep(0.02)
