"""Another ``optim_wrapper`` section for an optimizer that is already at work: its groups get other numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.optim import Optimizer

from rayseg.core.errors import ConfigError
from rayseg.optim.build import build_optim_wrapper
from rayseg.optim.group_values import moved
from rayseg.optim.schedule import ParamScheduler, ScheduleChain

Options = Mapping[int, Mapping[str, Any]]


@dataclass(frozen=True)
class GroupChange:
    """A number of a parameter group that becomes another one.

    Attributes:
        index: the group's position.
        option: the group's key; ``betas`` and the like hold several numbers.
        old: what the first section gives.
        new: what the second one gives.
    """

    index: int
    option: str
    old: Any
    new: Any


def parameter_options(model: nn.Module, cfg: Mapping[str, Any]) -> Options:
    """The ``id`` of each parameter → the options that an ``optim_wrapper`` section gives it. The model is only read.

    Raises:
        ConfigError: what the section says cannot be built.
    """
    groups = build_optim_wrapper(model, cfg).optimizer.param_groups
    return {id(parameter): group for group in groups for parameter in group["params"]}


def group_changes(optimizer: Optimizer, before: Options, after: Options) -> list[GroupChange]:
    """What is to be changed in the groups of ``optimizer``, which keeps its groups and its state.

    Raises:
        ConfigError: the parameters of a group would get different numbers.
    """
    changes = []
    for index, group in enumerate(optimizer.param_groups):
        known = [id(parameter) for parameter in group["params"] if id(parameter) in before and id(parameter) in after]
        for option in _numbers(after[known[0]]) if known else ():
            pairs = list(dict.fromkeys((before[key].get(option), after[key].get(option)) for key in known))
            if all(old == new for old, new in pairs):
                continue
            if len(pairs) > 1:
                raise ConfigError(
                    f"the parameters of the group {group.get('name', index)!r} would get {len(pairs)} different "
                    f"values of {option}, {pairs[0][1]!r} and {pairs[1][1]!r} among them; the run began with one group "
                    "for them all, since their settings were equal then"
                )
            changes.append(GroupChange(index, option, *pairs[0]))
    return changes


def change_groups(optimizer: Optimizer, schedulers: Sequence[ParamScheduler], changes: Sequence[GroupChange]) -> None:
    """Make the changes. Schedules act on, from the new values; what hooks did to a value stays, as a multiple."""
    chains = {scheduler.param_name: scheduler.chain for scheduler in schedulers}
    for change in changes:
        _change(optimizer, chains, change)


def _change(optimizer: Optimizer, chains: Mapping[str, ScheduleChain], change: GroupChange) -> None:
    group, option = optimizer.param_groups[change.index], change.option
    if option in chains:
        chains[option].rebase(change.index, change.old, change.new)
    elif option == "betas" and "momentum" in chains:
        if change.old[0] != change.new[0]:
            chains["momentum"].rebase(change.index, change.old[0], change.new[0])
        others = moved(group["betas"][1:], change.old[1:], change.new[1:])
        group["betas"] = (group["betas"][0], *others)
    else:
        group[option] = moved(group[option], change.old, change.new)


def _numbers(group: Mapping[str, Any]) -> list[str]:
    return [name for name, value in group.items() if name != "params" and _is_number(value)]


def _is_number(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return bool(value) and all(_is_number(item) for item in value)
    return isinstance(value, int | float) and not isinstance(value, bool)
