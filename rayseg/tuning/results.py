"""What a sweep has found: sweep.json, trials.csv, best_config.py, and the result that ``tune`` returns."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from rayseg.config import load_config
from rayseg.config.search import Range
from rayseg.orchestration.source import CONFIG_FILE
from rayseg.tracking.files import replace_file
from rayseg.tracking.json_lines import encode
from rayseg.tracking.redact import Redactor
from rayseg.tuning.repeats import seed_table
from rayseg.tuning.space import Dimension, Space
from rayseg.tuning.standing import Standing, TrialState
from rayseg.tuning.trial_dir import trial_dir

SWEEP_FILE = "sweep.json"
TRIALS_FILE = "trials.csv"
BEST_FILE = "best_config.py"


@dataclass(frozen=True)
class SweepResult:
    """How a sweep ended.

    Attributes:
        sweep_dir: its directory.
        status: ``finished`` (also when the time budget is spent), ``interrupted`` with all state saved, or ``failed``
            when no trial gave a score.
        metric: what trials were compared by.
        best: ``{"trial", "value", "iter", "draw", "config"}``; None without a score.
        trials: one dict each, as in ``trials.csv``.
        seeds: trial or ``baseline`` → ``{"values": {seed: score}, "mean", "std"}``, with ``tune.seeds``.
        error: why it failed, on one line.
    """

    sweep_dir: Path
    status: Literal["finished", "interrupted", "failed"]
    metric: str
    best: dict[str, Any] | None
    trials: list[dict[str, Any]] = field(default_factory=list)
    seeds: dict[str, dict[str, Any]] | None = None
    error: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {**asdict(self), "sweep_dir": str(self.sweep_dir)}


def trial_row(trial: TrialState, metric: str, mode: str) -> dict[str, Any]:
    """A trial as a row of ``trials.csv``: how it stands, then its draw."""
    best = trial.best(metric, mode)
    seconds = trial.ended - trial.begun if trial.ended and trial.begun else None
    return {
        "trial": trial.name,
        "status": trial.status,
        metric: best[0] if best else None,
        "best_iter": best[1] if best else None,
        "iter": trial.last_iter,
        "seconds": round(seconds, 3) if seconds is not None else None,
        "failures": len(trial.failures),
        "reason": trial.reason,
        **trial.draw,
    }


def best_of(standing: Standing, metric: str, mode: str) -> dict[str, Any] | None:
    """The best trial: its name, value, iteration and draw; None without a score."""
    found = best_ones(standing, metric, mode, 1)
    return found[0] if found else None


def best_ones(standing: Standing, metric: str, mode: str, count: int) -> list[dict[str, Any]]:
    """The same of the ``count`` best trials, the best first; fewer where fewer have a score."""
    found = []
    for trial in standing.ranked(metric, mode)[:count]:
        value, at = trial.best(metric, mode) or (None, None)
        found.append({"trial": trial.name, "value": value, "iter": at, "draw": trial.draw})
    return found


def dimension_facts(dimension: Dimension) -> dict[str, Any]:
    """A dimension as JSON values: ``name``, ``key``, ``kind``, and ``low``, ``high`` (``q``) or ``options``."""
    leaf = dimension.leaf
    facts: dict[str, Any] = {"name": dimension.name, "key": dimension.key, "kind": leaf.kind}
    if isinstance(leaf, Range):
        return {**facts, "low": leaf.low, "high": leaf.high, "q": leaf.q}
    return {**facts, "options": list(dimension.branches)}


class SweepFiles:
    """Writes how a sweep stands.

    Args:
        sweep_dir: where to.
        space: for the columns of the table, in the order of the config.
        facts: of ``sweep.json``, kept up to date by whoever knows; secrets are hidden here.
    """

    def __init__(self, sweep_dir: Path, space: Space, facts: dict[str, Any]) -> None:
        self.facts = facts
        self._dir = sweep_dir
        self._columns = [dimension.name for dimension in space.all()]
        self._redact = Redactor()

    def write(self, standing: Standing) -> None:
        """Replace ``sweep.json`` and ``trials.csv``.

        Raises:
            RecordingError: one could not be written; it is as it was.
        """
        metric, mode = self.facts["metric"], self.facts["mode"]
        self.facts.update(
            trials=standing.counts(),
            best=best_of(standing, metric, mode),
            seeds=seed_table(standing, metric, mode),
            updated=time.time(),
        )
        facts = self._redact.tree(self.facts)
        replace_file(self._dir / SWEEP_FILE, encode(facts, indent=2).encode("utf-8", "replace") + b"\n")
        replace_file(self._dir / TRIALS_FILE, self._table(standing, metric, mode).encode())

    def _table(self, standing: Standing, metric: str, mode: str) -> str:
        rows = [trial_row(trial, metric, mode) for trial in standing.trials.values()]
        head = ["trial", "status", metric, "best_iter", "iter", "seconds", "failures", "reason"]
        text = io.StringIO()
        writer = csv.DictWriter(text, [*head, *self._columns], extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue()

    def write_best(self, best: Mapping[str, Any]) -> Path:
        """Write ``best_config.py``: the best trial's own config, to be trained whole. Gives its path."""
        path = self._dir / BEST_FILE
        replace_file(path, best_config(self._dir, best, self.facts["metric"]).encode())
        return path


def best_config(sweep_dir: Path, best: Mapping[str, Any], metric: str) -> str:
    """A trial's config as text, with a head that says what it reached.

    Raises:
        ConfigError: the trial's directory has no config that can be read.
    """
    config = load_config(trial_dir(sweep_dir, best["trial"]) / CONFIG_FILE)
    drawn = "".join(f"#   {name} = {value!r}\n" for name, value in best["draw"].items())
    head = f"# Trial {best['trial']}: {metric} {best['value']!r} at iteration {best['iter']}.\n{drawn}"
    return head + config.dump()


def read_sweep(sweep_dir: Path) -> dict[str, Any]:
    """``sweep.json`` as it stands; empty when it is not there or damaged."""
    try:
        found = json.loads((sweep_dir / SWEEP_FILE).read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
