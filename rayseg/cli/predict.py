"""rayseg predict."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rayseg.cli.options import CfgOptions, Checkpoint, Json, Quiet, Source, all_overrides, without_overrides
from rayseg.cli.output import OK, Output
from rayseg.core.errors import ConfigError


def predict(
    source: Source,
    images: Annotated[list[str], typer.Argument(metavar="IMAGE_OR_DIR...", help="Images, or directories of them.")],
    out: Annotated[Path | None, typer.Option(help="Where to write; <run>/predictions if not given.")] = None,
    cfg_options: CfgOptions = None,
    checkpoint: Checkpoint = "best",
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there already.")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Segment images: a mask of class indices and an overlay for each."""
    from rayseg.orchestration import predict as segment

    paths, overrides = without_overrides(images)
    if not paths:
        raise ConfigError("no image: name images, or directories of them, after the run directory")
    output = Output(json, quiet)
    overrides = all_overrides(overrides, cfg_options)
    result = segment(source, paths, out=out, checkpoint=checkpoint, overrides=overrides, force=force)
    count = len(result.masks)
    output.say(f"{result.checkpoint}: {count} image{'s' * (count != 1)}, masks and overlays in {result.out}")
    output.answer(result.as_dict())
    return OK
