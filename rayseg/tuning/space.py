"""The search space of a config: a tree of dimensions, of which a branch of a choice may have dimensions of its own.

A draw is a plain dict from the names of dimensions to values: ``{"optim_wrapper": "amp",
"optim_wrapper[amp].optimizer.lr": 0.0003}``. It holds the dimensions of the branches that were taken and no others, so
it is all that has to be remembered of a trial.

One leaf object that stands in several places (a Python variable used twice, ``_base_.x``) is one dimension: references
are resolved after sampling.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from random import Random
from typing import Any

from rayseg.config import Config
from rayseg.config.overrides import apply_overrides
from rayseg.config.search import Choice, Range, SearchLeaf
from rayseg.config.sections import SECTIONS
from rayseg.config.tree import ConfigDict, join, walk
from rayseg.core.errors import ConfigError, Problem

Draw = dict[str, Any]
MANY = 1_000_000  # a space is counted up to here where a leaf stands in several places


@dataclass(frozen=True)
class Dimension:
    """One leaf of the config.

    Attributes:
        name: its key path, with ``[label]`` for each branch of a choice that it stands in, unless it is in several.
        key: the config's key path that it sets.
        leaf: what may be drawn.
        branches: value of a choice → the dimensions inside that option.
    """

    name: str
    key: str
    leaf: Range | Choice
    branches: Mapping[Any, tuple[Dimension, ...]] = field(default_factory=dict)

    @property
    def values(self) -> Sequence[Any] | None:
        """Every value that may be drawn, in order; None of a continuous range."""
        if isinstance(self.leaf, Choice):
            return list(self.branches)
        if self.leaf.kind == "randint":
            return range(int(self.leaf.low), int(self.leaf.high))
        if self.leaf.kind == "quniform":
            return list(multiples(self.leaf))
        return None

    def below(self, value: Any) -> tuple[Dimension, ...]:
        """The dimensions that are open once this one has a value."""
        return self.branches.get(value, ())


Ask = Callable[[Dimension], Any]


class Space:
    """The dimensions of a config.

    Args:
        config: a config with open leaves, checked.

    Attributes:
        dimensions: those outside of any choice, in the order of the config.

    Raises:
        ConfigError: a ``grid`` inside an option of a ``choice``.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        sections = {name: config[name] for name in SECTIONS if name in config and name != "tune"}
        self._names = _names_of_shared(sections)
        self.dimensions = self._found_in(sections)
        self._refuse_hidden_grids(self.dimensions, inside=None)

    def all(self) -> list[Dimension]:
        """Every dimension, also those of branches, in the order of the config."""
        found: dict[str, Dimension] = {}

        def visit(dimensions: Sequence[Dimension]) -> None:
            for dimension in dimensions:
                found.setdefault(dimension.name, dimension)
                for inner in dimension.branches.values():
                    visit(inner)

        visit(self.dimensions)
        return list(found.values())

    def keys_of(self, name: str) -> list[str]:
        """The key paths of the config that a dimension sets: several, where its leaf stands in several places."""
        return list(dict.fromkeys(one.key for one in self._listed(self.dimensions) if one.name == name))

    def draw(self, ask: Ask) -> Draw:
        """One point of the space: ``ask`` gives the value of each dimension that is open, outer ones first."""
        drawn: Draw = {}
        open_ones = list(self.dimensions)
        while open_ones:
            dimension = open_ones.pop(0)
            if dimension.name not in drawn:
                drawn[dimension.name] = ask(dimension)
            open_ones = [*dimension.below(drawn[dimension.name]), *open_ones]
        return drawn

    def points(self, *, grids_only: bool = False) -> Iterator[Draw]:
        """Every point of a finite space, the last dimension fastest.

        Args:
            grids_only: every combination of the ``grid`` leaves alone; the others are left open.

        Raises:
            ConfigError: a continuous range; names its key.
        """
        return self._points(list(self.dimensions), {}, grids_only)

    def size(self) -> int | None:
        """How many points there are; None of an infinite space, or of one larger than can be counted."""
        if any(dimension.values is None for dimension in self.all()):
            return None
        keys = [dimension.name for dimension in self._listed(self.dimensions)]
        if len(keys) == len(set(keys)):
            return _count(self.dimensions)
        counted = sum(1 for _ in islice(self.points(), MANY + 1))
        return counted if counted <= MANY else None

    def cover(self, seed: int = 0) -> list[Draw]:
        """Draws of which each option of each choice is in at least one."""
        missing = {(d.name, value) for d in self.all() if isinstance(d.leaf, Choice) for value in d.branches}
        rng = Random(seed)
        draws: list[Draw] = []
        while missing or not draws:
            draws.append(self.draw(partial(self._towards, missing, rng)))
            missing -= set(draws[-1].items()) & missing
        return draws

    def _towards(self, missing: set[tuple[str, Any]], rng: Random, dimension: Dimension) -> Any:
        """A value that leads to an option that is still missing; any value where none does."""
        if isinstance(dimension.leaf, Choice):
            for value in dimension.branches:
                if self._leads_to(dimension, value, missing):
                    return value
        return random_value(dimension, rng)

    def config_of(self, draw: Mapping[str, Any]) -> Config:
        """The plain config of a draw: leaves replaced, then the drawn variants applied in their order.

        Raises:
            ConfigError: the draw lacks a dimension or holds a value that is none of its options; a variant whose key
                leads nowhere.
        """
        origins = dict(self.config.provenance.origins)
        tree = ConfigDict({k: self._resolved(v, k, draw) for k, v in self.config.items() if k != "tune"})
        for name, changes in (tree.pop("variants", None) or {}).items():
            try:
                tree = apply_overrides(tree, changes, origins)
            except ConfigError as error:
                raise ConfigError(replace(p, key=f"variants.{name}: {p.key}") for p in error.problems) from None
        return Config(tree, replace(self.config.provenance, origins=origins))

    def lines(self) -> list[str]:
        """The space as an indented tree."""
        return list(_tree_lines(self.dimensions, "", 0))

    def _found_in(self, value: Any, name: str = "", key: str = "") -> tuple[Dimension, ...]:
        """The dimensions under a value; ``name`` ends where it stands, ``key`` is the key path there."""
        found = []
        for path, leaf in walk(value):
            if isinstance(leaf, Range | Choice):
                here, where = join(name, path) if path else name, _key(key, path)
                here = self._names.setdefault(id(leaf), here)
                branches = {}
                if isinstance(leaf, Choice):
                    for token, (label, option) in zip(tokens(leaf), leaf.branches(), strict=True):
                        branches[token] = self._found_in(option, f"{here}[{label}]", where)
                found.append(Dimension(here, where, leaf, branches))
        return tuple(found)

    def _resolved(self, value: Any, name: str, draw: Mapping[str, Any]) -> Any:
        if isinstance(value, SearchLeaf):
            drawn_name = self._names.get(id(value), name)
            if drawn_name not in draw:
                raise ConfigError(Problem("the draw has no value for it", drawn_name))
            drawn = draw[drawn_name]
            if not isinstance(value, Choice):
                return drawn
            for token, (label, option) in zip(tokens(value), value.branches(), strict=True):
                if same(token, drawn):
                    return self._resolved(option, f"{drawn_name}[{label}]", draw)
            raise ConfigError(Problem(f"{drawn!r} is none of its options: {tokens(value)}", drawn_name))
        if isinstance(value, Mapping):
            return ConfigDict({key: self._resolved(item, join(name, key), draw) for key, item in value.items()})
        if type(value) in (list, tuple):
            return type(value)(self._resolved(item, join(name, index), draw) for index, item in enumerate(value))
        return value

    def _points(self, open_ones: list[Dimension], drawn: Draw, grids_only: bool) -> Iterator[Draw]:
        while open_ones and grids_only and not _is_grid(open_ones[0]):
            open_ones = open_ones[1:]
        if not open_ones:
            yield drawn
            return
        first, rest = open_ones[0], open_ones[1:]
        values = [drawn[first.name]] if first.name in drawn else first.values
        if values is None:
            message = f"{first.leaf!r} has no end, so not every point can be tried; give values with grid([...])"
            raise ConfigError(Problem(message, first.key, self.config.origin(first.key)))
        for value in values:
            yield from self._points([*first.below(value), *rest], {**drawn, first.name: value}, grids_only)

    def _listed(self, dimensions: Sequence[Dimension]) -> Iterator[Dimension]:
        for dimension in dimensions:
            yield dimension
            for inner in dimension.branches.values():
                yield from self._listed(inner)

    def _leads_to(self, dimension: Dimension, value: Any, missing: set[tuple[str, Any]]) -> bool:
        if (dimension.name, value) in missing:
            return True
        return any(self._leads_to(d, v, missing) for d in dimension.below(value) for v in d.branches)

    def _refuse_hidden_grids(self, dimensions: Sequence[Dimension], inside: str | None) -> None:
        for dimension in dimensions:
            if inside is not None and _is_grid(dimension):
                message = (
                    f"a grid inside an option of the choice {inside}, which is drawn: make both a choice or a grid"
                )
                raise ConfigError(Problem(message, dimension.name, self.config.origin(dimension.key)))
            drawn = isinstance(dimension.leaf, Choice) and not _is_grid(dimension)
            for inner in dimension.branches.values():
                self._refuse_hidden_grids(inner, dimension.name if drawn else inside)


