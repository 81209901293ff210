"""The schedules along cosines: annealing, restarts, one cycle.

``t`` is the count since ``begin``, ``lr`` what the schedules before give.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any, ClassVar, Literal

from rayseg.core.errors import ConfigError
from rayseg.optim.schedule import LoweredScheduler, ParamScheduler, ScheduleChain


@dataclass(kw_only=True, eq=False, repr=False)
class CosineAnnealingLR(LoweredScheduler):
    """``eta_min + (lr - eta_min) * (1 + cos(pi * t / T_max)) / 2`` (SGDR, Loshchilov and Hutter 2017, no restarts).

    The last step of the window is one before the lowest point, as in MM.

    Args:
        T_max: counts until the lowest point, after which it rises again; the window's length when None. Like
            ``end``, one that reaches to the run's end moves with it.
        eta_min: the last value, of every group alike; 0 when neither is given. It may lie above the first.
        eta_min_ratio: the same as a multiple of the group's initial value.
    """

    T_max: int | None = None

    counted: ClassVar[tuple[str, ...]] = ("T_max",)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.T_max is not None and self.T_max < 1:
            self.refuse("T_max", "at least 1")

    def at(self, step: int) -> tuple[float, float]:
        """What is left of the way down."""
        return 1.0, _half_cosine(step / self.spanning(self.T_max))


@dataclass(kw_only=True, eq=False, repr=False)
class CosineRestartLR(LoweredScheduler):
    """``eta_min + (lr * weight - eta_min) * (1 + cos(pi * t / period)) / 2``, ``t`` counted from each period's start.

    After the last period the learning rate stays. Source: SGDR, Loshchilov and Hutter 2017.

    Args:
        periods: counts of each period.
        restart_weights: the weight of each period, as many.
        eta_min: the last value, of every group alike; 0 when neither is given. It may lie above the first.
        eta_min_ratio: the same as a multiple of the group's initial value.
    """

    periods: list[int]
    restart_weights: list[float] | tuple[float, ...] = (1.0,)

    counted: ClassVar[tuple[str, ...]] = ("periods",)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.periods or min(self.periods) < 1:
            self.refuse("periods", "one or more counts of at least 1")
        if len(self.restart_weights) != len(self.periods):
            self.refuse("restart_weights", f"{len(self.periods)} of them, one for each period")

    def at(self, step: int) -> tuple[float, float]:
        """The period's weight, and what is left of its way down."""
        ends = list(accumulate(self.periods))
        step = min(step, ends[-1] - 1)
        index = bisect_right(ends, step)
        since = step - (ends[index] - self.periods[index])
        return self.restart_weights[index], _half_cosine(since / self.periods[index])


@dataclass(kw_only=True, eq=False, repr=False)
class OneCycleLR(ParamScheduler):
    """Up from ``eta_max / div_factor`` to ``eta_max``, then down to ``eta_max / div_factor / final_div_factor``.

    Source: Smith and Topin, Super-Convergence, 2018, with the two phases of fastai.

    Args:
        eta_max: the peak, above 0, of a group with the optimizer's ``lr``; a group whose lr is a multiple of it keeps
            that multiple. A list has the peak of each group. None takes the optimizer's ``lr`` as the peak.
        total_steps: counts of the whole cycle; the window's length when None. Like ``end``, one that reaches to the
            run's end moves with it.
        pct_start: the part of the cycle that rises, from 0 to 1.
        anneal_strategy: the shape of each phase.
        div_factor: the peak over the first learning rate.
        final_div_factor: the first learning rate over the last.
        three_phase: come down to the first learning rate as fast as up, then on to the last.
    """

    eta_max: float | list[float] | None = None
    total_steps: int | None = None
    pct_start: float = 0.3
    anneal_strategy: Literal["cos", "linear"] = "cos"
    div_factor: float = 25.0
    final_div_factor: float = 1e4
    three_phase: bool = False

    counted: ClassVar[tuple[str, ...]] = ("total_steps",)

    def __post_init__(self) -> None:
        super().__post_init__()
        peaks = self.eta_max if isinstance(self.eta_max, list | tuple) else [self.eta_max]
        if any(peak is not None and not peak > 0 for peak in peaks):
            self.refuse("eta_max", "a number above 0")
        for name in ("div_factor", "final_div_factor"):
            if not getattr(self, name) > 0:
                self.refuse(name, "a number above 0")
        if self.total_steps is not None and self.total_steps < 1:
            self.refuse("total_steps", "at least 1")
        if not 0 <= self.pct_start <= 1:
            self.refuse("pct_start", "a number from 0 to 1")

    def bound(self, chain: ScheduleChain, **run: Any) -> ParamScheduler:
        """ParamScheduler's, with the optimizer's lr, of which groups are multiples."""
        groups = len(chain.optimizer.param_groups)
        if isinstance(self.eta_max, list | tuple) and len(self.eta_max) != groups:
            self.refuse("eta_max", f"a number, or {groups} of them, one for each parameter group")
        self._base_lr = float(chain.optimizer.defaults["lr"])
        if not self._base_lr > 0:
            raise ConfigError(f"OneCycleLR: the optimizer's lr must be above 0, found {self._base_lr!r}")
        return super().bound(chain, **run)

    def at(self, step: int) -> tuple[float, float]:
        """The cycle over its peak."""
        return self.cycle(step), 1.0

    def transform(self, value: float, base: float, index: int) -> float:
        """The group's peak times the cycle, and what the schedules before did to its first value."""
        if isinstance(self.eta_max, list | tuple):
            changed = value / base if base else 1.0
            return changed * self.eta_max[index] * self._scale
        peak_over_base = 1.0 if self.eta_max is None else self.eta_max / self._base_lr
        return value * peak_over_base * self._scale

    def misfit(self) -> str | None:
        """ParamScheduler's, or that the cycle is longer or shorter than the window."""
        total = self.spanning(self.total_steps)
        if (found := super().misfit()) or total == self.length:
            return found
        outcome = "is cut off" if total > self.length else "ends early"
        return f"has total_steps={total} in a window of {self.length} {self.unit}s, so it {outcome}"

    def cycle(self, step: int) -> float:
        """The cycle, whose peak is 1."""
        first = 1.0 / self.div_factor
        last = first / self.final_div_factor
        total = self.spanning(self.total_steps)
        top = self.pct_start * total - 1
        corners = [(0.0, first), (top, 1.0), (total - 1.0, last)]
        if self.three_phase:
            corners.insert(2, (2 * top, first))
        step = min(step, total - 1)
        for (start, from_share), (stop, to_share) in pairwise(corners):
            if step <= stop or stop == corners[-1][0]:
                progress = (step - start) / (stop - start) if stop != start else 1.0
                return self._between(from_share, to_share, progress)
        return last

    def _between(self, first: float, last: float, progress: float) -> float:
        share = progress if self.anneal_strategy == "linear" else 1.0 - _half_cosine(progress)
        return first + (last - first) * share


def _half_cosine(progress: float) -> float:
    """From 1 at 0 down to 0 at 1, along a cosine."""
    return (1.0 + math.cos(math.pi * progress)) / 2.0
