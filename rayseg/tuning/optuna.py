"""Optuna: proposals that learn from results, over conditional spaces too."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from rayseg.config.search import Choice
from rayseg.core.errors import ConfigError
from rayseg.core.randomness import derive_seed
from rayseg.tuning.space import Dimension, Draw, Space, multiples
from rayseg.tuning.standing import TrialState


class Optuna:
    """Tree-structured Parzen estimators (Bergstra et al. 2011) of Optuna, asked dimension by dimension.

    The study is made anew for each proposal from the trials so far, and the sampler is seeded by the trial's number:
    so a restart proposes what would have been proposed, given the same results. A trial that the scheduler stopped
    counts as pruned, with its numbers until then; one that failed as failed.

    Args:
        seed: ``randomness.seed`` when not given.
        n_startup_trials: trials drawn at random before the estimators are asked.
        n_ei_candidates: candidates of which the estimators choose the most promising.
    """

    learns = True

    def __init__(self, seed: int | None = None, n_startup_trials: int = 10, n_ei_candidates: int = 24) -> None:
        if n_startup_trials < 0:
            raise ConfigError(f"tune.searcher.n_startup_trials: expected at least 0, found {n_startup_trials}")
        if n_ei_candidates < 1:
            raise ConfigError(f"tune.searcher.n_ei_candidates: expected at least 1, found {n_ei_candidates}")
        self.seed = seed
        self.n_startup_trials = n_startup_trials
        self.n_ei_candidates = n_ei_candidates
        self.metric, self.mode = "", "max"

    def total(self, space: Space, num_samples: int) -> int:
        """``num_samples``; a ``grid`` leaf is refused, since a searcher that learns does not try everything."""
        for dimension in space.all():
            if isinstance(dimension.leaf, Choice) and dimension.leaf.kind == "grid":
                raise ConfigError(f"{dimension.name}: grid means every value, Optuna chooses: write choice instead")
        return num_samples

    def propose(self, number: int, space: Space, trials: Sequence[TrialState]) -> Draw:
        """See ``Searcher``."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler = optuna.samplers.TPESampler(
            seed=derive_seed(self.seed or 0, "trial", number) % 2**32,
            n_startup_trials=self.n_startup_trials,
            n_ei_candidates=self.n_ei_candidates,
        )
        study = optuna.create_study(sampler=sampler, direction="maximize" if self.mode == "max" else "minimize")
        dimensions = {dimension.name: dimension for dimension in space.all()}
        study.add_trials([self._frozen(trial, dimensions) for trial in trials])
        asked = study.ask()
        return space.draw(lambda dimension: _suggested(asked, dimension))

    def _frozen(self, trial: TrialState, dimensions: dict[str, Dimension]) -> Any:
        from optuna.trial import TrialState as State
        from optuna.trial import create_trial

        best = trial.best(self.metric, self.mode)
        ended = {"finished": State.COMPLETE, "stopped": State.PRUNED, "failed": State.FAIL}
        state = ended.get(trial.status, State.RUNNING)
        if state == State.COMPLETE and best is None:
            state = State.FAIL
        numbers = {at: values.get(self.metric, math.nan) for at, values in trial.results.items()}
        return create_trial(
            state=state,
            value=best[0] if best is not None and state == State.COMPLETE else None,
            params=trial.draw,
            distributions={name: _distribution(dimensions[name]) for name in trial.draw},
            intermediate_values={
                at: value for at, value in numbers.items() if value is not None and math.isfinite(value)
            },
        )


def _suggested(asked: Any, dimension: Dimension) -> Any:
    leaf, name = dimension.leaf, dimension.name
    if isinstance(leaf, Choice):
        return asked.suggest_categorical(name, list(dimension.branches))
    if leaf.kind == "randint":
        return asked.suggest_int(name, int(leaf.low), int(leaf.high) - 1)
    if leaf.kind == "quniform":
        values = multiples(leaf)
        value = asked.suggest_float(name, values[0], values[-1], step=leaf.q)
        return min(values, key=lambda multiple: abs(multiple - value))  # without the noise of adding steps
    return asked.suggest_float(name, float(leaf.low), float(leaf.high), log=leaf.kind == "loguniform")


def _distribution(dimension: Dimension) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    leaf = dimension.leaf
    if isinstance(leaf, Choice):
        return CategoricalDistribution(list(dimension.branches))
    if leaf.kind == "randint":
        return IntDistribution(int(leaf.low), int(leaf.high) - 1)
    if leaf.kind == "quniform":
        values = multiples(leaf)
        return FloatDistribution(values[0], values[-1], step=leaf.q)
    return FloatDistribution(float(leaf.low), float(leaf.high), log=leaf.kind == "loguniform")
