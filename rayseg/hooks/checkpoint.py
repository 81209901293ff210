"""CheckpointHook: when checkpoints are made, how many are kept, and which is the best."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

from rayseg.config.markers import at_least
from rayseg.core import distributed
from rayseg.core.errors import ConfigError
from rayseg.core.periods import due
from rayseg.engine.hook import DataBatch, Hook, Outputs
from rayseg.hooks.published import check_published_keys, publish_weights
from rayseg.hooks.rules import GREATER_KEYS, LESS_KEYS, Rule, guess_rule, is_better, require_metric, require_rule

if TYPE_CHECKING:
    from rayseg.engine.runner import Runner

KEY = "default_hooks.checkpoint"


class CheckpointHook(Hook):
    """Asks for checkpoints; the engine writes them between two iterations.

    Args:
        interval: iterations (or epochs) between two checkpoints; -1 makes none but the last and the best.
        by_epoch: count epochs; what the training loop counts when None. True in an iteration loop is an error.
        save_optimizer: MM's; a checkpoint always holds the whole state here, so that it can be resumed.
        save_param_scheduler: MM's, as ``save_optimizer``.
        out_dir: MM's; an error that names the ``checkpoint_store`` section.
        max_keep_ckpts: checkpoints that are kept besides the best ones; -1 keeps all.
        save_last: also after the last iteration.
        save_best: metric, or metrics, whose best checkpoint is kept; ``'auto'`` is mIoU; None keeps no best.
        rule: whether ``greater`` or ``less`` is better, one for all or one for each metric of ``save_best``;
            guessed from the metric's name when None.
        greater_keys: names, or parts of names, of metrics of which more is better, for the guess.
        less_keys: names, or parts of names, of metrics of which less is better; looked at first.
        file_client_args: MM's; the ``checkpoint_store`` section says where checkpoints are.
        filename_tmpl: MM's; checkpoints are named ``iter_<n>`` here.
        backend_args: MM's, as ``file_client_args``.
        published_keys: ``'state_dict'``, with ``'meta'`` or without: at a finished run's end the weights of the last
            and the best checkpoints are copied into ``published/``.
        save_begin: the first iteration (or epoch) at which a checkpoint may be made.
    """

    priority = "VERY_LOW"

    def __init__(
        self,
        interval: int = -1,
        by_epoch: bool | None = None,
        save_optimizer: bool = True,
        save_param_scheduler: bool = True,
        out_dir: str | None = None,
        max_keep_ckpts: int = -1,
        save_last: bool = True,
        save_best: str | list[str] | None = None,
        rule: Rule | list[Rule] | None = None,
        greater_keys: str | list[str] | None = None,
        less_keys: str | list[str] | None = None,
        file_client_args: dict[str, Any] | None = None,
        filename_tmpl: str | None = None,
        backend_args: dict[str, Any] | None = None,
        published_keys: str | list[str] | None = None,
        save_begin: Annotated[int, at_least(0)] = 0,
    ) -> None:
        if out_dir is not None:
            raise ConfigError(f"{KEY}.out_dir: checkpoints lie where checkpoint_store=dict(url={out_dir!r}) says")
        self.interval = interval
        self.by_epoch = by_epoch
        self.max_keep_ckpts = max_keep_ckpts
        self.save_last = save_last
        self.save_begin = save_begin
        self.metrics = _metrics(_listed(save_best))
        greater = GREATER_KEYS if greater_keys is None else _listed(greater_keys)
        less = LESS_KEYS if less_keys is None else _listed(less_keys)
        self.rules: list[Rule | None] = [
            given or guess_rule(metric, greater, less)
            for given, metric in zip(_rules(rule, len(self.metrics)), self.metrics, strict=True)
        ]
        self.published_keys = _listed(published_keys)
        if published_keys is not None:
            check_published_keys(self.published_keys, f"{KEY}.published_keys")
            if not save_last and not self.metrics:
                raise ConfigError(f"{KEY}.published_keys: without save_last or save_best nothing is published")
        self.best: dict[str, tuple[float, int]] = {}
        whole = "a checkpoint always holds the whole state, so that it can be resumed"
        ignored = {
            f"save_optimizer changes nothing: {whole}": not save_optimizer,
            f"save_param_scheduler changes nothing: {whole}": not save_param_scheduler,
            "filename_tmpl changes nothing: checkpoints are named iter_<n>": filename_tmpl is not None,
            "file_client_args changes nothing; use the section checkpoint_store": file_client_args is not None,
            "backend_args changes nothing; use the section checkpoint_store": backend_args is not None,
        }
        self.notes = tuple(f"{KEY}.{line}" for line, is_given in ignored.items() if is_given)

    def check(self, runner: Runner) -> None:
        """Refuse to count epochs in an iteration loop, and a best by a metric that no validation gives."""
        if self.by_epoch and not runner.loop.by_epoch:
            raise ConfigError(f"{KEY}.by_epoch: True in an iteration loop would never save; use False")
        if self.metrics and runner.val_loop is None:
            raise ConfigError(f"{KEY}.save_best: there is no validation; give val_dataloader")
        if runner.val_loop is not None:
            known = runner.val_loop.metric_names()
            for metric in self.metrics:
                require_metric(metric, known, f"{KEY}.save_best")
        for rule, metric in zip(self.rules, self.metrics, strict=True):
            require_rule(rule, metric, f"{KEY}.rule")

    def before_train(self, runner: Runner) -> None:
        """Settle what the interval counts; forget a best whose checkpoint is not in the store."""
        if self.by_epoch is None:
            self.by_epoch = runner.loop.by_epoch
        runner.checkpointer.max_keep = self.max_keep_ckpts if self.max_keep_ckpts > 0 else None
        if self.best:
            pins = distributed.on_rank0(runner.checkpointer.store.pins, runner.control.group)
            self.best = {metric: best for metric, best in self.best.items() if f"best_{metric}" in pins}
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
            require_metric(metric, metrics, f"{KEY}.save_best")
            value = metrics[metric]
            best, _ = self.best.get(metric, (None, 0))
            if math.isnan(value) or not is_better(value, best, require_rule(rule, metric, f"{KEY}.rule")):
                continue
            self.best[metric] = (value, runner.iter)
            runner.save_checkpoint(pin=f"best_{metric}")
            self._publish(runner, metric)

    def after_train(self, runner: Runner) -> None:
        """Publish the weights of a run that is finished."""
        if not self.published_keys or runner.failure is not None or not runner.loop.complete or runner.rank:
            return
        store = runner.checkpointer.store
        last = store.load("last")
        labels = {last.name: last} if self.save_last else {}
        for metric in self.best:
            best = store.load(f"best_{metric}")
            labels[f"best_{metric}_{best.name}"] = best
        for label, checkpoint in labels.items():
            path = publish_weights(checkpoint, label, runner.work_dir, self.published_keys)
            runner.publish.log(f"published {path.relative_to(runner.work_dir)}")

    def _publish(self, runner: Runner, metric: str) -> None:
        value, at_iter = self.best[metric]
        runner.publish.event("best", metric=metric, value=value, iter=at_iter)

    def state_dict(self) -> dict[str, Any]:
        """The best values so far, and their iterations."""
        return {"best": {metric: list(best) for metric, best in self.best.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the best values."""
        self.best = {metric: (value, at_iter) for metric, (value, at_iter) in state["best"].items()}


def _listed(given: str | list[str] | None) -> list[str]:
    return [given] if isinstance(given, str) else list(given or ())


def _metrics(names: list[str]) -> list[str]:
    if "auto" in names and len(names) > 1:
        raise ConfigError(f"{KEY}.save_best: 'auto' stands alone, found {names}")
    if len(names) != len(set(names)):
        raise ConfigError(f"{KEY}.save_best: {names} names one twice")
    return ["mIoU" if name == "auto" else name for name in names]


def _rules(rule: Rule | list[Rule] | None, count: int) -> list[Rule | None]:
    rules: list[Rule | None] = [*rule] if isinstance(rule, list) else [rule]
    if len(rules) == 1:
        return rules * count
    if len(rules) != count:
        raise ConfigError(f"{KEY}.rule: {len(rules)} rules for the {count} metrics of save_best")
    return rules
