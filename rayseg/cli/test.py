"""rayseg test."""

from __future__ import annotations

from typing import Annotated

import typer

from rayseg.cli.options import CfgOptions, Checkpoint, Json, Overrides, Quiet, Source, all_overrides
from rayseg.cli.output import OK, Output


def score(
    source: Source,
    overrides: Overrides = None,
    cfg_options: CfgOptions = None,
    checkpoint: Checkpoint = "best",
    tta: Annotated[bool, typer.Option("--tta", help="Average over each image and its mirror image.")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Score a checkpoint on the test data.

    Where a config has no test data, it is validation's.
    """
    from rayseg.orchestration import test

    out = Output(json, quiet)
    result = test(source, overrides=all_overrides(overrides, cfg_options), checkpoint=checkpoint, tta=tta)
    images = f"{result.images} image{'s' * (result.images != 1)}"
    out.say(f"{result.checkpoint} on {images}", *_table(result.metrics), f"written to {result.path}")
    out.answer(result.as_dict())
    return OK


def _table(metrics: dict[str, float]) -> list[str]:
    from rayseg.tracking.table import ClassTable, is_fraction, percent, split_class_key

    table = ClassTable.from_scalars(metrics)
    whole = {key: value for key, value in metrics.items() if split_class_key(key) is None}
    line = ", ".join(f"{k} {percent(v)}" if is_fraction(k) else f"{k} {v:.4g}" for k, v in whole.items())
    return [*(table.plain() if table else []), line]
