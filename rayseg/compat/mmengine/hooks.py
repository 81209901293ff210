"""``mmengine.hooks``: the base class, and the hooks that come with the engine, each imported where it is first used."""

from __future__ import annotations

from typing import Any

from rayseg.core.registries import HOOKS
from rayseg.engine.hook import DataBatch, Hook
from rayseg.engine.hook import priority_number as get_priority

__all__ = ["DATA_BATCH", "Hook", "get_priority"]

DATA_BATCH = DataBatch


def __getattr__(name: str) -> Any:
    if name.endswith("Hook"):
        return HOOKS.resolve(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
