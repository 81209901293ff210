"""A run or a sweep as a job on a Ray cluster: checked and packed here, followed and stopped from here."""

from importlib import import_module
from typing import Any

_PUBLIC = {
    "follow_job": "control",
    "job_log": "control",
    "job_status": "control",
    "jobs": "control",
    "stop_job": "control",
    "submit": "submitting",
}

__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'rayseg.submission' has no attribute {name!r}")
    return getattr(import_module(f"rayseg.submission.{_PUBLIC[name]}"), name)
