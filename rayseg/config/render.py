"""Values as Python text, laid out as ruff does it: double quotes, 120 columns, a trailing comma where it breaks."""

from __future__ import annotations

import keyword
import math
import re
from collections.abc import Mapping
from typing import Any

from rayseg.config.search import Choice, Range
from rayseg.config.tree import is_code

WIDTH = 120
INDENT = 4


class Name(str):
    """A variable's name, written without quotes."""


def render(value: Any, indent: int = 0, used: int = 0, ending: int = 0) -> str:
    """``value`` as an expression that starts at column ``indent + used``; ``ending`` characters follow it."""
    flat = render_flat(value)
    if indent + used + len(flat) + ending <= WIDTH or not (parts := _parts(value)):
        return flat
    opening, items, closing = parts
    if not items:
        return flat
    inner = indent + INDENT
    lines = [f"{' ' * inner}{prefix}{render(item, inner, len(prefix), 1)}," for prefix, item in items]
    return "\n".join([opening, *lines, " " * indent + closing])


def render_flat(value: Any) -> str:
    """``value`` as an expression on one line, however long."""
    parts = _parts(value)
    if parts is None:
        return _scalar(value)
    opening, items, closing = parts
    comma = "," if type(value) is tuple and len(value) == 1 else ""
    return opening + ", ".join(prefix + render_flat(item) for prefix, item in items) + comma + closing


def _parts(value: Any) -> tuple[str, list[tuple[str, Any]], str] | None:
    """What opens a container, its items with the text before each of them, and what closes it."""
    if isinstance(value, Mapping):
        if all(map(_is_name, value)):
            return "dict(", [(f"{key}=", item) for key, item in value.items()], ")"
        return "{", [(f"{render_flat(key)}: ", item) for key, item in value.items()], "}"
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
    if isinstance(value, Name):
        return str(value)
    if type(value) is float and not math.isfinite(value):
        return f'float("{value}")'
    if isinstance(value, str):
        return _quoted(value)
    if value is None or type(value) in (bool, int, float, complex, bytes) or isinstance(value, Range):
        return repr(value)
    if is_code(value):
        return _quoted(f"{value.__module__}.{value.__qualname__}")
    return _quoted(f"<live object {type(value).__module__}.{type(value).__qualname__}>")


def _quoted(text: str) -> str:
    """In double quotes, unless there are some inside; double braces apart, which a config reads as a reference."""
    parts = re.split(r"(?<=\{)(?=\{)", text)
    return " + ".join(repr(part) if {"'", '"'} & set(part) else f'"{repr(part)[1:-1]}"' for part in parts)


def _is_name(key: Any) -> bool:
    if not isinstance(key, str) or not key.isascii() or not key.isidentifier():
        return False
    return not keyword.iskeyword(key) and key != "__debug__"
