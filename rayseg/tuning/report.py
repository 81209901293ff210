"""The sweep's report, written when a sweep ends."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rayseg.config import Config
from rayseg.tracking.redact import Redactor


def write_sweep_report(config: Config, sweep_dir: Path) -> str | None:
    """Write ``report.html`` into a sweep directory, unless the config says ``trackers.report=None``.

    Nothing that goes wrong is raised: a sweep does not fail for its report.

    Returns:
        What went wrong, on one line; None when nothing did.
    """
    trackers = config.get("trackers")
    if isinstance(trackers, Mapping) and "report" in trackers and trackers["report"] is None:
        return None
    from rayseg.reporting import write_report

    try:
        write_report([sweep_dir])
    except Exception as error:
        cause = "; ".join(f"{type(error).__name__}: {error}".splitlines())
        return f"report.html could not be written ({Redactor()(cause)}); rayseg report {sweep_dir} tries it again"
    return None
