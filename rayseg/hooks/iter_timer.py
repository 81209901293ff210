"""IterTimerHook: how long iterations take, how long they wait for data, and when the run will end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rayseg.engine.hook import DataBatch, Hook, Outputs

if TYPE_CHECKING:
    from rayseg.engine.runner import Runner


class IterTimerHook(Hook):
    """Writes ``<mode>/data_time`` and ``<mode>/time`` (seconds) and the info ``eta`` (seconds).

    It does not wait for a GPU: a single iteration's time is when its work was handed over, the mean over a log
    interval is right, since the queue to the device is bounded.
    """

    priority = "NORMAL"

    def __init__(self) -> None:
        self._last = 0.0
        self._seconds = 0.0
        self._iters = 0

    def before_train(self, runner: Runner) -> None:
        """Start counting for the estimate of the end."""
        self._seconds, self._iters = 0.0, 0

    def _before_epoch(self, runner: Runner, mode: str = "train") -> None:
        self._last = time.perf_counter()

    def after_val(self, runner: Runner) -> None:
        """The validation is no data time of the next iteration."""
        self._last = time.perf_counter()

    def _before_iter(self, runner: Runner, batch_idx: int, data_batch: DataBatch = None, mode: str = "train") -> None:
        runner.message_hub.update_scalar(f"{mode}/data_time", time.perf_counter() - self._last)

    def _after_iter(
        self, runner: Runner, batch_idx: int, data_batch: DataBatch = None, outputs: Outputs = None, mode: str = "train"
    ) -> None:
        now = time.perf_counter()
        seconds, self._last = now - self._last, now
        runner.message_hub.update_scalar(f"{mode}/time", seconds)
        if mode == "train":
            self._seconds += seconds
            self._iters += 1
            eta = self._seconds / self._iters * (runner.max_iters - runner.iter - 1)
            runner.message_hub.update_info("eta", eta, resumed=False)
