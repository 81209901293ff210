"""Train, plan, test and predict, from Python as from the command line. It imports Ray, as few other rooms do."""

from importlib import import_module
from typing import Any

_PUBLIC = {
    "JobResult": "results",
    "Plan": "planning",
    "PredictResult": "results",
    "RunResult": "results",
    "SyncResult": "results",
    "TestResult": "results",
    "plan": "planning",
    "predict": "prediction",
    "sync": "syncing",
    "test": "evaluation",
    "train": "training",
}

__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'rayseg.orchestration' has no attribute {name!r}")
    return getattr(import_module(f"rayseg.orchestration.{_PUBLIC[name]}"), name)
