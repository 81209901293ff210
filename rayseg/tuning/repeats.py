"""Repeats: the best trials, and a baseline, run from their beginning with several seeds, once the search is over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

from rayseg.config.search import Choice
from rayseg.core.errors import ConfigError, did_you_mean
from rayseg.tuning.space import Dimension, Draw, Space, middle_value, same
from rayseg.tuning.standing import Standing

BASELINE = "baseline"


@dataclass(frozen=True)
class Repeat:
    """One run of a draw with a seed; ``of`` is the trial's name, or ``baseline``."""

    of: str
    seed: int
    draw: Draw

    @property
    def name(self) -> str:
        """The name of its directory."""
        return f"{self.of}_seed{self.seed}"


def baseline_draw(space: Space, given: Mapping[str, Any] | None) -> Draw:
    """What the best trials are compared with: ``given`` values, else first options and the middles of ranges.

    Raises:
        ConfigError: a name that is no dimension, a value that is none of a choice's options.
    """
    given = dict(given or {})
    known = {dimension.name: dimension for dimension in space.all()}
    for name, value in given.items():
        if name not in known:
            raise ConfigError(f"tune.baseline: no dimension {name!r}{did_you_mean(name, known)}")
        options = list(known[name].branches)
        if isinstance(known[name].leaf, Choice) and not any(same(value, option) for option in options):
            raise ConfigError(f"tune.baseline.{name}: expected one of {options}, found {value!r}")

    def ask(dimension: Dimension) -> Any:
        return given[dimension.name] if dimension.name in given else middle_value(dimension)

    return space.draw(ask)


def wanted_repeats(
    space: Space, standing: Standing, metric: str, mode: str, *, seeds: list[int], best_k: int, baseline: Draw
) -> list[Repeat]:
    """Every repeat that there should be, those of the best trial first, the baseline's last."""
    best = [(trial.name, trial.draw) for trial in standing.ranked(metric, mode)[:best_k]]
    return [Repeat(of, seed, draw) for of, draw in [*best, (BASELINE, baseline)] for seed in seeds]


def seed_table(standing: Standing, metric: str, mode: str) -> dict[str, dict[str, Any]] | None:
    """Of each trial that was repeated, and of the baseline: seed → score, ``mean`` and sample standard deviation.

    None without repeats; ``std`` is None of a single score.
    """
    found: dict[str, dict[str, float]] = {}
    for trial in standing.repeats():
        best = trial.best(metric, mode)
        values = found.setdefault(trial.repeat_of, {})
        if best is not None and trial.status == "finished":
            values[str(trial.seed)] = best[0]
    table = {}
    for of, values in found.items():
        scores = list(values.values())
        table[of] = {
            "values": values,
            "mean": mean(scores) if scores else None,
            "std": stdev(scores) if len(scores) > 1 else None,
        }
    return table or None
