"""What a Python config seems to do and would not: edits of ``_base_``, which reach a copy, and MM's ``read_base``."""

from __future__ import annotations

import ast
from collections.abc import Iterator

_READ_BASE = "MM's lazy style (read_base) is not read; name the base files in _base_ = [...] instead"


def lost_edits(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and message of each."""
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(names=names) if any(alias.name == "read_base" for alias in names):
                yield node.lineno, _READ_BASE
            case ast.Assign(targets=targets) | ast.Delete(targets=targets):
                yield from (_lost(node, name) for target in targets if (name := _part_of_base(target)))
            case ast.AugAssign(target=target) | ast.AnnAssign(target=target):
                if name := _part_of_base(target):
                    yield _lost(node, name)
            case ast.Expr(value=ast.Call(func=ast.Attribute(value=owner))) if name := _part_of_base(owner):
                yield _lost(node, name)


def _lost(node: ast.stmt, name: str) -> tuple[int, str]:
    message = (
        f"{ast.unparse(node)!r} would change a copy of the base's value and be lost; write {name} = _base_.{name} "
        f"first, and change {name}"
    )
    return node.lineno, message


def _part_of_base(node: ast.expr) -> str | None:
    """``x`` when an expression is ``_base_.x``, or something inside it."""
    name = None
    while isinstance(node, ast.Attribute | ast.Subscript):
        if isinstance(node, ast.Attribute):
            name = node.attr
        elif isinstance(node.slice, ast.Constant):
            name = str(node.slice.value)
        node = node.value
    return name if isinstance(node, ast.Name) and node.id == "_base_" else None
