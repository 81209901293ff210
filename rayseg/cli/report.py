"""rayseg report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rayseg.cli.options import Json, Quiet
from rayseg.cli.output import OK, Output


def report(
    run_dirs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN_OR_SWEEP_DIR...", help="One run, one sweep, or several runs to compare."),
    ],
    out: Annotated[
        Path | None, typer.Option(help="The file; report.html in the directory, or here for several runs.")
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Make one HTML file of a run, of a sweep, or of several runs side by side; it needs no network."""
    from rayseg.reporting import write_report

    output = Output(json, quiet)
    path = write_report(run_dirs, out)
    output.say(f"written to {path}")
    output.answer({"path": str(path.absolute())})
    return OK
