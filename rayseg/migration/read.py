"""Reading an MM config: its sections, and the top-level names that MM reads and rayseg does not."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rayseg.config.load import read_source
from rayseg.config.sections import SECTIONS
from rayseg.config.tree import ConfigDict
from rayseg.core.errors import ConfigError, Problem

# Top-level names that MM's runner reads; in a Python file everything else there is a helper variable.
MM_ONLY = ("find_unused_parameters", "model_wrapper_cfg", "compile", "strategy", "runner_type", "broadcast_buffers")
# Sections of MM 0.x, which MM 1.x (and rayseg) say otherwise.
OLD_SECTIONS = {
    "data": "train_dataloader",
    "runner": "train_cfg",
    "lr_config": "param_scheduler",
    "optimizer_config": "optim_wrapper",
    "checkpoint_config": "default_hooks",
    "log_config": "default_hooks",
    "evaluation": "val_evaluator",
}
_ENVIRONMENT = re.compile(r"\{\{\s*['\"]?\s*\$(\w+)\s*(?::[^{}]*)?\}\}")


@dataclass(frozen=True)
class MMConfig:
    """What an MM config amounts to.

    Attributes:
        path: as it was given.
        tree: its sections, bases merged.
        mm_only: names of ``MM_ONLY`` and ``OLD_SECTIONS`` that it sets.
        environment: variables that its files read as ``{{$NAME:default}}``.
        slips: helper variables whose name is a slip away from a section's.
    """

    path: str
    tree: ConfigDict
    mm_only: dict[str, Any]
    environment: tuple[str, ...]
    slips: tuple[Problem, ...]


def read_mm_config(path: str | os.PathLike[str]) -> MMConfig:
    """Read an MM config (Python, YAML or JSON) with its bases. Python files are executed.

    Raises:
        ConfigError: it cannot be read, or it holds no section.
    """
    shown = os.fspath(path)
    source = read_source(Path(shown).absolute(), shown, ())
    everything = {**source.helpers, **source.tree}
    tree = ConfigDict({name: value for name, value in source.tree.items() if name in SECTIONS})
    unread = {name for name in OLD_SECTIONS if name in everything and name not in source.reads}
    mm_only = {name: value for name, value in everything.items() if name in MM_ONLY or name in unread}
    if not tree and not unread:
        names = ", ".join(list(everything)[:3]) or "nothing"
        raise ConfigError(
            Problem(f"no config: it sets {names}, and no section such as model or train_dataloader", file=shown)
        )
    return MMConfig(shown, tree, mm_only, environment_of(Path(shown), source.origins.values()), tuple(source.problems))


def environment_of(path: Path, files: Iterable[str]) -> tuple[str, ...]:
    """The variables that a file and others read as ``{{$NAME:default}}``, each once."""
    names: dict[str, None] = {}
    for file in dict.fromkeys([str(path), *files]):
        if Path(file).is_file():
            names |= dict.fromkeys(_ENVIRONMENT.findall(Path(file).read_text(encoding="utf-8")))
    return tuple(names)