def _names_of_shared(sections: Mapping[str, Any]) -> dict[int, str]:
    """Leaf → name, of the leaves that stand in several branches at one key path: they are called by it."""
    keys: dict[int, list[str]] = {}

    def visit(value: Any, key: str) -> None:
        for path, leaf in walk(value):
            if isinstance(leaf, SearchLeaf):
                found = keys.setdefault(id(leaf), [])
                found.append(_key(key, path))
                if isinstance(leaf, Choice) and len(found) == 1:
                    for option in leaf.options:
                        visit(option, found[0])

    visit(sections, "")
    names = {leaf: found[0] for leaf, found in keys.items() if len(found) > 1 and len(set(found)) == 1}
    taken = Counter(names.values())
    return {leaf: name for leaf, name in names.items() if taken[name] == 1}


def tokens(choice: Choice) -> list[Any]:
    """What stands in a draw for each option: its label, the option itself where all are plain, else its index."""
    if choice.labels is not None:
        return list(choice.labels)
    plain = all(option is None or type(option) in (bool, int, str) or _is_finite(option) for option in choice.options)
    distinct = len({(type(option), option) for option in choice.options}) if plain else 0
    equal = len(set(choice.options)) if plain else 0  # 1, 1.0 and True are one key of a dict
    return (
        list(choice.options)
        if plain and distinct == equal == len(choice.options)
        else [*map(str, range(len(choice.options)))]
    )


