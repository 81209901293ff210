"""Arguments and options that several verbs share."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

Source = Annotated[str, typer.Argument(metavar="CONFIG|RUN_DIR", help="A config file, or a run directory.")]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="key=value", help="Overrides, such as train_cfg.max_iters=300.")
]
CfgOptions = Annotated[
    list[str] | None, typer.Option("--cfg-options", metavar="key=value", help="An override, as MM's users write it.")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout; text goes to stderr.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]
Checkpoint = Annotated[
    str, typer.Option(metavar="best|last|iter_N|PATH", help="Which checkpoint, or a file of weights.")
]


def all_overrides(*given: Iterable[str] | None) -> list[str]:
    """The overrides of every place where they may stand, in order."""
    return [override for place in given for override in place or ()]


def without_overrides(arguments: Iterable[str]) -> tuple[list[str], list[str]]:
    """File names and overrides apart: what holds ``=`` and is no file is an override."""
    paths: list[str] = []
    overrides: list[str] = []
    for argument in arguments:
        (overrides if "=" in argument and not Path(argument).exists() else paths).append(argument)
    return paths, overrides
