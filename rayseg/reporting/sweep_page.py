"""The page of a sweep."""

from __future__ import annotations

from rayseg.reporting.facts import versions
from rayseg.reporting.importance import importances
from rayseg.reporting.page import render
from rayseg.reporting.sweep_charts import score_scale, slice_order, sweep_chart_data
from rayseg.reporting.sweep_data import SweepData
from rayseg.reporting.sweep_dimensions import axes_of
from rayseg.reporting.sweep_sections import (
    NEXT_BEST,
    ancestry,
    as_run,
    best_against_rest,
    failure_rows,
    origin_rows,
    seed_rows,
    sweep_environment,
    trial_links,
    trial_rows,
)
from rayseg.reporting.sweep_summary import sweep_cards, sweep_verdict

SCRIPTS = ("axes.js", "sweep.js", "parallel.js", "sweep_plots.js")
BEST_FILE = "best_config.py"


def sweep_page(sweep: SweepData) -> str:
    """The page of a sweep as HTML."""
    axes = axes_of(sweep.dimensions, [trial.draw for trial in sweep.trials])
    links, scale = trial_links(sweep), score_scale(sweep)
    rows, importance = trial_rows(sweep, axes, scale, links), importances(sweep)
    slices = slice_order(axes, {row.dimension.name: row.share for row in importance.rows})
    data = sweep_chart_data(sweep, axes, slices, links)
    return render(
        "sweep.html",
        scripts=SCRIPTS,
        title=sweep.name,
        sweep=sweep,
        verdict=sweep_verdict(sweep),
        cards=sweep_cards(sweep),
        drawable=bool(sweep.ranked),
        chart_data=data,
        axes=axes,
        gaps=any(value is None for trial in data["trials"] for value in trial["values"]),
        beyond=scale.beyond,
        unit=scale.unit,
        time_unit=data["progress"]["unit"],
        rows=rows,
        hidden=len(sweep.trials) > len(rows),
        remarks=any(row.remark for row in rows),
        links=links,
        importances=importance,
        slices=slices,
        against=best_against_rest(sweep, axes),
        following=sweep.ranked[1 : 1 + NEXT_BEST],
        has_best_config=(sweep.directory / BEST_FILE).is_file(),
        seeds=seed_rows(sweep),
        origins=origin_rows(sweep),
        ancestry=ancestry(sweep),
        failures=failure_rows(sweep),
        environment=sweep_environment(sweep),
        versions=versions(as_run(sweep)),
        notes=list(sweep.notes),
    )
