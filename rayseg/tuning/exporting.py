"""export_best: the configs of the best trials of a sweep directory, also while the sweep goes on."""

from __future__ import annotations

import os
from pathlib import Path

from rayseg.core.errors import ConfigError
from rayseg.tracking.files import replace_file
from rayseg.tuning.journal import read_journal
from rayseg.tuning.results import best_config, best_ones, read_sweep
from rayseg.tuning.standing import Standing


def export_best(sweep_dir: str | os.PathLike[str], count: int) -> list[Path]:
    """Write the configs of the best trials as ``best_<rank>_<trial>.py`` beside it; gives the paths, the best first.

    Raises:
        ConfigError: no sweep directory, or no trial has a score yet.
    """
    path = Path(sweep_dir)
    standing, facts = Standing(read_journal(path)), read_sweep(path)
    metric, mode = facts.get("metric", "mIoU"), facts.get("mode", "max")
    best = best_ones(standing, metric, mode, count)
    if not best:
        raise ConfigError(f"{path}: no trial has a score yet, so there is nothing to export")
    paths = []
    for rank, found in enumerate(best, 1):
        paths.append(path / f"best_{rank:02d}_{found['trial']}.py")
        replace_file(paths[-1], best_config(path, found, metric).encode())
    return paths
