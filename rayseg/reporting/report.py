"""Reading run and sweep directories and writing the page."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rayseg.core.errors import ConfigError, Problem
from rayseg.reporting.charts import Chart, chart_data, comparison_charts, run_charts
from rayseg.reporting.compare import (
    circumstance_differences,
    class_comparison,
    comparison_verdict,
    config_differences,
    label_runs,
    outcomes,
    score_names,
    shared_experiment,
)
from rayseg.reporting.confusion import read_confusion
from rayseg.reporting.facts import data_sets, environment, versions
from rayseg.reporting.page import render
from rayseg.reporting.pictures import read_galleries
from rayseg.reporting.run_data import RunData, check_run_dirs, read_run_data
from rayseg.reporting.sections import (
    MAX_WARNINGS,
    attempt_rows,
    class_rows,
    config_rows,
    heat_map,
    test_rows,
    warning_rows,
)
from rayseg.reporting.summary import cards, verdict
from rayseg.reporting.sweep_data import TRIALS_DIR, is_sweep_dir, read_sweep_data
from rayseg.reporting.sweep_page import sweep_page
from rayseg.reporting.time_split import time_split
from rayseg.tracking.files import replace_file

REPORT_FILE = "report.html"


def write(run_dirs: Sequence[Path], out: Path | None = None) -> Path:
    """See ``rayseg.reporting.write_report``."""
    sweep_dir = _only_sweep(run_dirs)
    directories = check_run_dirs(run_dirs) if sweep_dir is None else [sweep_dir]
    out = _destination(directories, out)
    if sweep_dir is not None:
        page = sweep_page(read_sweep_data(sweep_dir))
    else:
        runs = [read_run_data(directory) for directory in directories]
        page = run_page(runs[0]) if len(runs) == 1 else comparison_page(runs)
    out.parent.mkdir(parents=True, exist_ok=True)
    replace_file(out, page.encode("utf-8", "replace"))
    return out


def run_page(run: RunData) -> str:
    """The page of one run."""
    notes = list(run.notes)
    confusion = read_confusion(run.directory, run.best_iter, notes)
    galleries = read_galleries(run.directory, run.best_iter, notes)
    charts = run_charts(run)
    return render(
        "run.html",
        title=run.name,
        run=run,
        verdict=verdict(run),
        cards=cards(run),
        **_drawn(charts),
        classes=class_rows(run),
        heat=heat_map(confusion) if confusion else None,
        galleries=galleries,
        tests=test_rows(run),
        times=time_split(run),
        attempts=attempt_rows(run),
        warnings=warning_rows(run),
        max_warnings=MAX_WARNINGS,
        environment=environment(run),
        data_sets=data_sets(run),
        versions=versions(run),
        config=config_rows(run),
        notes=notes,
    )


def comparison_page(runs: Sequence[RunData]) -> str:
    """The page of several runs."""
    labelled = label_runs(runs)
    score, classes = class_comparison(labelled)
    return render(
        "compare.html",
        title=f"{len(runs)} runs of {shared}" if (shared := shared_experiment(runs)) else f"{len(runs)} runs",
        verdict=comparison_verdict(labelled),
        labels=list(labelled),
        scores=list(score_names(labelled).values()),
        outcomes=outcomes(labelled),
        **_drawn(comparison_charts(labelled)),
        config=config_differences(labelled),
        circumstances=circumstance_differences(labelled),
        class_score=score,
        classes=classes,
        notes=[f"{label}: {note}" for label, run in labelled.items() for note in run.notes],
    )


def _only_sweep(paths: Sequence[Path]) -> Path | None:
    """The sweep directory that is given, None when there are run directories."""
    unique = list({path.resolve(): path for path in map(Path, paths)}.values())
    sweeps = [path for path in unique if is_sweep_dir(path)]
    if sweeps and len(unique) > 1:
        message = "this is a sweep, which is reported on alone; to compare some of its trials give their directories"
        raise ConfigError(Problem(f"{message}, such as {sweeps[0] / TRIALS_DIR / '0000'}", file=str(sweeps[0])))
    return sweeps[0] if sweeps else None


def _drawn(charts: Sequence[Chart]) -> dict[str, Any]:
    return {"charts": charts, "chart_data": chart_data(charts)}


def _destination(directories: Sequence[Path], out: Path | None) -> Path:
    if out is None:
        return directories[0] / REPORT_FILE if len(directories) == 1 else Path(REPORT_FILE)
    if Path(out).is_dir():
        raise ConfigError(
            f"{os.fspath(out)} is a directory; expected the file to write, such as {Path(out) / REPORT_FILE}"
        )
    if Path(out).suffix not in (".html", ".htm"):
        raise ConfigError(f"--out {os.fspath(out)}: a report is an HTML page; expected a name that ends in .html")
    return Path(out)
