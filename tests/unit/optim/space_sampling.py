"""Drawing configs from spaces at random, and whether a value is one that a space may give."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from typing import Any

from rayseg.config.overrides import apply_overrides
from rayseg.config.search import Choice, Range


def draw(value: Any, rng: random.Random) -> Any:
    """A value without leaves."""
    if isinstance(value, Choice):
        return draw(rng.choice(value.options), rng)
    if isinstance(value, Range):
        return _number(value, rng)
    if isinstance(value, Mapping):
        return {key: draw(item, rng) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(draw(item, rng) for item in value)
    return value


def draw_config(config: Mapping[str, Any], rng: random.Random) -> dict[str, Any]:
    """The sections drawn, then the variants over them."""
    drawn = {key: draw(section, rng) for key, section in config.items() if key != "variants"}
    for variant in config.get("variants", {}).values():
        drawn = apply_overrides(drawn, draw(variant, rng), {})
    return drawn


def contains(space: Any, value: Any) -> bool:
    """Whether a space may give a value without leaves, or holds a smaller space whole."""
    if isinstance(value, Choice):
        return all(contains(space, option) for option in value.options)
    if isinstance(value, Range):
        return all(contains(space, bound) for bound in value.extremes())
    if isinstance(space, Choice):
        return any(contains(option, value) for option in space.options)
    if isinstance(space, Range):
        low, high = space.extremes()
        return isinstance(value, int | float) and low <= value <= high
    if isinstance(space, Mapping) and isinstance(value, Mapping):
        return set(space) == set(value) and all(contains(space[key], item) for key, item in value.items())
    return type(space) is type(value) and bool(space == value)


def _number(leaf: Range, rng: random.Random) -> float:
    low, high = leaf.extremes()
    if leaf.kind == "randint":
        return rng.randint(int(low), int(high))
    if leaf.kind == "loguniform":
        return min(high, max(low, math.exp(rng.uniform(math.log(low), math.log(high)))))
    number = rng.uniform(low, high)
    return number if leaf.q is None else round(number / leaf.q) * leaf.q
