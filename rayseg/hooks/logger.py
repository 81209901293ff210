"""LoggerHook: publishes the numbers of the message hub, smoothed and reduced over ranks. It alone publishes numbers."""

from __future__ import annotations

import math
import resource
import sys
from typing import TYPE_CHECKING, Annotated, Any

import torch

from rayseg.config import settings
from rayseg.config.markers import at_least
from rayseg.engine.hook import DataBatch, Hook, Outputs
from rayseg.hooks.log_processor import LogProcessor, check_log_processor, mean_over_ranks
from rayseg.optim.group_values import group_value
from rayseg.tracking.confusion import write_confusion

if TYPE_CHECKING:
    from rayseg.engine.loops import ValLoop
    from rayseg.engine.runner import Runner


class LoggerHook(Hook):
    """Publishes a line of training numbers every ``interval`` iterations, and one for each validation.

    Losses, times and the gradient norm are means over the last ``log_processor.window_size`` iterations and over
    ranks; other scalars are the last values, averaged over ranks too.

    Args:
        interval: iterations between two lines.
        ignore_last: do not publish a last interval that is not full.
        interval_exp_name: MM's; the run's name is in every file here, so it changes nothing.
        out_dir: MM's; the run directory is the one place here.
        out_suffix: MM's, as ``out_dir``.
        keep_local: MM's, as ``out_dir``.
        file_client_args: MM's, as ``out_dir``.
        backend_args: MM's, as ``out_dir``.
        log_metric_by_epoch: MM's; every line here holds both iteration and epoch.
    """

    priority = "BELOW_NORMAL"

    def __init__(
        self,
        interval: Annotated[int, at_least(1)] = 10,
        ignore_last: bool = True,
        interval_exp_name: int = 1000,
        out_dir: str | None = None,
        out_suffix: Any = None,
        keep_local: bool = True,
        file_client_args: dict[str, Any] | None = None,
        log_metric_by_epoch: bool = True,
        backend_args: dict[str, Any] | None = None,
    ) -> None:
        self.interval = interval
        self.ignore_last = ignore_last
        self._has_warned = False
        ignored = {
            "out_dir": out_dir is not None,
            "out_suffix": out_suffix is not None,
            "keep_local": not keep_local,
            "file_client_args": file_client_args is not None,
            "backend_args": backend_args is not None,
        }
        self.notes = tuple(
            f"default_hooks.logger.{name} changes nothing: logs are written into the run directory"
            for name, is_given in ignored.items()
            if is_given
        )

    def check(self, runner: Runner) -> None:
        """Refuse a ``log_processor`` that could not be computed."""
        check_log_processor(settings(runner.cfg, "log_processor"), runner.loop.by_epoch)

    def before_run(self, runner: Runner) -> None:
        """Keep windows as long as the log needs them."""
        self.log_processor = LogProcessor(settings(runner.cfg, "log_processor"), runner.message_hub)

    def before_train_epoch(self, runner: Runner) -> None:
        """Let windows of an epoch begin anew, unless the run was resumed inside it."""
        loop = runner.loop
        if loop.by_epoch and loop.iter * loop.max_epochs == loop.epoch * loop.max_iters:
            runner.message_hub.restart_totals("epoch")

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: DataBatch = None, outputs: Outputs = None
    ) -> None:
        """Publish when the interval is full."""
        is_last = self.is_last_train_iter(runner) and not self.ignore_last
        if is_last or self.every_n_train_iters(runner, self.interval):
            numbers = self.train_numbers(runner)
            runner.publish.scalars("train", runner.iter + 1, numbers)
            self._warn_of_no_number(runner, numbers.get("loss", 0.0))

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Publish the metrics of a validation."""
        assert runner.val_loop is not None
        if metrics is not None:
            _write_confusion(runner, runner.val_loop)
            runner.publish.scalars("val", runner.iter, {**_notes(runner, "val"), **metrics})

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Publish the metrics of a test."""
        assert runner.test_loop is not None
        if metrics is not None:
            _write_confusion(runner, runner.test_loop)
            runner.publish.scalars("test", runner.iter, {**_notes(runner, "test"), **metrics})

    def _warn_of_no_number(self, runner: Runner, loss: float) -> None:
        if not math.isfinite(loss) and not self._has_warned and not runner.control.alarms:  # a guard tells it itself
            self._has_warned = True
            runner.publish.warning(
                f"the loss is {loss} at iteration {runner.iter + 1}, and training goes on; a smaller learning rate, "
                "clip_grad or a warm-up may help, and an earlier checkpoint to resume from"
            )

    def train_numbers(self, runner: Runner) -> dict[str, float]:
        """The line's numbers, the same on every rank: losses, times, notes, what is scheduled by group, memory."""
        scalars = self.log_processor.numbers(runner.message_hub.take_notes("train"), runner.control.group)
        numbers = {**scalars, **_of_groups(runner)}
        if "iter_time" in numbers:
            numbers["samples_per_s"] = runner.global_batch_size / max(numbers["iter_time"], 1e-9)
        if (scale := runner.optim_wrapper.loss_scale_value) is not None:
            numbers["loss_scale"] = scale
        if (eta := runner.message_hub.get_info("eta")) is not None:
            numbers["eta_s"] = eta
        numbers.update(_memory(runner))
        numbers.update({name: scalars[name] for name in self.log_processor.custom_names()})
        return numbers


def _write_confusion(runner: Runner, loop: ValLoop) -> None:
    """Rank 0 writes down the confusion matrix of the metric that has one."""
    matrix = next((metric.confusion.matrix for metric in loop.evaluator if hasattr(metric, "confusion")), None)
    if runner.rank == 0 and matrix is not None:
        write_confusion(runner.work_dir, loop.mode, runner.iter, runner.metainfo["classes"], matrix.tolist())


def _notes(runner: Runner, mode: str) -> dict[str, float]:
    """What was noted for this line alone; means over the ranks that noted it."""
    return mean_over_ranks(runner.message_hub.take_notes(mode), runner.control.group)


def _of_groups(runner: Runner) -> dict[str, float]:
    """Learning rate, weight decay, and what else is scheduled, of each group."""
    groups = runner.optim_wrapper.param_groups
    numbers = {"lr": groups[0]["lr"]}
    if len(groups) > 1:
        for group in groups:
            numbers[f"lr.{group['name']}"] = group["lr"]
            numbers[f"weight_decay.{group['name']}"] = group.get("weight_decay", 0.0)
    elif "weight_decay" in groups[0]:
        numbers["weight_decay"] = groups[0]["weight_decay"]
    for other in sorted({scheduler.param_name for scheduler in runner.param_schedulers} - {"lr", "weight_decay"}):
        for group in groups:
            numbers[other if len(groups) == 1 else f"{other}.{group['name']}"] = group_value(group, other)
    return {name: float(value) for name, value in numbers.items()}


def _memory(runner: Runner) -> dict[str, float]:
    """Peak memory of rank 0's process, MiB."""
    unit = 2**20 if sys.platform == "darwin" else 2**10
    numbers = {"host_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit}
    if runner.host.device.type == "cuda":
        numbers["memory_mb"] = torch.cuda.max_memory_allocated(runner.host.device) / 2**20
    return numbers
