"""Where a config's dotted paths are looked up, and the modules it asks to have imported."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from rayseg.config.describe import describe_error
from rayseg.core.errors import ConfigError, Problem


@contextmanager
def on_import_path(*directories: str) -> Iterator[None]:
    """Put directories first on the import path, in this order, and take them off again."""
    sys.path[:0] = directories
    try:
        yield
    finally:
        for directory in directories:
            if directory in sys.path:
                sys.path.remove(directory)


def prepend_import_path(*directories: str) -> None:
    """Put directories first on the import path, in this order, for the rest of the process (as workers need it)."""
    first = list(dict.fromkeys(directories))
    sys.path[:] = first + [entry for entry in sys.path if entry not in first]


@contextmanager
def config_import_path(config: Any) -> Iterator[None]:
    """While it lasts, dotted paths are looked up first in the config's directory and the one it was loaded from."""
    with on_import_path(*import_path_of(config)):
        yield


def import_path_of(config: Any) -> tuple[str, ...]:
    """A config's import path: absolute directories, its own first; the current one when it is a plain dict."""
    provenance = getattr(config, "provenance", None)
    return (provenance.import_path if provenance else ()) or (str(Path.cwd()),)


def import_custom(config: Mapping[str, Any]) -> list[str]:
    """Import the modules of ``custom_imports``, so that what they register can be named.

    Returns:
        One line for each that failed and was allowed to.

    Raises:
        ConfigError: naming every module that could not be imported and why.
    """
    section = config.get("custom_imports") or {}
    modules = section.get("imports") or []
    failed = []
    for module in [modules] if isinstance(modules, str) else modules:
        try:
            import_module(module)
        except (Exception, SystemExit) as error:
            message = f"importing {module!r} failed: {describe_error(error)}"
            failed.append(Problem(message, "custom_imports.imports", _origin(config, "custom_imports.imports")))
    if failed and not section.get("allow_failed_imports", False):
        raise ConfigError(failed)
    return [str(problem) for problem in failed]


def _origin(config: Any, path: str) -> str:
    return config.origin(path) if hasattr(config, "origin") else ""
