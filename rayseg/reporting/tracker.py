"""Report: the tracker that makes ``report.html`` when a run has ended."""

from __future__ import annotations

from rayseg.core.record import Record
from rayseg.tracking.tracker import RunInfo, Tracker


class Report(Tracker):
    """Makes ``report.html`` in the run directory; it stands before the trackers that send the file on.

    ``trackers = dict(report=None)`` turns it off; ``rayseg report RUN_DIR`` makes it at any time.
    """

    def start(self, run: RunInfo) -> None:
        """Note which run."""
        self._run_dir = run.run_dir

    def write(self, record: Record) -> None:
        """Nothing is shown before the end."""

    def flush(self, timeout_s: float) -> None:
        """Make the report."""
        from rayseg.reporting import write_report

        write_report([self._run_dir])

    def finish(self, status: str, error: str | None) -> None:
        """Nothing is left to do."""
