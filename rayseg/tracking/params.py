"""A run's config and surroundings as flat names and texts, as trackers show them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Any

from rayseg.config import load_config
from rayseg.config.tree import walk
from rayseg.core.errors import ConfigError
from rayseg.tracking.redact import Redactor

CONFIG_FILE = "config.py"
PARSING = Lock()  # CPython 3.11's ast.parse fails now and then where two threads are in it
ENVIRONMENT = (
    "seed", "world_size", "global_batch_size", "threads", "device", "attempt", "command", "host", "cwd",
    "versions", "git", "hardware", "data",
)  # fmt: skip


def read_config(run_dir: Path) -> Mapping[str, Any]:
    """The run's config as its directory has it; empty when ``config.py`` is not there or cannot be loaded."""
    path = run_dir / CONFIG_FILE
    if not path.is_file():
        return {}
    try:
        with PARSING:
            return load_config(path)
    except ConfigError:
        return {}


def config_params(run_dir: Path) -> dict[str, str]:
    """Key path → text of every leaf of the config: ``optim_wrapper.optimizer.lr`` → ``0.001``; secrets are hidden."""
    return flat(read_config(run_dir))


def environment(facts: Mapping[str, Any]) -> dict[str, str]:
    """What ``run.json`` says of a run's surroundings: ``versions.torch`` → ``2.14.1``, ``git.commit``, ``seed`` ..."""
    return flat({name: facts[name] for name in ENVIRONMENT if facts.get(name) is not None})


def flat(tree: Mapping[str, Any]) -> dict[str, str]:
    """Key path → text of every leaf; secrets are hidden."""
    redact = Redactor()
    return {path: redact(str(value)) for path, value in walk(redact.tree(tree))}
