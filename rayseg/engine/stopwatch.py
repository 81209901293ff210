"""Stopwatch: how long a rank spends in each part of training."""

from __future__ import annotations

from time import perf_counter
from types import TracebackType


class Part:
    """Adds up the seconds inside ``with part:``; it must not be entered again inside itself."""

    __slots__ = ("_begin", "seconds")

    def __init__(self) -> None:
        self.seconds = 0.0
        self._begin = 0.0

    def __enter__(self) -> None:
        self._begin = perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.seconds += perf_counter() - self._begin


class Stopwatch:
    """The parts of training. On a GPU these are the times until the work is queued: nothing waits for the device.

    Attributes:
        data: waiting for the loader.
        forward: the model and its losses.
        backward: gradients, their all-reduce, clipping, and the optimizer's step.
        hooks: the stages around an iteration.
        validation: whole validations.
        checkpoint: writing checkpoints, and waiting for the other ranks at control points.
    """

    def __init__(self) -> None:
        self.data = Part()
        self.forward = Part()
        self.backward = Part()
        self.hooks = Part()
        self.validation = Part()
        self.checkpoint = Part()

    def seconds(self) -> dict[str, float]:
        """Part → seconds since the start of this process's run."""
        return {name: part.seconds for name, part in vars(self).items()}
