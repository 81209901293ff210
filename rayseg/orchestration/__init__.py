"""Train, plan, test and predict, from Python as from the command line. The only room that imports Ray."""

from importlib import import_module
from typing import Any

_PUBLIC = {
    "JobResult": "results",
    "Plan": "planning",
    "PredictResult": "results",
    "RunResult": "results",
    "SyncResult": "results",
    "TestResult": "results",
    "follow_job": "job_control",
    "job_log": "job_control",
    "job_status": "job_control",
    "jobs": "job_control",
    "plan": "planning",
    "predict": "prediction",
    "stop_job": "job_control",
    "submit": "submitting",
    "sync": "syncing",
    "test": "evaluation",
    "train": "training",
}

__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'rayseg.orchestration' has no attribute {name!r}")
    return getattr(import_module(f"rayseg.orchestration.{_PUBLIC[name]}"), name)
