"""MMSegmentation's training engine on Ray: hooks, optimizer wrappers and layer-wise decay for segmentation.

Importing this package imports neither torch nor ray; each public name is loaded where it is first used.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0.dev0"

_PUBLIC = {
    "Config": "rayseg.config",
    "ConfigError": "rayseg.core.errors",
    "Hook": "rayseg.engine",
    "Runner": "rayseg.engine",
    "follow_job": "rayseg.submission",
    "job_log": "rayseg.submission",
    "job_status": "rayseg.submission",
    "jobs": "rayseg.submission",
    "load_config": "rayseg.config",
    "migrate": "rayseg.migration",
    "predict": "rayseg.orchestration",
    "stop_job": "rayseg.submission",
    "submit": "rayseg.submission",
    "sync": "rayseg.orchestration",
    "test": "rayseg.orchestration",
    "train": "rayseg.orchestration",
    "tune": "rayseg.tuning",
    "write_report": "rayseg.reporting",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'rayseg' has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)
