"""Sweeps: many runs of one config whose open leaves are drawn, on Ray Tune. Like orchestration it imports Ray.

Pure parts (no Ray): ``space``, ``journal``, ``standing``, ``searchers``, ``results``.
"""

from importlib import import_module
from typing import Any

_PUBLIC = {
    "SweepPlan": "planning",
    "SweepResult": "results",
    "plan_sweep": "planning",
    "sync_sweep": "syncing",
    "tune": "sweeping",
}

__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'rayseg.tuning' has no attribute {name!r}")
    return getattr(import_module(f"rayseg.tuning.{_PUBLIC[name]}"), name)
