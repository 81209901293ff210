"""CheckpointHook: when checkpoints are made, how many are kept, and which is the best."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

from rayseg.core.errors import ConfigError, did_you_mean
from rayseg.core.periods import due
from rayseg.engine.hook import DataBatch, Hook, Outputs

if TYPE_CHECKING:
    from rayseg.engine.runner import Runner

Rule = Literal["greater", "less"]
LOWER_IS_BETTER = ("loss", "error", "time")


class CheckpointHook(Hook):
    """Asks for checkpoints; the engine writes them between two iterations.

    Args:
        interval: iterations (or epochs) between two checkpoints; -1 makes none but the last and the best.
        by_epoch: count epochs; what the training loop counts when None. True in an iteration loop is an error.
        max_keep_ckpts: checkpoints that are kept besides the best ones; -1 keeps all.
        save_last: also after the last iteration.
        save_best: metric, or metrics, whose best checkpoint is kept; ``'auto'`` is mIoU; None keeps no best.
        rule: whether ``greater`` or ``less`` is better, one for all or one for each metric of ``save_best``;
            guessed from the metric's name when None: ``less`` for losses, errors and times.
        save_begin: the first iteration (or epoch) at which a checkpoint may be made.
        save_optimizer: MM's; the state is always whole here.
        save_param_scheduler: MM's, as ``save_optimizer``.
        out_dir: MM's; use the ``checkpoint_store`` section here.
        filename_tmpl: MM's; checkpoints are named ``iter_<n>`` here.
        published_keys: MM's; ``model.safetensors`` holds the weights alone.
    """

    priority = "VERY_LOW"

    def __init__(
        self,
        interval: int = -1,
        by_epoch: bool | None = None,
        max_keep_ckpts: int = -1,
        save_last: bool = True,
        save_best: str | list[str] | None = None,
        rule: Rule | list[Rule] | None = None,
        save_begin: int = 0,
        save_optimizer: bool = True,
        save_param_scheduler: bool = True,
        out_dir: str | None = None,
        filename_tmpl: str | None = None,
        published_keys: str | list[str] | None = None,
    ) -> None:
        self.interval = interval
        self.by_epoch = by_epoch
        self.max_keep_ckpts = max_keep_ckpts
        self.save_last = save_last
        self.save_begin = save_begin
        metrics = [save_best] if isinstance(save_best, str) else save_best or []
        self.metrics = ["mIoU" if metric == "auto" else metric for metric in metrics]
        rules = rule if isinstance(rule, list) else [rule] * len(self.metrics)
        if len(rules) != len(self.metrics):
            raise ConfigError(f"CheckpointHook: {len(rules)} rules for the {len(self.metrics)} metrics of save_best")
        self.rules = [given or guess_rule(metric) for given, metric in zip(rules, self.metrics, strict=True)]
        self.best: dict[str, tuple[float, int]] = {}

    def check(self, runner: Runner) -> None:
        """Refuse to count epochs in an iteration loop, and a best by a metric that no validation gives."""
        if self.by_epoch and not runner.loop.by_epoch:
            raise ConfigError(
                "default_hooks.checkpoint.by_epoch: True in an iteration loop would never save; use False"
            )
        if self.metrics and runner.val_loop is None:
            raise ConfigError("default_hooks.checkpoint.save_best: there is no validation; give val_dataloader")
        if runner.val_loop is not None:
            known = runner.val_loop.metric_names()
            for metric in self.metrics:
                _require(metric, known)

    def before_train(self, runner: Runner) -> None:
        """Settle what the interval counts."""
        if self.by_epoch is None:
            self.by_epoch = runner.loop.by_epoch
        runner.checkpointer.max_keep = self.max_keep_ckpts if self.max_keep_ckpts > 0 else None
        for metric in self.best:
            self._publish(runner, metric)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: DataBatch = None, outputs: Outputs = None
    ) -> None:
        """Ask for a checkpoint when one is due by iterations, and after the last."""
        if self.by_epoch:
            return
        last = runner.max_iters if self.save_last else None
        if due(runner.iter + 1, self.interval, begin=self.save_begin, last=last):
            runner.save_checkpoint()

    def after_train_epoch(self, runner: Runner) -> None:
        """Ask for a checkpoint when one is due by epochs, and after the last."""
        last = runner.max_epochs if self.save_last else None
        if self.by_epoch and due(runner.epoch + 1, self.interval, begin=self.save_begin, last=last):
            runner.save_checkpoint()

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Keep the best. A metric that is NaN is never the best; an equal one does not replace it."""
        if metrics is None or runner.train_loop is None:
            return
        for metric, rule in zip(self.metrics, self.rules, strict=True):
            _require(metric, metrics)
            value = metrics[metric]
            best, _ = self.best.get(metric, (None, 0))
            if math.isnan(value) or not is_better(value, best, rule):
                continue
            self.best[metric] = (value, runner.iter)
            runner.save_checkpoint(pin=f"best_{metric}")
            self._publish(runner, metric)

    def _publish(self, runner: Runner, metric: str) -> None:
        value, at_iter = self.best[metric]
        runner.publish.event("best", metric=metric, value=value, iter=at_iter)

    def state_dict(self) -> dict[str, Any]:
        """The best values so far, and their iterations."""
        return {"best": {metric: list(best) for metric, best in self.best.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the best values."""
        self.best = {metric: (value, at_iter) for metric, (value, at_iter) in state["best"].items()}


def _require(metric: str, known: Iterable[str]) -> None:
    names = set(known)
    if metric not in names:
        raise ConfigError(
            f"default_hooks.checkpoint.save_best: no metric {metric!r} in the validation{did_you_mean(metric, names)}"
        )


def guess_rule(metric: str) -> Rule:
    """Whether more of a metric is better, by its name; a score (``IoU``, ``Acc`` ...) unless it names a loss."""
    return "less" if any(word in metric.lower() for word in LOWER_IS_BETTER) else "greater"


def is_better(value: float, best: float | None, rule: Rule) -> bool:
    """Whether ``value`` beats ``best`` strictly."""
    if best is None:
        return True
    return value > best if rule == "greater" else value < best
