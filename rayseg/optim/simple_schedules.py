"""The schedules with a one-line formula: constant, linear, exponential, steps, polynomial.

``t`` is the count since ``begin``, ``n`` the length of the window, ``lr`` what the schedules before give.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import ClassVar

from rayseg.optim.schedule import LoweredScheduler, ParamScheduler


@dataclass(kw_only=True, eq=False, repr=False)
class ConstantLR(ParamScheduler):
    """``lr * factor`` until the window's last step, which is ``lr`` again.

    Args:
        factor: from 0 to 1.
    """

    factor: float = 1.0 / 3

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.factor <= 1:
            self.refuse("factor", "a number from 0 to 1")

    def at(self, step: int) -> tuple[float, float]:
        """The factor, and 1 at the end."""
        return (self.factor if step < self.length - 1 else 1.0), 1.0


@dataclass(kw_only=True, eq=False, repr=False)
class LinearLR(ParamScheduler):
    """``lr * (start_factor + (end_factor - start_factor) * t / (n - 1))``: a warm-up, as a rule.

    Args:
        start_factor: from 0 to 1.
        end_factor: from 0 to 1; holds after the window.
    """

    start_factor: float = 1.0 / 3
    end_factor: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("start_factor", "end_factor"):
            if not 0 <= getattr(self, name) <= 1:
                self.refuse(name, "a number from 0 to 1")

    def at(self, step: int) -> tuple[float, float]:
        """The factor on the line."""
        if step == 0:
            return self.start_factor, 1.0
        progress = step / (self.length - 1)
        return self.start_factor * (1.0 - progress) + self.end_factor * progress, 1.0


@dataclass(kw_only=True, eq=False, repr=False)
class ExponentialLR(ParamScheduler):
    """``lr * gamma ** t``.

    Args:
        gamma: the factor of each count.
    """

    gamma: float

    def at(self, step: int) -> tuple[float, float]:
        """The power of gamma."""
        return self.gamma**step, 1.0


@dataclass(kw_only=True, eq=False, repr=False)
class StepLR(ParamScheduler):
    """``lr * gamma ** (t // step_size)``.

    Args:
        step_size: counts between two drops, at least 1.
        gamma: the factor of each drop.
    """

    step_size: int
    gamma: float = 0.1

    counted: ClassVar[tuple[str, ...]] = ("step_size",)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.step_size < 1:
            self.refuse("step_size", "at least 1")

    def at(self, step: int) -> tuple[float, float]:
        """The power of gamma."""
        return self.gamma ** (step // self.step_size), 1.0


@dataclass(kw_only=True, eq=False, repr=False)
class MultiStepLR(ParamScheduler):
    """``lr * gamma ** (number of milestones that are at most t)``.

    Args:
        milestones: counts since ``begin``; one that stands twice counts twice.
        gamma: the factor of each milestone.
    """

    milestones: list[int]
    gamma: float = 0.1

    counted: ClassVar[tuple[str, ...]] = ("milestones",)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.milestones = sorted(self.milestones)

    def at(self, step: int) -> tuple[float, float]:
        """The power of gamma."""
        return self.gamma ** bisect_right(self.milestones, step), 1.0

    def misfit(self) -> str | None:
        """ParamScheduler's, or that no milestone lies in the window."""
        if (found := super().misfit()) or any(milestone < self.length for milestone in self.milestones):
            return found
        where = f"in a window of {self.length} {self.unit}s"
        return f"has milestones={self.milestones} {where}, so it never changes the {self.param_name}"


@dataclass(kw_only=True, eq=False, repr=False)
class PolyLR(LoweredScheduler):
    """``eta_min + (lr - eta_min) * (1 - t / (n - 1)) ** power``; the window's last step has ``eta_min``.

    Args:
        eta_min: the last value, of every group alike; 0 when neither is given. It may lie above the first.
        eta_min_ratio: the same as a multiple of the group's initial value.
        power: 1 is a line.
    """

    power: float = 1.0

    def at(self, step: int) -> tuple[float, float]:
        """What is left of the way down."""
        return 1.0, (1.0 - step / (self.length - 1)) ** self.power if step else 1.0


class PolyLRRatio(PolyLR):
    """PolyLR under MMSegmentation's name for it with ``eta_min_ratio``."""
