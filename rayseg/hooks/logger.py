"""LoggerHook: publishes the numbers of the message hub, smoothed and reduced over ranks. It alone publishes numbers."""

from __future__ import annotations

import math
import resource
import sys
from typing import TYPE_CHECKING, Any

import torch

from rayseg.config import settings
from rayseg.core import distributed
from rayseg.core.errors import ConfigError, did_you_mean
from rayseg.core.randomness import derive_seed
from rayseg.engine.hook import DataBatch, Hook, Outputs
from rayseg.optim.group_values import group_value
from rayseg.tracking.confusion import write_confusion

if TYPE_CHECKING:
    from rayseg.config.settings import LogProcessorSettings
    from rayseg.engine.loops import ValLoop
    from rayseg.engine.message_hub import ScalarHistory
    from rayseg.engine.runner import Runner

SMOOTHED = ("loss", "time", "data_time", "grad_norm")
RENAMED = {"time": "iter_time"}
STATISTICS = ("current", "mean", "min", "max")


class LoggerHook(Hook):
    """Publishes a line of training numbers every ``interval`` iterations, and one for each validation.

    Losses, times and the gradient norm are means over the last ``log_processor.window_size`` iterations and over
    ranks; other scalars are the last value of rank 0's window, averaged over ranks too.

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
        interval: int = 10,
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

    def check(self, runner: Runner) -> None:
        """Refuse an entry of ``log_processor.custom_cfg`` that could not be computed."""
        processor: LogProcessorSettings = settings(runner.cfg, "log_processor")
        for index, item in enumerate(processor.custom_cfg):
            _check_custom(item, f"log_processor.custom_cfg.{index}")

    def before_run(self, runner: Runner) -> None:
        """Keep windows as long as the log needs them."""
        self.log_processor: LogProcessorSettings = settings(runner.cfg, "log_processor")
        windows = [
            self.log_processor.window_size,
            *(item["window_size"] for item in self._custom() if "window_size" in item),
        ]
        runner.message_hub.widen(max(windows))

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: DataBatch = None, outputs: Outputs = None
    ) -> None:
        """Publish when the interval is full."""
        is_last = self.is_last_train_iter(runner) and not self.ignore_last
        if is_last or self.every_n_train_iters(runner, self.interval):
            numbers = {**_notes(runner, "train"), **self.train_numbers(runner)}
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
        if not math.isfinite(loss) and not self._has_warned:
            self._has_warned = True
            runner.publish.warning(
                f"the loss is {loss} at iteration {runner.iter + 1}, and training goes on; a smaller learning rate, "
                "clip_grad or a warm-up may help, and an earlier checkpoint to resume from"
            )

    def train_numbers(self, runner: Runner) -> dict[str, float]:
        """The line's numbers, the same on every rank: losses, times, what is scheduled by group, memory."""
        means = mean_over_ranks(self._window_means(runner), runner.control.group)
        numbers = {RENAMED.get(name, name): value for name, value in means.items()}
        numbers.update(_of_groups(runner))
        if "iter_time" in numbers:
            numbers["samples_per_s"] = runner.global_batch_size / max(numbers["iter_time"], 1e-9)
        if (scale := runner.optim_wrapper.loss_scale_value) is not None:
            numbers["loss_scale"] = scale
        if (eta := runner.message_hub.get_info("eta")) is not None:
            numbers["eta_s"] = eta
        numbers.update(_memory(runner))
        return numbers

    def _window_means(self, runner: Runner) -> dict[str, float]:
        window = self.log_processor.window_size
        means: dict[str, float] = {}
        for key, history in runner.message_hub.log_scalars.items():
            mode, _, name = key.partition("/")
            if mode == "train" and name != "lr":
                smoothed = any(word in name for word in SMOOTHED)
                means[name] = history.mean(window) if smoothed else history.current()
        for item in self._custom():
            value = getattr(_history(runner, item["data_src"]), item["method_name"])
            means[item.get("log_name", item["data_src"])] = (
                value() if item["method_name"] == "current" else value(item.get("window_size"))
            )
        return means

    def _custom(self) -> list[dict[str, Any]]:
        return [item for item in self.log_processor.custom_cfg if item["data_src"] != "lr"]


def _write_confusion(runner: Runner, loop: ValLoop) -> None:
    """Rank 0 writes down the confusion matrix of the metric that has one."""
    matrix = next((metric.confusion.matrix for metric in loop.evaluator if hasattr(metric, "confusion")), None)
    if runner.rank == 0 and matrix is not None:
        write_confusion(runner.work_dir, loop.mode, runner.iter, runner.metainfo["classes"], matrix.tolist())


def _notes(runner: Runner, mode: str) -> dict[str, float]:
    """What was noted for this line alone; means over the ranks that noted it."""
    return mean_over_ranks(runner.message_hub.take_notes(mode), runner.control.group)


def mean_over_ranks(local: dict[str, float], group: Any = None) -> dict[str, float]:
    """Means by name, sorted, over the ranks that have the name; one all-reduce where all have the same ones."""
    names = sorted(local)
    fingerprint = derive_seed(*names)
    agreed = distributed.all_reduce(torch.tensor([fingerprint, -fingerprint]), "max", group)
    if agreed[0] == -agreed[1]:
        values = torch.tensor([local[name] for name in names], dtype=torch.float64)
        means = distributed.all_reduce(values, "mean", group).tolist()
        return dict(zip(names, means, strict=True))
    everyone = distributed.gather_objects(local, group)
    columns = {name: [one[name] for one in everyone if name in one] for name in sorted(set().union(*everyone))}
    return {name: sum(values) / len(values) for name, values in columns.items()}


def _check_custom(item: dict[str, Any], key: str) -> None:
    for name in ("data_src", "method_name"):
        if not isinstance(item.get(name), str):
            raise ConfigError(f"{key}.{name}: expected a name, found {item.get(name)!r}")
    method, window = item["method_name"], item.get("window_size", 1)
    if method not in STATISTICS:
        hint = did_you_mean(method, STATISTICS)
        raise ConfigError(f"{key}.method_name: expected one of {', '.join(STATISTICS)}, found {method!r}{hint}")
    if isinstance(window, bool) or not isinstance(window, int) or window < 1:
        raise ConfigError(f"{key}.window_size: expected a number of iterations, at least 1, found {window!r}")


def _history(runner: Runner, name: str) -> ScalarHistory:
    scalars = runner.message_hub.log_scalars
    if f"train/{name}" not in scalars:
        known = [key.removeprefix("train/") for key in scalars if key.startswith("train/")]
        raise ConfigError(
            f"log_processor.custom_cfg: nothing writes the scalar {name!r}{did_you_mean(name, known)}; "
            f"there are {', '.join(known)}"
        )
    return scalars[f"train/{name}"]


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
