"""rayseg data: prepare, check, show."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from rayseg.cli.options import CfgOptions, Json, Overrides, Quiet, Source, all_overrides
from rayseg.cli.output import BAD_INPUT, OK, Output
from rayseg.core.errors import ConfigError, did_you_mean

PREPARED = ("bluemarble",)
app = typer.Typer(help="Prepare a data set, check one, look at a batch of one.", rich_markup_mode=None)


@app.command()
def prepare(
    name: Annotated[str, typer.Argument(metavar="NAME", help=f"One of: {', '.join(PREPARED)}.")],
    root: Annotated[
        Path | None, typer.Option(help="The data set's directory; data/NAME under RAYSEG_HOME if not given.")
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Make a data set of images and annotations; what is there already stays."""
    if name not in PREPARED:
        raise ConfigError(f"{name!r} cannot be prepared, only {', '.join(PREPARED)}{did_you_mean(name, PREPARED)}")
    from rayseg.data.bluemarble import prepare_bluemarble

    out = Output(json, quiet)
    path = prepare_bluemarble(root)
    counts = {split: sum(1 for _ in (path / "images" / split).iterdir()) for split in ("train", "val")}
    out.say(f"{name}: {counts['train']} training and {counts['val']} validation images in {path}")
    out.answer({"name": name, "path": str(path), "images": counts})
    return OK


@app.command()
def check(
    source: Source,
    overrides: Overrides = None,
    cfg_options: CfgOptions = None,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Read every file of a config's data: pairs, sizes, modes, classes, values outside them, duplicates of splits."""
    out = Output(json, quiet)
    config = _config(source, all_overrides(overrides, cfg_options))
    from rayseg.data.check import check_dataset

    report = check_dataset(config)
    out.say(*report.lines())
    out.answer(report.as_dict())
    return OK if report.ok else BAD_INPUT


@app.command()
def show(
    source: Source,
    overrides: Overrides = None,
    cfg_options: CfgOptions = None,
    out: Annotated[Path, typer.Option(help="The picture.")] = Path("batch.png"),
    position: Annotated[int, typer.Option(min=0, help="Samples of the training stream before this batch.")] = 0,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Draw a training batch as the model gets it, with its labels."""
    output = Output(json, quiet)
    config = _config(source, all_overrides(overrides, cfg_options))
    from rayseg.data.show import show_batch

    path = show_batch(config, out, position=position)
    output.say(f"written to {path}")
    output.answer({"path": str(path.absolute())})
    return OK


def _config(source: str, overrides: list[str]) -> Any:
    """The checked config; only the data need be there."""
    from rayseg.config import prepend_import_path, resolve_env
    from rayseg.config.imports import import_path_of
    from rayseg.orchestration.source import read_source, resolved

    config, _ = read_source(source, overrides)
    config, _ = resolved(config, ("train_dataloader",))
    prepend_import_path(*import_path_of(config))
    return resolve_env(config)
