"""The dimensions of a sweep's space, and the axes that they are drawn on.

Dimensions of different branches that set the same key of the config share an axis, so that a learning rate is one axis
whichever optimizer was drawn. They do not where a trial has drawn two of them, or where their values differ in kind.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from rayseg.reporting.values import as_mapping, as_number, as_rows, as_text

NUMBERS = ("uniform", "loguniform", "quniform", "randint")
Draw = Mapping[str, Any]


@dataclass(frozen=True)
class Dimension:
    """One dimension of the space.

    Attributes:
        name: its key path, with ``[label]`` for each branch of a choice that it stands in.
        key: the config's key path that it sets.
        kind: ``uniform``, ``loguniform``, ``quniform``, ``randint``, ``choice`` or ``grid``.
        low, high: of a number; of ``randint`` the highest value that can be drawn.
        step: of ``quniform``; NaN for the others.
        options: of a choice, in order.
    """

    name: str
    key: str
    kind: str
    low: float = math.nan
    high: float = math.nan
    step: float = math.nan
    options: tuple[Any, ...] = ()

    @property
    def is_number(self) -> bool:
        """Whether values are numbers of a range."""
        return self.kind in NUMBERS

    @property
    def branch(self) -> str:
        """The branches that it stands in, ``optim_wrapper[sgd]``; empty outside of any."""
        return self.name.rpartition("]")[0] + "]" if "]" in self.name else ""


@dataclass(frozen=True)
class Axis:
    """What is drawn as one axis.

    Attributes:
        title: short, but no other axis has the same.
        dimensions: that share it.
    """

    title: str
    dimensions: tuple[Dimension, ...]

    @property
    def key(self) -> str:
        """The config's key path."""
        return self.dimensions[0].key

    @property
    def is_number(self) -> bool:
        """Whether its values are numbers of a range."""
        return self.dimensions[0].is_number

    @property
    def is_log(self) -> bool:
        """Whether it is logarithmic."""
        return any(dimension.kind == "loguniform" for dimension in self.dimensions) and self.low > 0

    @cached_property
    def low(self) -> float:
        """The lowest value that can be drawn."""
        return min(dimension.low for dimension in self.dimensions)

    @cached_property
    def high(self) -> float:
        """The highest value that can be drawn."""
        return max(dimension.high for dimension in self.dimensions)

    @cached_property
    def options(self) -> list[str]:
        """The options of a choice as text, in order."""
        return list(dict.fromkeys(option_text(o) for dimension in self.dimensions for o in dimension.options))

    def drawn(self, draw: Draw) -> int:
        """Which of its dimensions a trial has drawn, -1 for none."""
        return next((index for index, dimension in enumerate(self.dimensions) if dimension.name in draw), -1)

    def value(self, draw: Draw) -> Any:
        """A trial's value as it stands, None when it has drawn none."""
        index = self.drawn(draw)
        return draw[self.dimensions[index].name] if index >= 0 else None

    def place(self, draw: Draw) -> float:
        """A trial's number, or the place of its option; NaN when it has drawn none."""
        index = self.drawn(draw)
        if index < 0:
            return math.nan
        value = draw[self.dimensions[index].name]
        if self.is_number:
            return as_number(value)
        text = option_text(value)
        return float(self.options.index(text)) if text in self.options else math.nan


def read_dimensions(space: Any, draws: Sequence[Draw]) -> tuple[Dimension, ...]:
    """The dimensions that sweep.json tells of, and those that only draws tell of.

    Args:
        space: sweep.json's ``space``.
        draws: of the trials.
    """
    found: dict[str, Dimension] = {}
    for row in as_rows(as_mapping(space).get("dimensions")):
        name = as_text(row.get("name"))
        values = [draw[name] for draw in draws if name in draw]
        if name:
            found.setdefault(name, _dimension(name, row, values))
    for name in dict.fromkeys(name for draw in draws for name in draw if name not in found):
        found[name] = _dimension(name, {}, [draw[name] for draw in draws if name in draw])
    return tuple(found.values())


def axes_of(dimensions: Sequence[Dimension], draws: Sequence[Draw]) -> list[Axis]:
    """The axes in the order of the dimensions; dimensions that no trial has drawn have none."""
    drawn = [dimension for dimension in dimensions if any(dimension.name in draw for draw in draws)]
    groups: dict[tuple[str, str], list[Dimension]] = {}
    for dimension in drawn:
        groups.setdefault((dimension.key, "number" if dimension.is_number else "option"), []).append(dimension)
    apart: list[tuple[Dimension, ...]] = []
    for group in groups.values():
        names = {dimension.name for dimension in group}
        both = any(len(names & draw.keys()) > 1 for draw in draws)
        apart += [(dimension,) for dimension in group] if both else [tuple(group)]
    order = {dimension.name: index for index, dimension in enumerate(drawn)}
    apart.sort(key=lambda group: order[group[0].name])
    titles = short_titles([group[0].key if len(group) > 1 else group[0].name for group in apart])
    return [Axis(title, group) for title, group in zip(titles, apart, strict=True)]


def short_titles(names: Sequence[str]) -> list[str]:
    """The last two parts of each dotted name, more of one that would not be the only one; branches are left out."""
    parts = [_parts(name) for name in names]
    titles = [".".join(part[-2:]) for part in parts]
    for length in range(3, max(map(len, parts), default=0) + 1):
        titles = [
            ".".join(part[-length:]) if titles.count(title) > 1 else title
            for part, title in zip(parts, titles, strict=True)
        ]
    return [name if titles.count(title) > 1 else title for name, title in zip(names, titles, strict=True)]


def option_text(value: Any) -> str:
    """An option as people write it."""
    return as_text(value) if isinstance(value, str) else repr(value)


def value_text(value: Any) -> str:
    """A drawn value with four digits."""
    return f"{value:.4g}" if isinstance(value, float) else option_text(value)


def _parts(name: str) -> list[str]:
    plain, depth = [], 0
    for character in name:
        depth += (character == "[") - (character == "]")
        if depth <= 0 and character != "]":
            plain.append(character)
    return [part for part in "".join(plain).split(".") if part] or [name]


def _dimension(name: str, row: Mapping[str, Any], values: Sequence[Any]) -> Dimension:
    """As the row says; where it does not, as the values show."""
    key, kind = as_text(row.get("key")) or name, as_text(row.get("kind"))
    numbers = [number for value in values if math.isfinite(number := as_number(value))]
    low, high = as_number(row.get("low")), as_number(row.get("high"))
    if kind in NUMBERS or (not kind and numbers and len(numbers) == len(values)):
        if not (math.isfinite(low) and math.isfinite(high)):
            low, high = (min(numbers), max(numbers)) if numbers else (0.0, 1.0)
        elif kind == "randint":
            high = max(low, high - 1)
        return Dimension(name, key, kind or "uniform", min([low, *numbers]), max([high, *numbers]),
                         as_number(row.get("q")))  # fmt: skip
    options = row.get("options")
    listed = options if isinstance(options, list) else []
    texts = {option_text(option) for option in listed}
    others = {option_text(value): value for value in values if option_text(value) not in texts}
    return Dimension(name, key, kind or "choice", options=(*listed, *others.values()))
