"""rayseg migrate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rayseg.cli.options import Json, Quiet
from rayseg.cli.output import OK, Output


def migrate(
    config: Annotated[Path, typer.Argument(metavar="MM_CONFIG", help="A config of MMSegmentation 1.x.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="OUT", help="The config to write, a .py file.")],
    force: Annotated[bool, typer.Option("--force", help="Replace OUT if it is there.")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Turn an MMSegmentation config into one for rayseg, and list what did not come over as it was.

    Exit code 2 if MM_CONFIG is no config. A Python config is executed. 'rayseg config OUT' checks the result.
    """
    from rayseg.migration import migrate as make

    output = Output(json, quiet)
    migration = make(config, out, force=force)
    output.say(*(str(line) for line in migration.lines))
    counts = {kind: sum(line.kind == kind for line in migration.lines) for kind in ("missing", "differs", "dropped")}
    shown = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count) or "nothing lost"
    output.say(f"{out}: {migration.family or 'no model'}; {shown}")
    output.answer(
        {
            "path": str(out.absolute()),
            "family": migration.family,
            "whole": migration.is_whole,
            "lines": [line.as_dict() for line in migration.lines],
        }
    )
    return OK
