"""Search leaves: values of a config that a sweep draws. They are immutable and compare by what they hold."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from rayseg.config.tree import walk, without_delete
from rayseg.core.errors import ConfigError, did_you_mean

SEARCH_KEY = "$search"


class SearchLeaf:
    """Base of the leaves: a set of values, of which a sweep draws one."""


@dataclass(frozen=True, repr=False)
class Range(SearchLeaf):
    """Numbers between two bounds.

    Attributes:
        kind: ``uniform`` and ``loguniform`` draw floats from [low, high]; ``quniform`` floats that are multiples of
            ``q``; ``randint`` integers from low up to and without high, as Ray Tune's.
        low: the lower bound.
        high: the upper bound.
        q: the step of ``quniform``.
    """

    kind: Literal["uniform", "loguniform", "quniform", "randint"]
    low: float
    high: float
    q: float | None = None

    def __post_init__(self) -> None:
        number = int if self.kind == "randint" else (int, float)
        for name in ("low", "high", "q")[: 3 if self.kind == "quniform" else 2]:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, number) or not math.isfinite(value):
                expected = "an int" if self.kind == "randint" else "a finite number"
                raise ConfigError(f"{self!r}: {name} must be {expected}, found {value!r}")
        if not self.low < self.high:
            raise ConfigError(f"{self!r}: low must be below high")
        if self.kind == "loguniform" and self.low <= 0:
            raise ConfigError(f"{self!r}: low must be above 0")
        if self.q is not None and not 0 < self.q <= self.high - self.low:
            raise ConfigError(f"{self!r}: q must be above 0 and at most high - low")

    def __repr__(self) -> str:
        step = "" if self.q is None else f", {self.q!r}"
        return f"{self.kind}({self.low!r}, {self.high!r}{step})"

    def extremes(self) -> tuple[float, float]:
        """The smallest and the largest value that may be drawn, of the type that is drawn."""
        if self.kind == "randint":
            return self.low, self.high - 1
        return float(self.low), float(self.high)


@dataclass(frozen=True, repr=False)
class Choice(SearchLeaf):
    """One of several values.

    Attributes:
        options: the values; a dict among them replaces the base value whole and may hold leaves of its own.
        labels: a name for each option, or None.
        kind: ``choice`` draws one, ``grid`` has each of them tried.
    """

    options: tuple[Any, ...]
    labels: tuple[str, ...] | None = None
    kind: Literal["choice", "grid"] = field(default="choice")

    def __post_init__(self) -> None:
        if not self.options:
            raise ConfigError(f"{self.kind} needs at least one option")
        object.__setattr__(self, "options", tuple(without_delete(option) for option in self.options))

    def __repr__(self) -> str:
        if self.labels is None:
            return f"{self.kind}({list(self.options)!r})"
        return f"{self.kind}({', '.join(f'{name}={option!r}' for name, option in self.branches())})"

    def branches(self) -> list[tuple[str, Any]]:
        """(label or index, option) of every option."""
        labels = self.labels or tuple(map(str, range(len(self.options))))
        return list(zip(labels, self.options, strict=True))


def choice(options: list[Any] | tuple[Any, ...] | None = None, /, **labelled: Any) -> Choice:
    """One of ``options``, or of ``labelled`` options: ``choice([1, 2])``, ``choice(sgd=dict(...), adam=dict(...))``.

    Raises:
        ConfigError: no options, both forms at once, or something that is no list.
    """
    if labelled:
        if options is not None:
            raise ConfigError("choice takes a list or labelled options, not both")
        return Choice(tuple(labelled.values()), tuple(labelled))
    return Choice(_listed("choice", options))


def grid(values: list[Any] | tuple[Any, ...], /) -> Choice:
    """Each of ``values`` is tried.

    Raises:
        ConfigError: an empty list, or something that is no list.
    """
    return Choice(_listed("grid", values), kind="grid")


def uniform(low: float, high: float) -> Range:
    """A float from [low, high]."""
    return Range("uniform", low, high)


def loguniform(low: float, high: float) -> Range:
    """A float from [low, high] whose logarithm is uniform; ``low`` must be above 0."""
    return Range("loguniform", low, high)


def quniform(low: float, high: float, q: float) -> Range:
    """A float from [low, high] that is a multiple of ``q``."""
    return Range("quniform", low, high, q)


def randint(low: int, high: int) -> Range:
    """An int from low up to and without high."""
    return Range("randint", low, high)


CALLS: dict[str, Callable[..., SearchLeaf]] = {
    function.__name__: function for function in (choice, uniform, loguniform, quniform, randint, grid)
}


def is_leaf(value: Any) -> bool:
    """Whether a value of a config is drawn by a sweep."""
    return isinstance(value, SearchLeaf)


def call_leaf(name: str, /, *args: Any, **kwargs: Any) -> SearchLeaf:
    """The leaf that ``name(*args, **kwargs)`` makes.

    Raises:
        ConfigError: no such name, or arguments that it does not take.
    """
    if name not in CALLS:
        raise ConfigError(f"unknown search {name!r}{did_you_mean(name, CALLS)}")
    try:
        return CALLS[name](*args, **kwargs)
    except TypeError as error:
        raise ConfigError(str(error)) from None


def leaf_from_mapping(mapping: Mapping[str, Any]) -> SearchLeaf:
    """The leaf that ``{$search: loguniform, low: 1e-5, high: 1e-2}`` means in YAML and JSON.

    ``choice`` takes ``options``, a list or a mapping from label to option; ``grid`` takes ``values``.

    Raises:
        ConfigError: an unknown name or arguments that it does not take.
    """
    arguments = {str(key): value for key, value in mapping.items()}
    name = str(arguments.pop(SEARCH_KEY))
    listed = {"choice": "options", "grid": "values"}.get(name)
    if listed is None:
        return call_leaf(name, **arguments)
    if set(arguments) != {listed}:
        found = ", ".join(map(str, arguments)) or "nothing"
        raise ConfigError(f"{name} takes {listed!r}, found {found}")
    options = arguments[listed]
    if name == "choice" and isinstance(options, Mapping):
        return call_leaf(name, **{str(label): option for label, option in options.items()})
    return call_leaf(name, options)


def find_search_leaves(config: Mapping[str, Any]) -> dict[str, SearchLeaf]:
    """Every open leaf by its key path; leaves inside a branch of a choice are part of that choice."""
    return {path: value for path, value in walk(config) if isinstance(value, SearchLeaf)}


def _listed(name: str, options: Any) -> tuple[Any, ...]:
    if not isinstance(options, list | tuple):
        raise ConfigError(f"{name} needs a list of options, found {options!r}")
    return tuple(options)
