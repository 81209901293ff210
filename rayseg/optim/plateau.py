"""ReduceOnPlateauLR: smaller steps when a metric of the validation no longer gets better."""

from __future__ import annotations

import copy
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rayseg.core.errors import ConfigError, did_you_mean
from rayseg.optim.group_values import group_value
from rayseg.optim.schedule import ParamScheduler, ScheduleChain

LOWER_IS_BETTER = ("loss", "error", "time")


@dataclass(kw_only=True, eq=False, repr=False)
class ReduceOnPlateauLR(ParamScheduler):
    """``lr * factor`` after more than ``patience`` validations in a row without a better metric; never below a minimum.

    Acts after validations, between ``begin`` and ``end``; the semantics are those of MM, of torch's
    ReduceLROnPlateau.

    Args:
        monitor: the metric, as a validation logs it.
        rule: whether less or more of it is better; guessed from the name when None: ``less`` for losses, errors and
            times. (MM's is ``less`` for all.)
        factor: of each reduction, from 0 to below 1.
        patience: validations without a better metric that change nothing yet.
        threshold: what makes a metric better: by this part of the best, or by this much.
        threshold_rule: ``rel`` or ``abs``.
        cooldown: validations after a reduction that do not count.
        min_value: below which nothing is reduced, one for all groups or one for each.
        eps: a reduction by less is left out.
    """

    monitor: str = "mIoU"
    rule: Literal["less", "greater"] | None = None
    factor: float = 0.1
    patience: int = 10
    threshold: float = 1e-4
    threshold_rule: Literal["rel", "abs"] = "rel"
    cooldown: int = 0
    min_value: float | list[float] = 0.0
    eps: float = 1e-8

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.factor < 1:
            self.refuse("factor", "a number from 0 to below 1")
        for name in ("patience", "threshold", "cooldown"):
            if getattr(self, name) < 0:
                self.refuse(name, "at least 0")
        if self.rule is None:
            is_loss = any(word in self.monitor.lower() for word in LOWER_IS_BETTER)
            self.rule = "less" if is_loss else "greater"
        self.best: float | None = None
        self.bad_count = 0
        self.cooling = 0
        self.reductions: list[int] = []

    def bound(self, chain: ScheduleChain, **run: Any) -> ParamScheduler:
        """ParamScheduler's; epochs may be said in an iteration loop as long as no window is."""
        groups = len(chain.optimizer.param_groups)
        if isinstance(self.min_value, list | tuple) and len(self.min_value) != groups:
            self.refuse("min_value", f"a number, or {groups} of them, one for each parameter group")
        unbound = copy.copy(self)
        if not (self.begin or self.end is not None or self.convert_to_iter_based):
            unbound.by_epoch = None
        mine = super(ReduceOnPlateauLR, unbound).bound(chain, **run)
        assert isinstance(mine, ReduceOnPlateauLR)
        mine.reductions = [0] * groups
        return mine

    def at(self, step: int) -> tuple[float, float]:
        """Nothing: metrics decide, not counts."""
        return 1.0, 1.0

    def transform(self, value: float, base: float, index: int) -> float:
        """The value after the group's reductions."""
        if index >= len(self.reductions) or not self.reductions[index]:
            return value
        return max(value * self.factor ** self.reductions[index], self._minimum(index))

    def observe(self, metrics: Mapping[str, float]) -> None:
        """Judge a validation, and reduce when patience is at its end.

        Raises:
            ConfigError: the validation has no such metric.
        """
        if not self.begin <= self.count or (self.end is not None and self.count >= self._end):
            return
        self.require_metric(metrics.keys())
        metric = float(metrics[self.monitor])
        if self._is_better(metric):
            self.best, self.bad_count = metric, 0
        else:
            self.bad_count += 1
        if self.cooling:
            self.cooling -= 1
            self.bad_count = 0
        if self.bad_count > self.patience:
            self._reduce()
            self.cooling, self.bad_count = self.cooldown, 0

    def require_metric(self, names: Collection[str]) -> None:
        """Refuse a ``monitor`` that is not among the names of metrics.

        Raises:
            ConfigError: the message has the names.
        """
        if self.monitor not in names:
            hint = did_you_mean(self.monitor, names) or f"; it has {', '.join(sorted(names))}"
            raise ConfigError(f"{type(self).__name__}.monitor: no metric {self.monitor!r} in the validation{hint}")

    def _is_better(self, metric: float) -> bool:
        if self.best is None:
            return not math.isnan(metric)
        sign = -1.0 if self.rule == "less" else 1.0
        if self.threshold_rule == "rel":
            return sign * metric > sign * (self.best * (1.0 + sign * self.threshold))
        return sign * metric > sign * (self.best + sign * self.threshold)

    def _reduce(self) -> None:
        for index, group in enumerate(self._chain.optimizer.param_groups[: len(self.reductions)]):
            value = group_value(group, self.param_name)
            if value - max(value * self.factor, self._minimum(index)) > self.eps:
                self.reductions[index] += 1
        self._chain.apply()

    def _minimum(self, index: int) -> float:
        return self.min_value[index] if isinstance(self.min_value, list | tuple) else self.min_value

    def state_dict(self) -> dict[str, Any]:
        """ParamScheduler's, and what the metrics said so far."""
        judged = {"best": self.best, "bad_count": self.bad_count, "cooling": self.cooling}
        return {**super().state_dict(), **judged, "reductions": list(self.reductions)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self.best, self.bad_count, self.cooling = state["best"], state["bad_count"], state["cooling"]
        self.reductions = list(state["reductions"])
        super().load_state_dict(state)
