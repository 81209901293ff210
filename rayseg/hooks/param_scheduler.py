"""ParamSchedulerHook: steps the schedules of learning rate, momentum and weight decay."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rayseg.core.errors import ConfigError, Problem
from rayseg.engine.hook import DataBatch, Hook, Outputs
from rayseg.optim.plateau import ReduceOnPlateauLR

if TYPE_CHECKING:
    from rayseg.engine.runner import Runner


class ParamSchedulerHook(Hook):
    """Steps schedulers after each iteration or epoch, whichever they count, and shows the metrics to all."""

    priority = "LOW"

    def check(self, runner: Runner) -> None:
        """Refuse a schedule that follows a metric which no validation gives."""
        for index, scheduler in enumerate(runner.param_schedulers):
            if not isinstance(scheduler, ReduceOnPlateauLR):
                continue
            key = f"param_scheduler.{index}"
            if runner.val_loop is None:
                kind = type(scheduler).__name__
                raise ConfigError(
                    Problem(f"{kind} follows a metric, but there is no validation; give val_dataloader", key)
                )
            try:
                scheduler.require_metric(runner.val_loop.metric_names())
            except ConfigError as error:
                raise ConfigError(Problem(str(error), key)) from None

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

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Show the metrics of a validation during training to the schedulers."""
        if metrics is None or runner.train_loop is None:
            return
        for scheduler in runner.param_schedulers:
            scheduler.observe(metrics)
