"""Values as Python text, laid out as ruff does it: double quotes, 120 columns, a trailing comma where it breaks."""

from __future__ import annotations

import keyword
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

WIDTH = 120
INDENT = 4


class Name(str):
    """A variable's name, written without quotes."""


def render(value: Any, indent: int = 0, used: int = 0, ending: int = 0) -> str:
    """``value`` as an expression that starts at column ``indent + used``; ``ending`` characters follow it."""
    flat = _flat(value)
    if indent + used + len(flat) + ending <= WIDTH or not (parts := _parts(value)):
        return flat
    opening, items, closing = parts
    if not items:
        return flat
    inner = indent + INDENT
    lines = [f"{' ' * inner}{prefix}{render(item, inner, len(prefix), 1)}," for prefix, item in items]
    return "\n".join([opening, *lines, " " * indent + closing])


def filled(name: str, values: Iterable[Any]) -> str:
    """``name = [...]`` with as many values on a line as fit, which a formatter is told to leave alone."""
    lines: list[str] = []
    current = " " * (INDENT - 1)
    for text in [f" {_flat(value)}," for value in values]:
        if len(current) + len(text) > WIDTH:
            lines.append(current)
            current = " " * (INDENT - 1)
        current += text
    return "\n".join(["# fmt: off", f"{name} = [", *lines, current, "]", "# fmt: on"])


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
        if all(isinstance(key, str) and key.isidentifier() and not keyword.iskeyword(key) for key in value):
            return "dict(", [(f"{key}=", item) for key, item in value.items()], ")"
        return "{", [(f"{_flat(key)}: ", item) for key, item in value.items()], "}"
    if type(value) is list:
        return "[", [("", item) for item in value], "]"
    if type(value) is tuple:
        return "(", [("", item) for item in value], ")"
    return None


def _scalar(value: Any) -> str:
    if isinstance(value, Name):
        return str(value)
    if isinstance(value, str):
        return _quoted(value)
    if type(value) is float and not math.isfinite(value):
        return f'float("{value}")'
    if isinstance(value, type) or callable(value):
        return _quoted(f"{value.__module__}.{value.__qualname__}")
    return repr(value)


def _quoted(text: str) -> str:
    """In double quotes, unless there are some inside; double braces apart, which a config reads as a reference."""
    parts = re.split(r"(?<=\{)(?=\{)", text)
    return " + ".join(repr(part) if {"'", '"'} & set(part) else f'"{repr(part)[1:-1]}"' for part in parts)
