"""A resolved config as leaves, without running it: a report must be safe to make of anybody's directory."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rayseg.config.tree import join, parents
from rayseg.reporting.values import as_mapping
from rayseg.tracking.params import PARSING

CONFIG_FILE = "config.py"


@dataclass(frozen=True)
class ConfigText:
    """A config as it stands in its file.

    Attributes:
        text: the file.
        leaves: dotted key path → value as Python text; None when the file is no config that can be read so.
    """

    text: str
    leaves: Mapping[str, str] | None


def read_config(run_dir: Path) -> ConfigText | None:
    """The config of a run directory, None when there is none.

    Raises:
        OSError: it is there and cannot be read.
    """
    try:
        text = (run_dir / CONFIG_FILE).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    return ConfigText(text, parse_leaves(text))


def parse_leaves(text: str) -> dict[str, str] | None:
    """Leaves of a Python config: calls of ``dict``, lists and tuples are taken apart, all else stays text."""
    try:
        with PARSING:
            tree = ast.parse(text)
        leaves: dict[str, str] = {}
        for statement in tree.body:
            if isinstance(statement, ast.Assign) and isinstance(target := statement.targets[0], ast.Name):
                leaves.update(_walk(statement.value, target.id))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return leaves


def origin(path: str, changed: Mapping[str, object]) -> str:
    """Who set a leaf, by run.json's ``config.changed``; empty when its value is the base's."""
    return next((str(changed[part]) for part in parents(path) if part in changed), "")


def changed_leaves(config: object) -> dict[str, object]:
    """The ``changed`` of run.json's ``config``; empty when it does not say."""
    return dict(as_mapping(as_mapping(config).get("changed")))


def _walk(node: ast.expr, path: str) -> Iterator[tuple[str, str]]:
    items = _items(node)
    if not items:
        yield path, ast.unparse(node)
        return
    for key, value in items:
        yield from _walk(value, join(path, key))


def _items(node: ast.expr) -> list[tuple[str, ast.expr]]:
    if isinstance(node, ast.List | ast.Tuple):
        plain = all(isinstance(item, ast.Constant | ast.UnaryOp) for item in node.elts)
        return [] if plain else [(str(index), item) for index, item in enumerate(node.elts)]
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        return [(_key(key), value) for key, value in pairs if key is not None]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict" and not node.args:
        found: list[tuple[str, ast.expr]] = []
        for keyword in node.keywords:
            found += [(keyword.arg, keyword.value)] if keyword.arg else _items(keyword.value)
        return found
    return []


def _key(node: ast.expr) -> str:
    return str(node.value) if isinstance(node, ast.Constant) else ast.unparse(node)
