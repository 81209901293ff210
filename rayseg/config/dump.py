"""A config as Python text that loads to an equal config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rayseg.config.render import render
from rayseg.config.search import CALLS, Choice, SearchLeaf
from rayseg.config.sections import SECTIONS, unknown_section
from rayseg.config.shared_leaves import named_shared_leaves
from rayseg.config.tree import walk
from rayseg.core.errors import ConfigError


def dump_tree(config: Mapping[str, Any]) -> str:
    """Sections in canonical order, each ``name = value`` with lines of at most 120 characters where that is possible.

    Raises:
        ConfigError: a section that does not exist.
    """
    unknown = [unknown_section(name) for name in config if name not in SECTIONS]
    if unknown:
        raise ConfigError(unknown)
    sections = {name: config[name] for name in SECTIONS if name in config}
    calls = sorted(_calls_in(sections))
    shared, sections = named_shared_leaves(sections)
    lines = [f"{name} = {render(value, used=len(name) + 3)}" for name, value in [*shared.items(), *sections.items()]]
    if calls:
        lines.insert(0, f"from rayseg.search import {', '.join(calls)}\n")
    return "\n".join(lines) + "\n"


def _calls_in(value: Any) -> set[str]:
    calls: set[str] = set()
    for _, leaf in walk(value):
        if isinstance(leaf, SearchLeaf):
            calls |= {leaf.kind} & set(CALLS)  # type: ignore[attr-defined]
            if isinstance(leaf, Choice):
                calls |= _calls_in(leaf.options)
    return calls
