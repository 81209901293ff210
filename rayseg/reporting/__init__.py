"""One self-contained HTML page out of run directories or a sweep directory.

Cheap to import: no jinja2, no pillow, no numpy.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

__all__ = ["write_report"]


def write_report(run_dirs: Sequence[Path], out: Path | None = None) -> Path:
    """Write the report of a run, of a sweep, or the comparison of several runs, as one HTML file that loads nothing.

    Directories are only read. What is missing or damaged in them is left out, and said in the page.

    Args:
        run_dirs: run directories, or one sweep directory; one that is named twice counts once.
        out: the file to write, ending in .html; when not given ``report.html`` in the directory of the one run or
            sweep, for several runs in the current directory. It is replaced at once: a reader never sees half a page.

    Returns:
        The path of the file.

    Raises:
        ConfigError: ``out`` is no HTML file; no directory is given, or one of them is no run directory (it has no
            ``run.json``), or a sweep directory is not the only one.
        RecordingError: the file could not be written; what was there before is kept.
    """
    from rayseg.reporting.report import write

    return write(run_dirs, out)
