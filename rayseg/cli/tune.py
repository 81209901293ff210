"""rayseg tune."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from rayseg.cli.options import CfgOptions, Json, Overrides, Quiet, all_overrides
from rayseg.cli.output import FAILED, INTERRUPTED, OK, Output, print_errors
from rayseg.core.errors import ConfigError


def tune(
    source: Annotated[
        str, typer.Argument(metavar="CONFIG|SWEEP_DIR", help="A config file with open leaves, or a sweep directory.")
    ],
    overrides: Overrides = None,
    cfg_options: CfgOptions = None,
    work_dir: Annotated[
        Path | None, typer.Option(help="The sweep directory; work_dirs/<config name>/<time> if not given.")
    ] = None,
    num_samples: Annotated[int | None, typer.Option(min=1, help="Trials, instead of tune.num_samples.")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Training workers of each trial, instead of scaling.num_workers.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the sweep of the directory.")] = False,
    auto_resume: Annotated[
        bool, typer.Option("--auto-resume", help="Go on if there is a sweep, else begin (for job retries).")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the space and check it, and do nothing.")] = False,
    export_best: Annotated[
        int | None,
        typer.Option(min=1, metavar="K", help="Write the configs of the best K trials of a sweep directory."),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Draw what a config leaves open, train each draw, and find the best, on Ray Tune.

    Exit code: 0 finished, 1 no trial gave a score, 2 bad input (nothing was started), 130 interrupted with all state
    saved.
    """
    if resume and auto_resume:
        raise ConfigError("--resume and --auto-resume: give one of them")
    out = Output(json, quiet)
    arguments: dict[str, Any] = {
        "overrides": all_overrides(overrides, cfg_options),
        "work_dir": work_dir,
        "num_samples": num_samples,
        "workers": workers,
        "resume": resume,
        "auto_resume": auto_resume,
    }
    if export_best is not None:
        from rayseg.tuning.exporting import export_best as export

        paths = export(source, export_best)
        out.say(*map(str, paths))
        out.answer({"configs": [str(path) for path in paths]})
        return OK
    if dry_run:
        from rayseg.tuning import plan_sweep

        found = plan_sweep(source, **arguments)
        out.say(*found.lines())
        out.answer(found.as_dict())
        return OK
    from rayseg.tuning import tune as run
    from rayseg.tuning.table import SweepConsole

    result = run(source, **arguments, console=SweepConsole(quiet=quiet, json=json))
    out.answer(result.as_dict())
    if result.status == "failed":
        print_errors([f"{result.error or 'the sweep failed'}; more in {result.sweep_dir}"])
    return {"finished": OK, "interrupted": INTERRUPTED}.get(result.status, FAILED)
