"""Several runs side by side, and what differs between them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rayseg.reporting.facts import data_sets, git, hardware, versions
from rayseg.reporting.metrics import LESS_IS_BETTER, MAIN_SCORE, score_titles
from rayseg.reporting.run_data import RunData
from rayseg.reporting.sections import Cell, score_cell
from rayseg.reporting.values import NONE, as_text, named, plural, span, whole

Runs = Mapping[str, RunData]


@dataclass(frozen=True)
class Outcome:
    """A run's row: its label, status, the best of each score with its iteration, iterations, time."""

    label: str
    directory: str
    status: str
    scores: Sequence[tuple[str, str, bool]]  # value, iteration, whether it is the best of all runs
    iterations: str
    duration: str


@dataclass(frozen=True)
class Difference:
    """Something that is not the same in all runs: a text for each of them, an empty one where a run lacks it."""

    name: str
    values: Sequence[str]


@dataclass(frozen=True)
class ClassComparison:
    """A class in every run, and how far apart its best and its worst score are."""

    name: str
    cells: Sequence[Cell]
    spread: str


def label_runs(runs: Sequence[RunData]) -> dict[str, RunData]:
    """Runs by a name that tells them apart: their own, with as much of the path as that takes.

    An experiment that all of them belong to is not said again in each.
    """
    shared = shared_experiment(runs)
    labels = [run.name.removeprefix(f"{shared}/") if shared else run.name for run in runs]
    depth = 1
    longest = max(len(run.directory.resolve().parts) for run in runs)
    while len(set(labels)) < len(labels) and depth < longest:
        depth += 1
        repeated = {label for label in labels if labels.count(label) > 1}
        paths = ["/".join(run.directory.resolve().parts[-depth:]) for run in runs]
        labels = [path if label in repeated else label for label, path in zip(labels, paths, strict=True)]
    return dict(zip(labels, runs, strict=True))


def shared_experiment(runs: Sequence[RunData]) -> str:
    """The experiment of all runs, empty when they have several or none."""
    experiments = {run.text("experiment") for run in runs}
    return experiments.pop() if len(experiments) == 1 else ""


def score_names(runs: Runs) -> dict[str, str]:
    """Name → heading of everything that has a best in a run, mIoU first."""
    bests = [run.best for run in runs.values()]
    names = dict.fromkeys(name for best in bests for name in best)
    titles = score_titles({name: [best[name].value if name in best else math.nan for best in bests] for name in names})
    return dict(sorted(titles.items(), key=lambda item: (item[0] != MAIN_SCORE, item[0] in LESS_IS_BETTER)))


def outcomes(runs: Runs) -> list[Outcome]:
    """A row for each run."""
    bests = {label: run.best for label, run in runs.items()}
    leading = {}
    for name in score_names(runs):
        values = [best[name].value for best in bests.values() if name in best and math.isfinite(best[name].value)]
        choose = min if name in LESS_IS_BETTER else max
        leading[name] = choose(values) if values else math.nan
    rows = []
    for label, run in runs.items():
        scores = []
        for name, top in leading.items():
            best = bests[label].get(name)
            scores.append((named(name, best.value), whole(best.iter), best.value == top) if best else (NONE, "", False))
        length = whole(run.iterations), span(run.duration_s)
        rows.append(Outcome(label, str(run.directory), run.status, scores, *length))
    return rows


def comparison_verdict(runs: Runs) -> str:
    """Which run has the best score, and how many finished."""
    finished = sum(run.status == "finished" for run in runs.values())
    text = f"{finished} of {plural(len(runs), 'run')} finished."
    scored = {label: run.best[MAIN_SCORE] for label, run in runs.items() if MAIN_SCORE in run.best}
    if not scored:
        return f"{text} No run has a {MAIN_SCORE} yet."
    ranking = sorted(scored, key=lambda label: scored[label].value, reverse=True)
    first = scored[ranking[0]]
    text += (
        f" The best {MAIN_SCORE} is {named(MAIN_SCORE, first.value)}, by {ranking[0]} at iteration {whole(first.iter)}"
    )
    if len(ranking) > 1:
        ahead = 100 * (first.value - scored[ranking[1]].value)
        text += f", {ahead:.2f} points ahead of {ranking[1]}" if ahead > 0 else f", the same as {ranking[1]}'s"
    return text + "."


def config_differences(runs: Runs) -> list[Difference]:
    """The leaves of the configs that are not the same in all runs; an empty text where a run has no such leaf."""
    leaves = [dict(run.config.leaves or {}) if run.config else {} for run in runs.values()]
    return _differences(leaves)


def circumstance_differences(runs: Runs) -> list[Difference]:
    """What differs besides the configs: versions, commit, host, hardware, workers, seed, data."""
    return _differences([_circumstances(run) for run in runs.values()])


def class_comparison(runs: Runs) -> tuple[str, list[ClassComparison]]:
    """The first score of each class in each run's best validation, lowest mean first, and the score's name."""
    found = [run.classes() for run in runs.values()]
    tables = [entry[0] if entry else None for entry in found]
    score = next((table.names[0] for table in tables if table), "")
    names = dict.fromkeys(name for table in tables if table for name in table.rows)
    rows = []
    for name in names:
        values = [table.rows.get(name, {}).get(score, math.nan) if table else math.nan for table in tables]
        finite = [value for value in values if math.isfinite(value)]
        spread = f"{100 * (max(finite) - min(finite)):.2f}" if len(finite) > 1 else NONE
        mean = sum(finite) / len(finite) if finite else math.inf
        rows.append((mean, ClassComparison(name, [score_cell(value) for value in values], spread)))
    return score, [row for _, row in sorted(rows, key=lambda item: item[0])]


def _circumstances(run: RunData) -> dict[str, str]:
    found = {name: run.text(name) for name in ("seed", "world_size", "global_batch_size", "threads", "device", "host")}
    found |= {"git commit": git(run), "hardware": ", ".join(hardware(run))}
    found |= {f"version of {name}": value for name, value in versions(run)}
    for data in data_sets(run):
        images = whole(data.images)
        found[f"{data.role} data"] = " ".join(filter(None, [data.name, f"({images} images)", data.fingerprint[:12]]))
    return found


def _differences(sides: Sequence[Mapping[str, str]]) -> list[Difference]:
    names = dict.fromkeys(name for side in sides for name in side)
    rows = [Difference(name, [as_text(side.get(name)) for side in sides]) for name in names]
    return [row for row in rows if len(set(row.values)) > 1]
