"""The numbers of a parameter group that a schedule may set, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch.optim import Optimizer

from rayseg.core.errors import ConfigError, did_you_mean


def group_value(group: Mapping[str, Any], name: str) -> float:
    """A group's number; ``momentum`` is ``betas[0]`` in Adam's family.

    Raises:
        KeyError: the group has no such number.
    """
    if name == "momentum" and name not in group:
        return float(group["betas"][0])
    return float(group[name])


def set_group_value(group: dict[str, Any], name: str, value: float) -> None:
    """Set a group's number; ``momentum`` sets ``betas[0]`` in Adam's family."""
    if name == "momentum" and name not in group:
        group["betas"] = (value, *group["betas"][1:])
    else:
        group[name] = value


def has_value(group: Mapping[str, Any], name: str) -> bool:
    """Whether a group has a number of that name."""
    if name == "momentum" and name not in group:
        return bool(group.get("betas"))
    value = group.get(name)
    return isinstance(value, int | float) and not isinstance(value, bool)


def moved(value: Any, old: Any, new: Any) -> Any:
    """``value`` after its origin went from ``old`` to ``new``: that, or the same multiple of it as before."""
    if isinstance(new, tuple | list):
        return tuple(moved(*each) for each in zip(value, old, new, strict=True))
    return value * (new / old) if old and value != old else new


def require_value(optimizer: Optimizer, name: str, schedule: str) -> None:
    """Refuse to schedule what the optimizer has not, or what is 0 in every group so that no factor could change it.

    Raises:
        ConfigError: the message names the schedule and the numbers that there are.
    """
    groups: Sequence[dict[str, Any]] = optimizer.param_groups
    kind = type(optimizer).__name__
    if not all(has_value(group, name) for group in groups):
        known = [key for key in groups[0] if has_value(groups[0], key) and not key.startswith("initial_")]
        if "momentum" not in known and has_value(groups[0], "momentum"):
            known.append("momentum")
        hint = did_you_mean(name, known) or f"; it has {', '.join(known)}"
        raise ConfigError(f"{schedule}: {kind} has no {name!r} to schedule{hint}")
    if name != "lr" and not any(group_value(group, name) for group in groups):
        raise ConfigError(f"{schedule}: {kind}'s {name} is 0 in every group, so a schedule of it would change nothing")
