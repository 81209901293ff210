"""What every schedule shares: its window, its counter, and how schedules of one number act together.

A schedule sets one number of every parameter group: the learning rate, the momentum, the weight decay. It is a pure
function of a counter. Inside its window it turns the value that the schedules before it give (at first the group's
``initial_lr``, ``initial_momentum`` ...) into its own; after the window it goes on as at the window's last step;
before it, it does nothing. So schedules multiply, one after the other in the order in which their windows begin.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from torch.optim import Optimizer

from rayseg.core.errors import ConfigError
from rayseg.optim.group_values import group_value, moved, require_value, set_group_value


@dataclass(kw_only=True, eq=False)
class ParamScheduler:
    """Base of the schedules; a subclass is a dataclass that says ``at``, and ``floor`` where it has one.

    A hook may set ``group['lr']`` itself: the next step of a schedule keeps the change as a multiple.

    Attributes:
        param_name: the number that is scheduled; an argument of the ``...ParamScheduler`` classes, given by the
            others' names. ``momentum`` is ``betas[0]`` in Adam's family. A group whose weight decay is 0 keeps 0.

    Args:
        begin: the count (iterations or epochs) at which the window begins.
        end: the count at which it ends, itself outside; the end of the run when None. An ``end`` that is the run's
            end moves with it when a resume changes ``max_iters``.
        by_epoch: count epochs, not iterations; None is what the training loop counts.
        convert_to_iter_based: every number here is in epochs, and the schedule yet acts each iteration.
        last_step: the count that lies behind, for a run that goes on without a saved state; -1 at its start.
        verbose: MM's; changes nothing, what is scheduled is in every line of the log.
    """

    param_name: str = field(init=False, repr=False, default="lr")
    begin: int = 0
    end: int | None = None
    by_epoch: bool | None = None
    convert_to_iter_based: bool = False
    last_step: int = -1
    verbose: bool = False

    _chain: ScheduleChain = field(init=False, repr=False)
    _run_end: int = field(init=False, repr=False)
    _planned_end: int = field(init=False, repr=False)

    counted: ClassVar[tuple[str, ...]] = ()
    """Fields besides ``begin`` and ``end`` that are counts, or lists of counts."""

    def __post_init__(self) -> None:
        self.count = self.last_step + 1
        if self.begin < 0:
            self.refuse("begin", "at least 0")
        if self.end is not None and self.end <= self.begin:
            self.refuse("end", f"more than begin={self.begin}")

    def at(self, step: int) -> tuple[float, float]:
        """What happens ``step`` counts after ``begin``, ``0 <= step < length``.

        Returns:
            ``(scale, shrink)``: the value is multiplied by ``scale``, then its distance from the floor by ``shrink``.
        """
        raise NotImplementedError

    def floor(self, base: float) -> float:
        """Where ``shrink`` leads: a value, for a group whose initial one is ``base``."""
        return 0.0

    def transform(self, value: float, base: float, index: int) -> float:
        """What this schedule makes of a value at its present count.

        Args:
            value: what the schedules before it give.
            base: the group's initial value.
            index: the group's position.
        """
        value *= self._scale
        if self._shrink != 1.0:
            low = self.floor(base)
            value = low + (value - low) * self._shrink
        return value

    def observe(self, metrics: Mapping[str, float]) -> None:
        """Learn of a validation during training; only schedules that follow a metric care."""

    @property
    def chain(self) -> ScheduleChain:
        """The schedules of the same number, of one that belongs to a run."""
        return self._chain

    @property
    def length(self) -> int:
        """Counts in the window."""
        return self._end - self.begin

    def misfit(self) -> str | None:
        """How the schedule, of one that belongs to a run, does not fit it; None where it does.

        Returns:
            What follows the schedule's name in a sentence.
        """
        if self.begin >= self._run_end:
            return f"begins at {self.unit} {self.begin}, so it never acts: the run has {self._run_end}"
        if self.end is not None and self.end > self._run_end:
            return f"ends at {self.unit} {self.end}, so it is cut off: the run has {self._run_end}"
        return None

    @property
    def unit(self) -> str:
        """What it counts, of one that belongs to a run: ``epoch`` or ``iteration``."""
        return "epoch" if self.by_epoch else "iteration"

    def spanning(self, given: int | None) -> int:
        """A length that is the window's when not given, and moves with the run's end when it reached to it."""
        if given is None:
            return self.length
        return self._run_end - self.begin if given == self._planned_end - self.begin else given

    def refuse(self, name: str, expected: str) -> None:
        """Raise a ConfigError about one argument."""
        raise ConfigError(f"{type(self).__name__}.{name}: expected {expected}, found {getattr(self, name)!r}")

    def bound(self, chain: ScheduleChain, *, epoch_length: int, max_iters: int, by_epoch_loop: bool) -> ParamScheduler:
        """A copy that belongs to a run.

        Raises:
            ConfigError: it counts epochs where the loop counts iterations, or the optimizer lacks ``param_name``.
        """
        require_value(chain.optimizer, self.param_name, type(self).__name__)
        mine = copy.copy(self)
        if self.convert_to_iter_based:
            if self.by_epoch is False:
                self.refuse("by_epoch", "True beside convert_to_iter_based=True, whose numbers are epochs")
            mine._convert(epoch_length)
        elif self.by_epoch is None:
            mine.by_epoch = by_epoch_loop
        elif self.by_epoch and not by_epoch_loop:
            self.refuse("by_epoch", "False, or convert_to_iter_based=True: an iteration loop has no epochs to count")
        mine._chain = chain
        mine._run_end = mine._planned_end = -(-max_iters // epoch_length) if mine.by_epoch else max_iters
        mine._settle()
        return mine

    def _convert(self, epoch_length: int) -> None:
        self.by_epoch = False
        for name in ("begin", "end", *self.counted):
            value = getattr(self, name)
            if isinstance(value, Sequence):
                setattr(self, name, [item * epoch_length for item in value])
            elif value is not None:
                setattr(self, name, value * epoch_length)

    def _settle(self) -> None:
        """Find the window's end and what happens at the present count."""
        end = self._run_end if self.end is None or self.end == self._planned_end else self.end
        self._end = max(end, self.begin + 1)
        self.started = self.count >= self.begin
        self._scale, self._shrink = self.at(min(self.count, self._end - 1) - self.begin) if self.started else (1.0, 1.0)

    def step(self) -> None:
        """Count one iteration or epoch, and set the values for the next inside the window."""
        self.count += 1
        if self.begin <= self.count < self._end:
            self.started = True
            self._scale, self._shrink = self.at(self.count - self.begin)
            self._chain.apply()

    def get_last_value(self) -> list[float]:
        """The present value of each group, as MM's schedules give it."""
        return [group_value(group, self.param_name) for group in self._chain.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """The counter, and the ends that the run had when it began and has now."""
        return {"count": self.count, "planned_end": self._planned_end, "run_end": self._run_end}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state; the optimizer's must be loaded before, the other schedules' may be before or after."""
        self.count = state["count"]
        self._planned_end = state["planned_end"]
        self._settle()
        self._chain.resume(run_changed=state["run_end"] != self._run_end)

    def __repr__(self) -> str:
        shown = ", ".join(f"{item.name}={getattr(self, item.name)!r}" for item in fields(self) if item.init)
        return f"{type(self).__name__}({shown})"


@dataclass(kw_only=True, eq=False, repr=False)
class LoweredScheduler(ParamScheduler):
    """Base of the schedules that lead to a value: a minimum, as a rule.

    Args:
        eta_min: the last value, of every group alike; 0 when neither is given. It may lie above the first.
        eta_min_ratio: the same as a multiple of the group's initial value.
    """

    eta_min: float | None = None
    eta_min_ratio: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.eta_min is not None and self.eta_min_ratio is not None:
            self.refuse("eta_min_ratio", "None beside eta_min")

    def floor(self, base: float) -> float:
        """``eta_min``, or ``eta_min_ratio`` of the base."""
        return base * self.eta_min_ratio if self.eta_min_ratio is not None else self.eta_min or 0.0


class ScheduleChain:
    """The schedules of one number of an optimizer's groups together.

    Args:
        optimizer: its groups' values are set; ``initial_lr`` (or ``initial_`` and another name) is where the
            schedules begin from.
        param_name: the number.
    """

    def __init__(self, optimizer: Optimizer, param_name: str = "lr") -> None:
        self.optimizer = optimizer
        self.param_name = param_name
        self.schedulers: list[ParamScheduler] = []
        self._initial = f"initial_{param_name}"
        self._written: list[float] = []
        self._run_changed = False

    def start(self, schedulers: Sequence[ParamScheduler]) -> None:
        """Take the schedules, and set the values of the first count."""
        self.schedulers = sorted(schedulers, key=lambda scheduler: scheduler.begin)
        self._write()

    def apply(self) -> None:
        """Set the values, keeping what others did to them since as a change of the initial ones."""
        self._keep_changes()
        self._write()

    def rebase(self, index: int, old: float, new: float) -> None:
        """Let a group's schedules begin from another value, and set what they now give.

        Args:
            index: the group's position.
            old: the value that they began from, as the config said.
            new: what the config says now; what others did to the group stays, as a multiple.
        """
        self._keep_changes()
        group = self.optimizer.param_groups[index]
        group[self._initial] = moved(group[self._initial], old, new)
        self._write()

    def resume(self, run_changed: bool) -> None:
        """After a state was loaded: nothing is set unless the run's end moved, and with it the schedules."""
        self._run_changed |= run_changed
        if self._run_changed:
            self._write()
        else:
            self._written = self._values()

    def _keep_changes(self) -> None:
        for group, written in zip(self.optimizer.param_groups, self._written, strict=False):
            value = group_value(group, self.param_name)
            if value != written and written:
                group[self._initial] *= value / written

    def _write(self) -> None:
        self._written = self._values()
        for group, value in zip(self.optimizer.param_groups, self._written, strict=True):
            set_group_value(group, self.param_name, value)

    def _values(self) -> list[float]:
        return [self._value_of(group, index) for index, group in enumerate(self.optimizer.param_groups)]

    def _value_of(self, group: dict[str, Any], index: int) -> float:
        base: float = group.setdefault(self._initial, group_value(group, self.param_name))
        if self.param_name == "weight_decay" and base == 0:
            return base
        value = base
        for scheduler in self.schedulers:
            if scheduler.started:
                value = scheduler.transform(value, base, index)
        return value