def same(one: Any, other: Any) -> bool:
    """Whether two values of a draw are one."""
    return type(one) is type(other) and bool(one == other)


def random_value(dimension: Dimension, rng: Random) -> Any:
    """A value of one dimension, drawn as its kind says."""
    leaf = dimension.leaf
    if isinstance(leaf, Choice):
        return rng.choice(list(dimension.branches))
    if leaf.kind == "randint":
        return rng.randrange(int(leaf.low), int(leaf.high))
    if leaf.kind == "quniform":
        return rng.choice(list(multiples(leaf)))
    if leaf.kind == "loguniform":
        value = math.exp(rng.uniform(math.log(leaf.low), math.log(leaf.high)))
        return min(max(value, float(leaf.low)), float(leaf.high))
    return rng.uniform(leaf.low, leaf.high)


def middle_value(dimension: Dimension) -> Any:
    """The first option of a choice, the middle of a range (the geometric one of ``loguniform``)."""
    leaf = dimension.leaf
    if (values := dimension.values) is not None:
        return values[0] if isinstance(leaf, Choice) else values[(len(values) - 1) // 2]
    assert isinstance(leaf, Range)
    return math.sqrt(leaf.low * leaf.high) if leaf.kind == "loguniform" else (leaf.low + leaf.high) / 2


def multiples(leaf: Range) -> list[float]:
    """The multiples of ``q`` from low to high, without the noise of binary fractions."""
    assert leaf.q is not None
    first, last = math.ceil(leaf.low / leaf.q - 1e-9), math.floor(leaf.high / leaf.q + 1e-9)
    return [float(f"{count * leaf.q:.12g}") for count in range(first, last + 1)]


def _count(dimensions: Sequence[Dimension]) -> int:
    total = 1
    for dimension in dimensions:
        values = dimension.values
        assert values is not None
        total *= sum(_count(dimension.below(value)) for value in values)
    return total


def _is_grid(dimension: Dimension) -> bool:
    return isinstance(dimension.leaf, Choice) and dimension.leaf.kind == "grid"


def _is_finite(value: Any) -> bool:
    return type(value) is float and math.isfinite(value)


def _key(key: str, path: str) -> str:
    """The config's key path of what stands at ``path`` under ``key``; a variant's keys are key paths themselves."""
    return path if key.startswith("variants.") and path else join(key, path) if path else key


def _tree_lines(dimensions: Sequence[Dimension], above: str, depth: int) -> Iterator[str]:
    for dimension in dimensions:
        indent, name = "  " * depth, dimension.name.removeprefix(above).lstrip(".") if above else dimension.name
        leaf = dimension.leaf
        if isinstance(leaf, Range) or not any(dimension.branches.values()):
            values = leaf if isinstance(leaf, Range) else f"{leaf.kind}: {', '.join(map(str, dimension.branches))}"
            yield f"{indent}{name}: {values}"
            continue
        yield f"{indent}{name}: {leaf.kind}"
        for value, (label, _) in zip(dimension.branches, leaf.branches(), strict=True):
            yield f"{indent}  {value}"
            yield from _tree_lines(dimension.branches[value], f"{dimension.name}[{label}]", depth + 2)
