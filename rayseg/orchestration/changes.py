"""What a resume may change: two resolved configs compared leaf by leaf."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from types import FunctionType
from typing import Any

ALLOWED = (
    "train_cfg.max_iters",
    "train_cfg.max_epochs",
    "train_cfg.val_interval",
    "train_cfg.val_begin",
    "default_hooks.*.interval",
    "default_hooks.checkpoint.max_keep_ckpts",
    "default_hooks.visualization.*",
    "custom_hooks.*.interval",
    "custom_hooks.*.policy",
    "param_scheduler.end",
    "param_scheduler.*.end",
    "trackers*",
    "scaling*",
    "failure*",
    "log_processor*",
    "*_dataloader.num_workers",
    "*_dataloader.prefetch_factor",
    "*_dataloader.persistent_workers",
    "*_dataloader.pin_memory",
    "env_cfg.control_interval",
    "visualizer*",
    "vis_backends*",
    "log_level",
    "resume",
    "work_dir",
)
MISSING = "(not set)"


def refused_changes(
    saved: Mapping[str, Any], wanted: Mapping[str, Any], allowed: Sequence[str] = ALLOWED
) -> list[tuple[str, str, str]]:
    """The key paths that differ and may not, each with the saved and the wanted value as text.

    Args:
        allowed: patterns of key paths that may differ.
    """
    before, after = dict(_leaves(saved)), dict(_leaves(wanted))
    differing = [key for key in {**before, **after} if before.get(key, MISSING) != after.get(key, MISSING)]
    return [
        (key, before.get(key, MISSING), after.get(key, MISSING))
        for key in differing
        if not any(fnmatchcase(key, pattern) for pattern in allowed)
    ]


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Key paths and values as text; EMA's and other intervals inside lists count by their position."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple) and value:
        for index, item in enumerate(value):
            yield from _leaves(item, f"{path}.{index}")
    elif isinstance(value, type | FunctionType):
        yield path, repr(f"{value.__module__}.{value.__qualname__}")  # as the saved config names it
    elif value is not None:
        yield path, repr(value)
