"""What a user might have beside the config: networks, and hooks that make trouble at a given iteration, once.

The conftest copies this file beside the configs of these tests, which name it ``user_code``.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from rayseg.engine.hook import Hook

PATIENCE_S = 120


class BatchNormNet(nn.Module):
    """BatchNorm and dropout: whatever a resume forgets shows in the weights."""

    def __init__(self, num_classes: int = 2) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout2d(0.2))
        self.head = nn.Conv2d(8, num_classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.encoder(image))


class GroupNormNet(nn.Module):
    """Nothing in it looks at other images of the batch."""

    def __init__(self, num_classes: int = 2) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.ReLU())
        self.head = nn.Conv2d(8, num_classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.encoder(image))


class Trouble(Hook):
    """Something that happens after an iteration, on one rank, and only while its file is not there.

    Args:
        at: completed iterations at which it happens.
        rank: on which rank.
        done: the file that is made when it happens.
    """

    def __init__(self, at: int, done: str, rank: int = 1) -> None:
        self.at = at
        self.rank = rank
        self.done = Path(done)

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Make it happen."""
        if runner.iter + 1 == self.at and runner.rank == self.rank and not self.done.exists():
            self.happen()

    def happen(self) -> None:
        """What happens."""
        raise NotImplementedError


class Die(Trouble):
    """The worker is killed."""

    def happen(self) -> None:
        """Kill it, without any chance to clean up."""
        self.done.touch()
        os.kill(os.getpid(), signal.SIGKILL)


class Raise(Trouble):
    """The worker meets an error."""

    def happen(self) -> None:
        """Raise it."""
        raise ValueError("this hook has had enough\nand says so on two lines")


class Wait(Trouble):
    """The worker stands still until the file is there, so that a test can kill the driver in mid-run."""

    def happen(self) -> None:
        """Stand still."""
        deadline = time.monotonic() + PATIENCE_S
        while not self.done.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
