"""rayseg sync."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from rayseg.cli.options import CfgOptions, Json, Overrides, Quiet, all_overrides
from rayseg.cli.output import OK, Output


class Destination(Enum):
    """Where a run can be sent."""

    MLFLOW = "mlflow"
    WANDB = "wandb"
    TENSORBOARD = "tensorboard"


def sync(
    run_dir: Annotated[
        Path, typer.Argument(metavar="RUN_OR_SWEEP_DIR", help="A run directory, or a sweep's with all its trials.")
    ],
    to: Annotated[Destination, typer.Option(help="Where to.")],
    overrides: Overrides = None,
    cfg_options: CfgOptions = None,
    again: Annotated[bool, typer.Option("--again", help="Send all of it, whatever was sent before.")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Send what a tracker has not got of a run or a sweep, after an outage or from a machine without network.

    Another server: trackers.mlflow.tracking_uri=http://... Sending twice changes nothing.
    """
    from rayseg import orchestration, tuning
    from rayseg.tuning.sweep_dir import is_sweep_dir

    output = Output(json, quiet)
    send = tuning.sync_sweep if is_sweep_dir(run_dir) else orchestration.sync
    result = send(run_dir, to.value, overrides=all_overrides(overrides, cfg_options), again=again, say=output.say)
    output.say(f"{result.destination}: {result.lines} lines and {result.pictures} pictures sent")
    output.answer(result.as_dict())
    return OK
