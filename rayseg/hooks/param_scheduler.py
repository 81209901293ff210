"""ParamSchedulerHook: steps the schedules of learning rate, momentum and weight decay."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rayseg.engine.hook import DataBatch, Hook, Outputs

if TYPE_CHECKING:
    from rayseg.engine.runner import Runner


class ParamSchedulerHook(Hook):
    """After each iteration the schedulers that count iterations, after each epoch the others."""

    priority = "LOW"

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: DataBatch = None, outputs: Outputs = None
    ) -> None:
        """Step the schedulers that count iterations."""
        for scheduler in runner.param_schedulers:
            if not scheduler.by_epoch:
                scheduler.step()

    def after_train_epoch(self, runner: Runner) -> None:
        """Step the schedulers that count epochs."""
        if not runner.loop.by_epoch:
            return
        for scheduler in runner.param_schedulers:
            if scheduler.by_epoch:
                scheduler.step()
