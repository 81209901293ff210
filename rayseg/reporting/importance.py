"""How much each dimension of a sweep mattered, by Optuna's conditional PED-ANOVA.

It asks how much the values of the best trials differ from those of all trials, and does so for a dimension that only
some trials have, too (fANOVA leaves such dimensions out). So that nobody reads noise, the same is computed for scores
that are dealt to the trials at random.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from rayseg.reporting.sweep_data import SweepData
from rayseg.reporting.sweep_dimensions import Dimension, option_text
from rayseg.reporting.sweep_trials import Trial
from rayseg.reporting.values import as_number

MIN_TRIALS = 8  # with a score; fewer say nothing
FEW_TRIALS = 30
TOP_TRIALS = 5  # that the best ones should be at least
TOP_SHARE, MAX_TOP_SHARE = 0.1, 0.4
SHUFFLES = 20
MAX_WORK = 20 * 200 * 30  # shuffles × trials × dimensions, about 3 seconds


@dataclass(frozen=True)
class Importance:
    """Of one dimension.

    Attributes:
        dimension: which.
        share: of the sum over all dimensions, 0 to 1.
        trials: that have drawn it and have a score.
        is_chance: scores dealt at random give as much in a tenth of the cases or more.
    """

    dimension: Dimension
    share: float
    trials: int
    is_chance: bool


@dataclass(frozen=True)
class Importances:
    """Of all dimensions, the most important one first, and what there is to say; empty when nothing can be said."""

    rows: Sequence[Importance]
    note: str


def importances(sweep: SweepData) -> Importances:
    """The importance of each dimension that has more than one value; a note alone when the trials are too few."""
    trials = sweep.ranked
    varied = [dimension for dimension in sweep.dimensions if _varies(dimension, trials)]
    if len(trials) < MIN_TRIALS:
        have = "1 trial has" if len(trials) == 1 else f"{len(trials) or 'no'} trials have"
        return Importances((), f"Not computed: {have} a score, it takes {MIN_TRIALS} or more.")
    if not varied:
        return Importances((), "Not computed: every trial has the same values.")
    scores = [sweep.score(trial) for trial in trials]
    if min(scores) == max(scores):
        return Importances((), "Not computed: every trial has the same score.")
    top = min(MAX_TOP_SHARE, max(TOP_SHARE, TOP_TRIALS / len(trials)))
    try:
        return _computed(varied, trials, [sweep.sign * score for score in scores], top)
    except Exception as error:  # a library at work on anybody's numbers: the page must not fail
        return Importances((), f"Not computed: {type(error).__name__}: {error}")


def _computed(dimensions: Sequence[Dimension], trials: Sequence[Trial], scores: list[float], top: float) -> Importances:
    """Args: ``scores``, higher ones better; ``top``, the share of trials that are the best ones."""
    measured = _measure(dimensions, trials, scores, top)
    total = sum(measured.values())
    if not total > 0:
        return Importances((), "No dimension mattered: the best trials have the same values as all of them.")
    rng = Random(0)
    shuffles = max(5, min(SHUFFLES, MAX_WORK // (len(trials) * len(dimensions))))
    by_chance = [_measure(dimensions, trials, rng.sample(scores, len(scores)), top) for _ in range(shuffles)]
    rows = []
    for dimension in dimensions:
        value = measured[dimension.name]
        reached = sum(chance[dimension.name] >= value for chance in by_chance)
        count = sum(dimension.name in trial.draw for trial in trials)
        rows.append(Importance(dimension, value / total, count, reached >= 0.1 * shuffles))
    rows.sort(key=lambda row: -row.share)
    best = max(1, math.ceil(top * len(trials)))
    note = f"How far the values of the best {best} of {len(trials)} trials differ from those of all trials that have "
    note += "the dimension, as a share of the sum (Optuna's conditional PED-ANOVA). A trial that was stopped counts "
    note += "with the best score that it had."
    if all(row.is_chance for row in rows):
        note += " None is more than chance gives."
    if len(trials) < FEW_TRIALS:
        note += f" {len(trials)} trials are few: take this as a hint."
    return Importances(rows, note)


def _measure(
    dimensions: Sequence[Dimension], trials: Sequence[Trial], scores: Sequence[float], top: float
) -> Mapping[str, float]:
    """Dimension's name → PED-ANOVA's importance, not normalized."""
    import optuna
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
    from optuna.trial import create_trial

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        distributions = {dimension.name: _distribution(dimension) for dimension in dimensions}
        study = optuna.create_study(direction="maximize")
        for trial, score in zip(trials, scores, strict=True):
            params = {d.name: value for d in dimensions if (value := _param(d, trial)) is not None}
            its_own = {name: distributions[name] for name in params}
            study.add_trial(create_trial(value=score, params=params, distributions=its_own))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            evaluator = PedAnovaImportanceEvaluator(target_quantile=top)
            found = get_param_importances(study, evaluator=evaluator, normalize=False)
    finally:
        optuna.logging.set_verbosity(before)
    return {name: value if math.isfinite(value := found.get(name, 0.0)) else 0.0 for name in distributions}


def _varies(dimension: Dimension, trials: Sequence[Trial]) -> bool:
    values = [trial.draw[dimension.name] for trial in trials if dimension.name in trial.draw]
    return len({(type(value), repr(value)) for value in values}) > 1


def _param(dimension: Dimension, trial: Trial) -> float | str | None:
    """What a trial has drawn, as the study takes it; None for nothing that can be used."""
    if dimension.name not in trial.draw:
        return None
    value = trial.draw[dimension.name]
    if not dimension.is_number:
        return option_text(value)
    number = as_number(value)
    if not math.isfinite(number):
        return None
    return int(number) if dimension.kind == "randint" else number


def _distribution(dimension: Dimension) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if not dimension.is_number:
        return CategoricalDistribution(list(dict.fromkeys(map(option_text, dimension.options))))
    if dimension.kind == "randint":
        return IntDistribution(int(dimension.low), int(dimension.high))
    return FloatDistribution(dimension.low, dimension.high, log=dimension.kind == "loguniform" and dimension.low > 0)
