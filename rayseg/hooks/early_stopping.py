"""EarlyStoppingHook: ends the training when a metric has not improved for a while."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

from rayseg.config.markers import at_least
from rayseg.core.errors import ConfigError, RaysegError
from rayseg.engine.hook import Hook
from rayseg.hooks.rules import Rule, guess_rule, is_better, require_metric, require_rule

if TYPE_CHECKING:
    from rayseg.engine.runner import Runner

LARGE_DELTA = 0.05


class EarlyStoppingHook(Hook):
    """Looks at one metric of each validation; the run then ends as finished, with its last checkpoint saved.

    All ranks end after the same iteration. A run that was ended so has nothing left to train when it is resumed.

    Args:
        monitor: the metric. Scores are fractions here: 0.8, not 80.
        rule: whether ``greater`` or ``less`` is better; guessed from the metric's name when None.
        min_delta: a change by less is no improvement. A thousandth is what MM's 0.1 is in percent.
        strict: a validation without the metric is an error instead of one warning.
        check_finite: end when the metric is no finite number; else such a value is no improvement.
        patience: validations without improvement, one after another, that end the training.
        stopping_threshold: a metric that is better than this ends the training too.
    """

    priority = "LOWEST"

    def __init__(
        self,
        monitor: str,
        rule: Rule | None = None,
        min_delta: Annotated[float, at_least(0)] = 0.001,
        strict: bool = False,
        check_finite: bool = True,
        patience: Annotated[int, at_least(1)] = 5,
        stopping_threshold: float | None = None,
    ) -> None:
        self.monitor = monitor
        self.rule = rule or guess_rule(monitor)
        self.min_delta = min_delta
        self.strict = strict
        self.check_finite = check_finite
        self.patience = patience
        self.stopping_threshold = stopping_threshold
        self.best: float | None = None
        self.waited = 0
        self._has_warned = False
        is_score = self.rule == "greater"
        if is_score and stopping_threshold is not None and stopping_threshold > 1:
            raise ConfigError(
                f"EarlyStoppingHook.stopping_threshold: {monitor} is a fraction, at most 1, found {stopping_threshold}"
            )
        if is_score and min_delta >= LARGE_DELTA:
            self.notes = (
                f"EarlyStoppingHook.min_delta={min_delta:g} asks for {min_delta * 100:g} % more of {monitor} each time",
            )

    def check(self, runner: Runner) -> None:
        """Refuse a run without validation, and a metric that none gives."""
        if runner.val_loop is None:
            raise ConfigError("EarlyStoppingHook: there is no validation to look at; give val_dataloader")
        require_metric(self.monitor, runner.val_loop.metric_names(), "EarlyStoppingHook.monitor")
        require_rule(self.rule, self.monitor, "EarlyStoppingHook.rule")

    def before_train(self, runner: Runner) -> None:
        """Warn of a margin that looks like percent."""
        for note in self.notes:
            runner.publish.warning(note)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Decide; every rank has the same metrics and so the same answer."""
        if metrics is None or runner.train_loop is None:
            return
        if self.monitor not in metrics:
            self._miss(runner)
        elif (reason := self.reason_to_stop(metrics[self.monitor])) is not None:
            runner.loop.end_early(reason)

    def reason_to_stop(self, value: float) -> str | None:
        """Take a new value in; why the training should end now, or None."""
        threshold, rule = self.stopping_threshold, require_rule(self.rule, self.monitor, "EarlyStoppingHook.rule")
        if self.check_finite and not math.isfinite(value):
            return f"EarlyStoppingHook: {self.monitor} is {value}, the best was {self.best}"
        if threshold is not None and is_better(value, threshold, rule):
            self.best = value
            return f"EarlyStoppingHook: {self.monitor} {value:.4f} is {rule} than {threshold:g}"
        if self._improved(value):
            self.best, self.waited = value, 0
            return None
        self.waited += 1
        if self.waited < self.patience:
            return None
        best = "none" if self.best is None else f"{self.best:.4f}"
        return f"EarlyStoppingHook: {self.monitor} did not improve in {self.waited} validations; the best was {best}"

    def _improved(self, value: float) -> bool:
        """Whether the value is at least ``min_delta`` better than the best; an equal one counts without a margin."""
        if math.isnan(value):
            return False
        if self.best is None:
            return True
        if self.rule == "greater":
            return not self.best + self.min_delta > value
        return not self.best - self.min_delta < value

    def _miss(self, runner: Runner) -> None:
        message = f"EarlyStoppingHook.monitor: the validation gave no {self.monitor!r}"
        if self.strict:
            raise RaysegError(message)
        if not self._has_warned:
            self._has_warned = True
            runner.publish.warning(f"{message}; nothing is stopped while it is missing")

    def state_dict(self) -> dict[str, Any]:
        """The best value, and how long it has stood."""
        return {"best": self.best, "waited": self.waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore both."""
        self.best, self.waited = state["best"], state["waited"]
