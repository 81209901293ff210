"""The migrated config as a file: sections in rayseg's order, and above each what did not come over."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

from rayseg.config.render import INDENT, WIDTH, Name, render, render_flat
from rayseg.config.sections import SECTIONS
from rayseg.migration.lines import Line

LONG_LIST = 100  # characters


def write_config(sections: Mapping[str, Any], lines: Iterable[Line], source: str) -> str:
    """Python text that ``rayseg.load_config`` reads.

    Args:
        sections: what the config says.
        lines: what did not come over; those that need something done become comments.
        source: name of the MM config.
    """
    head = [
        f"# Made by `rayseg migrate` from {source}.",
        "# `rayseg config` on this file says what is still wrong.",
        "# MISSING: nothing stands for it yet. DIFFERS: something close stands for it.",
    ]
    helpers, shown = _helpers(sections)
    comments = _comments([line for line in lines if line.kind != "dropped"], shown)
    blocks = ["\n".join([*head, *comments.pop("", [])]), *helpers]
    blocks += [_section(name, shown[name], comments.get(name, [])) for name in SECTIONS if name in shown]
    return "\n\n".join(blocks) + "\n"


def _section(name: str, value: Any, comments: list[str]) -> str:
    return "\n".join([*comments, f"{name} = {render(value, used=len(name) + 3)}"])


def _comments(lines: list[Line], sections: Mapping[str, Any]) -> dict[str, list[str]]:
    """Wrapped comment lines by section; under '' what belongs to a section that is not written."""
    comments: dict[str, list[str]] = {}
    for line in lines:
        place = line.section if line.section in sections else ""
        text = f"{line.kind.upper()} {line.key}: {line.text()}"
        wrapped = textwrap.wrap(
            text, WIDTH - 2, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
        )
        comments.setdefault(place, []).extend(f"# {part}" for part in wrapped)
    return comments


def _helpers(sections: Mapping[str, Any]) -> tuple[list[str], dict[str, Any]]:
    """Long lists of classes and colours as variables of their own, and the sections that name them."""
    found: list[tuple[str, Any]] = []

    def shown(value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        result = {key: shown(item) for key, item in value.items()}
        for key in ("classes", "palette"):
            if isinstance(result.get(key), list) and len(render(result[key])) > LONG_LIST:
                result[key] = Name(_variable(key, result[key], found))
        return result

    changed = {name: shown(value) for name, value in sections.items()}
    return ["\n".join(filled(name, values) for name, values in found)] if found else [], changed


def filled(name: str, values: Iterable[Any]) -> str:
    """``name = [...]`` with as many values on a line as fit, which a formatter is told to leave alone."""
    lines: list[str] = []
    current = " " * (INDENT - 1)
    for text in [f" {render_flat(value)}," for value in values]:
        if len(current) + len(text) > WIDTH:
            lines.append(current)
            current = " " * (INDENT - 1)
        current += text
    return "\n".join(["# fmt: off", f"{name} = [", *lines, current, "]", "# fmt: on"])


def _variable(key: str, value: Any, found: list[tuple[str, Any]]) -> str:
    known = next((name for name, other in found if name.startswith(key) and other == value), None)
    if known:
        return known
    taken = sum(name.startswith(key) for name, _ in found)
    found.append((key if not taken else f"{key}_{taken + 1}", value))
    return found[-1][0]
