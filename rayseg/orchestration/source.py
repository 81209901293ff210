"""From what a user names (a config file, a run directory, a dict) to a checked and completed config."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rayseg.config import Config, check_config, complete_config, find_search_leaves, load_config, resolve_env
from rayseg.config.check import TRAINING_SECTIONS
from rayseg.config.overrides import apply_overrides
from rayseg.core.errors import ConfigError, Problem

CONFIG_FILE = "config.py"
CODE_DIR = "code"

Source = str | os.PathLike[str] | Mapping[str, Any]
Overrides = Iterable[str] | Mapping[str, Any]


def read_source(source: Source, overrides: Overrides = ()) -> tuple[Config, Path | None]:
    """The config with its overrides, unchecked, and the run directory if ``source`` is one.

    A file that lies in a run or sweep directory (``best_config.py``) finds the modules that are kept there.

    Raises:
        ConfigError: no such file or directory, a directory without a config, or an override that cannot be applied.
    """
    if isinstance(source, Mapping):
        config = source if isinstance(source, Config) else Config.from_dict(source)
        origins = dict(config.provenance.origins)
        tree = apply_overrides(config, overrides, origins)
        return Config(tree, replace(config.provenance, origins=origins)), None
    path = Path(source)
    if not path.is_dir():
        config = load_config(path, overrides)
        is_kept = (path.parent / CONFIG_FILE).is_file() and (path.parent / CODE_DIR).is_dir()
        return with_saved_code(config, path.parent) if is_kept else config, None
    if not (path / CONFIG_FILE).is_file():
        raise ConfigError(Problem(f"no run directory: it has no {CONFIG_FILE}", file=str(path)))
    return with_saved_code(load_config(path / CONFIG_FILE, overrides), path), path.absolute()


def with_saved_code(config: Config, run_dir: Path) -> Config:
    """The config, its dotted paths looked up first among the modules that the run directory keeps."""
    code = str(run_dir.absolute() / CODE_DIR)
    paths = tuple(dict.fromkeys((code, *config.provenance.import_path)))
    return Config(config, replace(config.provenance, import_path=paths))


def checked(
    config: Config, needs: Iterable[str] = TRAINING_SECTIONS, *, may_search: bool = False
) -> tuple[Config, list[str]]:
    """The config checked and completed, with the checker's notes; environment variables are left to who runs it.

    Raises:
        ConfigError: everything that is wrong with it; search leaves that are still open unless ``may_search``.
    """
    notes = check_config(config, needs)
    if not may_search and (leaves := find_search_leaves(config)):
        raise ConfigError(
            Problem("still open: 'rayseg tune' draws it, here give it a value", path, config.origin(path))
            for path in leaves
        )
    return complete_config(config), notes


def resolved(config: Config, needs: Iterable[str] = TRAINING_SECTIONS) -> tuple[Config, list[str]]:
    """The config checked and completed, with the checker's notes.

    Raises:
        ConfigError: as ``checked``; an environment variable that is not set.
    """
    completed, notes = checked(config, needs)
    resolve_env(completed)
    return completed, notes
