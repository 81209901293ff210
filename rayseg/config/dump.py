"""A config as Python text that loads to an equal config."""

from __future__ import annotations

import keyword
import math
import re
from collections.abc import Mapping
from typing import Any

from rayseg.config.search import CALLS, Choice, Range, SearchLeaf
from rayseg.config.sections import SECTIONS, unknown_section
from rayseg.config.tree import is_code, walk
from rayseg.core.errors import ConfigError

WIDTH = 120
INDENT = 4


def dump_tree(config: Mapping[str, Any]) -> str:
    """Sections in canonical order, each ``name = value`` with lines of at most 120 characters where that is possible.

    Raises:
        ConfigError: a section that does not exist.
    """
    unknown = [unknown_section(name) for name in config if name not in SECTIONS]
    if unknown:
        raise ConfigError(unknown)
    sections = {name: config[name] for name in SECTIONS if name in config}
    lines = [f"{name} = {render(value, used=len(name) + 3)}" for name, value in sections.items()]
    calls = sorted(_calls_in(sections))
    if calls:
        lines.insert(0, f"from rayseg.search import {', '.join(calls)}\n")
    return "\n".join(lines) + "\n"


def render(value: Any, indent: int = 0, used: int = 0) -> str:
    """``value`` as an expression that starts at column ``indent + used``."""
    flat = _flat(value)
    if indent + used + len(flat) <= WIDTH or not (parts := _parts(value)):
        return flat
    opening, items, closing = parts
    inner = indent + INDENT
    lines = [f"{' ' * inner}{prefix}{render(item, inner, len(prefix) + 1)}," for prefix, item in items]
    return "\n".join([opening, *lines, " " * indent + closing])


def _flat(value: Any) -> str:
    parts = _parts(value)
    if parts is None:
        return _scalar(value)
    opening, items, closing = parts
    comma = "," if type(value) is tuple and len(value) == 1 else ""
    return opening + ", ".join(prefix + _flat(item) for prefix, item in items) + comma + closing


def _parts(value: Any) -> tuple[str, list[tuple[str, Any]], str] | None:
    """What opens a container, its items with the text before each of them, and what closes it."""
    if isinstance(value, Mapping):
        if all(map(_is_name, value)):
            return "dict(", [(f"{key}=", item) for key, item in value.items()], ")"
        return "{", [(f"{_flat(key)}: ", item) for key, item in value.items()], "}"
    if isinstance(value, list):
        return "[", [("", item) for item in value], "]"
    if type(value) is tuple:
        return "(", [("", item) for item in value], ")"
    if isinstance(value, Choice):
        if value.labels is None:
            return f"{value.kind}([", [("", option) for option in value.options], "])"
        if all(map(_is_name, value.labels)):
            return f"{value.kind}(", [(f"{label}=", option) for label, option in value.branches()], ")"
        return f"{value.kind}(**{{", [(f"{_scalar(label)}: ", option) for label, option in value.branches()], "})"
    return None


def _scalar(value: Any) -> str:
    if type(value) is float and not math.isfinite(value):
        return f"float('{value}')"
    if type(value) is str:
        return _quoted(value)
    if value is None or type(value) in (bool, int, float, complex, bytes) or isinstance(value, Range):
        return repr(value)
    if is_code(value):
        return repr(f"{value.__module__}.{value.__qualname__}")
    return repr(f"<live object {type(value).__module__}.{type(value).__qualname__}>")


def _quoted(value: str) -> str:
    """The text as a literal, double braces taken apart, since a config file would read a reference in them."""
    return " + ".join(repr(part) for part in re.split(r"(?<=\{)(?=\{)", value))


def _is_name(key: Any) -> bool:
    if not isinstance(key, str) or not key.isascii() or not key.isidentifier():
        return False
    return not keyword.iskeyword(key) and key != "__debug__"


def _calls_in(value: Any) -> set[str]:
    calls: set[str] = set()
    for _, leaf in walk(value):
        if isinstance(leaf, SearchLeaf):
            calls |= {leaf.kind} & set(CALLS)  # type: ignore[attr-defined]
            if isinstance(leaf, Choice):
                calls |= _calls_in(leaf.options)
    return calls
