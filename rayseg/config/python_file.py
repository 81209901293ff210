"""Reading a config written in Python. The file is executed, as MM's are: a config is code that you trust."""

from __future__ import annotations

import ast
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rayseg.config.imports import on_import_path
from rayseg.config.lost_edits import lost_edits
from rayseg.config.references import BASE_REFERENCE, BaseView, substitute
from rayseg.config.tree import is_code
from rayseg.core.errors import ConfigError, Problem

_SUBSTITUTE = "__substitute__"


@dataclass(frozen=True)
class PythonFile:
    """A parsed Python config.

    Attributes:
        path: absolute path.
        shown: the path as people gave it, for messages.
        tree: its syntax tree without the ``_base_`` assignment, references made calls.
        bases: what ``_base_`` names, relative to the file.
        reads: names that the file reads somewhere.
    """

    path: Path
    shown: str
    tree: ast.Module
    bases: list[str]
    reads: set[str]


def parse_python(text: str, path: Path, shown: str) -> PythonFile:
    """Parse a file.

    Raises:
        ConfigError: a syntax error, with its line; a ``_base_`` that is no literal; what would change a base and be
            lost; MM's ``read_base``.
    """
    try:
        tree = ast.parse(text, shown)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        message = getattr(error, "msg", str(error))
        raise ConfigError(Problem(f"syntax error: {message}", file=_at(shown, line))) from None
    if problems := [Problem(message, file=_at(shown, line)) for line, message in lost_edits(tree)]:
        raise ConfigError(problems)
    assignments = [node for node in tree.body if _assigns_base(node)]
    bases = [base for node in assignments for base in _base_names(node, shown)]
    tree.body = [node for node in tree.body if node not in assignments]
    reads = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    reads |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    reads |= {path.partition(".")[0] for path in BASE_REFERENCE.findall(text)}
    tree = ast.fix_missing_locations(_References().visit(tree))
    return PythonFile(path, shown, tree, bases, reads)


def run_python(file: PythonFile, base: Mapping[str, Any]) -> dict[str, Any]:
    """Execute a file and return its top-level names, without modules, functions, classes and private names.

    Raises:
        ConfigError: the file raised; names the exception and the line.
    """
    namespace: dict[str, Any] = {"__file__": str(file.path), "__name__": file.path.stem}
    namespace[_SUBSTITUTE] = lambda text: substitute(text, base)
    if file.bases:
        namespace["_base_"] = BaseView(base)
    try:
        with on_import_path(str(file.path.parent), str(Path.cwd())):
            exec(compile(file.tree, file.shown, "exec", dont_inherit=True), namespace)
    except (Exception, SystemExit) as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file.shown]
        message = str(error) if isinstance(error, ConfigError) else f"{type(error).__name__}: {error}"
        raise ConfigError(Problem(message, file=_at(file.shown, lines[-1] if lines else None))) from error
    return {name: value for name, value in namespace.items() if not name.startswith("_") and not is_code(value)}


def _assigns_base(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "_base_" for t in node.targets)


def _base_names(node: ast.stmt, shown: str) -> list[str]:
    assert isinstance(node, ast.Assign)
    try:
        return base_list(ast.literal_eval(node.value))
    except ValueError:
        message = f"_base_ must be a file name or a list of them, found {ast.unparse(node.value)}"
        raise ConfigError(Problem(message, file=_at(shown, node.lineno))) from None


def base_list(value: Any) -> list[str]:
    """The file names in a ``_base_``.

    Raises:
        ValueError: it is neither a text nor a list of texts.
    """
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise ValueError("not a file name or a list of them")
    return list(names)


def _at(shown: str, line: int | None) -> str:
    return f"{shown}:{line}" if line else shown


class _References(ast.NodeTransformer):
    """Turns ``'{{_base_.x}}'`` and the bare ``{{_base_.x}}`` (to Python a set in a set) into calls."""

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        if isinstance(node.value, str) and BASE_REFERENCE.search(node.value):
            call = ast.Call(ast.Name(_SUBSTITUTE, ast.Load()), [ast.Constant(node.value)], [])
            return ast.copy_location(call, node)
        return node

    def visit_Set(self, node: ast.Set) -> ast.AST:
        match node:
            case ast.Set(elts=[ast.Set(elts=[inner])]) if ast.unparse(inner).startswith("_base_."):
                return inner
        return self.generic_visit(node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.JoinedStr:
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        return node if isinstance(node.value, ast.Constant) else self.generic_visit(node)
