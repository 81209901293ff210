"""One leaf object in several places is one dimension of a sweep, so a dump must keep that it is one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rayseg.config.render import Name
from rayseg.config.search import Choice, SearchLeaf
from rayseg.config.tree import walk

PREFIX = "leaf_"


def named_shared_leaves(sections: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The leaves that stand in several places as variables, and the sections with those variables in their places.

    Returns:
        Name of variable → leaf, in an order in which each may use those before it; and the sections.
    """
    counts: Counter[int] = Counter()
    _count(sections, counts)
    variables: dict[int, Name] = {}
    definitions: dict[str, Any] = {}

    def named(value: Any) -> Any:
        if isinstance(value, SearchLeaf):
            if (known := variables.get(id(value))) is not None:
                return known
            leaf = value
            if isinstance(value, Choice):
                leaf = replace(value, options=tuple(named(option) for option in value.options))
            if counts[id(value)] < 2:
                return leaf
            variables[id(value)] = Name(f"{PREFIX}{len(variables) + 1}")
            definitions[variables[id(value)]] = leaf
            return variables[id(value)]
        if isinstance(value, Mapping):
            return {key: named(item) for key, item in value.items()}
        if type(value) in (list, tuple):
            return type(value)(named(item) for item in value)
        return value

    return definitions, {name: named(section) for name, section in sections.items()}


def _count(value: Any, counts: Counter[int]) -> None:
    """How often each leaf object stands somewhere; inside of one that is there again nothing counts again."""
    for _, leaf in walk(value):
        if isinstance(leaf, SearchLeaf):
            counts[id(leaf)] += 1
            if isinstance(leaf, Choice) and counts[id(leaf)] == 1:
                _count(leaf.options, counts)
