"""rayseg train."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from rayseg.cli.options import CfgOptions, Json, Overrides, Quiet, Source, all_overrides
from rayseg.cli.output import FAILED, INTERRUPTED, OK, Output, print_errors
from rayseg.core.errors import ConfigError


def train(
    source: Source,
    overrides: Overrides = None,
    cfg_options: CfgOptions = None,
    work_dir: Annotated[
        Path | None, typer.Option(help="The run directory; work_dirs/<config name>/<time> if not given.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Training workers, instead of scaling.num_workers.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the newest checkpoint.")] = False,
    auto_resume: Annotated[
        bool, typer.Option("--auto-resume", help="Go on if there is a checkpoint, else begin (for job retries).")
    ] = False,
    local: Annotated[bool, typer.Option("--local", help="In this process, without Ray, same global batch.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what the run would do, and do nothing.")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Train a model as a config says, or go on with a run.

    Exit code: 0 finished, 1 the run failed, 2 bad input (nothing was started), 130 interrupted with its state saved.
    """
    if resume and auto_resume:
        raise ConfigError("--resume and --auto-resume: give one of them")
    out = Output(json, quiet)
    arguments: dict[str, Any] = {
        "overrides": all_overrides(overrides, cfg_options),
        "work_dir": work_dir,
        "workers": workers,
        "resume": resume,
        "auto_resume": auto_resume,
        "local": local,
    }
    if dry_run:
        from rayseg.orchestration import plan

        found = plan(source, **arguments)
        out.say(*found.lines())
        out.answer(found.as_dict())
        return OK
    from rayseg.orchestration import train as run

    result = run(source, **arguments, console=out.console())
    out.answer(result.as_dict())
    if result.status == "failed":
        print_errors([f"{result.error or 'the run failed'}; more in {result.run_dir / 'log.txt'}"])
    return {"finished": OK, "interrupted": INTERRUPTED}.get(result.status, FAILED)
