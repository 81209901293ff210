"""What population based training changes: which dimensions, and what a donor's values become in the child."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from rayseg.config.search import Range
from rayseg.config.tree import walk
from rayseg.core.errors import ConfigError, did_you_mean
from rayseg.hooks.hyperparameter_schedule import SECTIONS
from rayseg.tuning.space import Dimension, Draw, Space, random_value

KEY = "tune.scheduler.perturb"


def perturbable(space: Space, names: Sequence[str] | None) -> list[Dimension]:
    """The ranges of the space that can change in mid-run.

    Args:
        names: of dimensions, or the key paths that they set; all that can when None.

    Raises:
        ConfigError: there is none, or a name is none of them.
    """
    fit = [one for one in space.all() if isinstance(one.leaf, Range) and _optimizer_keys(space, one)]
    if names is None and not fit:
        raise ConfigError(
            "tune.scheduler: PBT has nothing to perturb: no range such as loguniform(1e-4, 1e-2) is open below "
            f"{' or '.join(section.rstrip('.') for section in SECTIONS)}"
        )
    for name in names or ():
        _require_fit(name, space, fit)
    return [one for one in fit if names is None or not {one.name, *space.keys_of(one.name)}.isdisjoint(names)]


def _optimizer_keys(space: Space, dimension: Dimension) -> list[str]:
    return [key for key in space.keys_of(dimension.name) if key.startswith(SECTIONS)]


def _require_fit(name: str, space: Space, fit: Sequence[Dimension]) -> None:
    named = [one for one in space.all() if name == one.name or name in space.keys_of(one.name)]
    if not named:
        known = dict.fromkeys(key for one in fit for key in (one.name, *_optimizer_keys(space, one)))
        hint = did_you_mean(name, known) or f"; it takes {', '.join(known)}"
        raise ConfigError(f"{KEY}: no dimension {name!r}{hint}")
    if not any(one in fit for one in named):
        why = f"is a {named[0].leaf.kind}" if _optimizer_keys(space, named[0]) else "is no value of the optimizer"
        raise ConfigError(
            f"{KEY}: {name!r} {why}; what can change in mid-run are ranges below "
            f"{' and '.join(section.rstrip('.') for section in SECTIONS)}"
        )


@dataclass(frozen=True)
class Explorer:
    """Gives the values of a child.

    Attributes:
        dimensions: those that change.
        resample_probability: of a fresh draw; a value is else multiplied.
        factors: one of them, at random.
    """

    dimensions: Sequence[Dimension]
    resample_probability: float
    factors: Sequence[float]

    def explore(self, draw: Mapping[str, Any], rng: Random) -> Draw:
        """New values, inside their ranges, for the dimensions that change and are open in ``draw``; by name."""
        return {one.name: self._explored(one, draw[one.name], rng) for one in self.dimensions if one.name in draw}

    def _explored(self, dimension: Dimension, value: float, rng: Random) -> Any:
        if rng.random() < self.resample_probability:
            return random_value(dimension, rng)
        assert isinstance(dimension.leaf, Range)
        factor = rng.choice(list(self.factors))
        if (steps := dimension.values) is not None:
            return _step(list(steps), value, factor)
        low, high = dimension.leaf.extremes()
        return min(max(value * factor, low), high)


def _step(steps: Sequence[Any], value: float, factor: float) -> Any:
    """Of whole numbers and multiples the nearest one, which is another one unless the range ends here."""

    def nearest(wanted: float) -> int:
        return min(range(len(steps)), key=lambda index: abs(steps[index] - wanted))

    here, there = nearest(value), nearest(value * factor)
    if here == there and factor != 1:
        there = min(max(here + (1 if value * factor > value else -1), 0), len(steps) - 1)
    return steps[there]


def by_key(space: Space, base: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Values by the key paths that they set in the config of the draw ``base``."""
    leaves = {path for path, _ in walk(space.config_of(base))}
    return {
        key: value
        for name, value in values.items()
        for key in space.keys_of(name)
        if key in leaves and key.startswith(SECTIONS)
    }
