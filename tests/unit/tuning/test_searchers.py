"""Searchers keep no state: the same number and the same results give the same draw."""

from __future__ import annotations

from typing import Any

import pytest

from rayseg.config import Config
from rayseg.core.errors import ConfigError
from rayseg.search import choice, grid, loguniform, quniform, randint, uniform
from rayseg.tuning.optuna import Optuna
from rayseg.tuning.searchers import Grid, Random
from rayseg.tuning.space import Space
from rayseg.tuning.standing import TrialState

CONDITIONAL = {
    "optim_wrapper": choice(
        sgd={"lr": loguniform(1e-3, 1e-1), "momentum": choice([0.9, 0.95])}, adam={"lr": loguniform(1e-5, 1e-2)}
    ),
    "model": {"width": randint(4, 9), "dropout": quniform(0, 0.5, 0.1)},
}


def space_of(**config: Any) -> Space:
    return Space(Config(config))


def trials_of(searcher: Any, space: Space, count: int, score: Any) -> list[TrialState]:
    trials: list[TrialState] = []
    for number in range(count):
        trial = TrialState(f"{number:04d}", number, searcher.propose(number, space, trials), "finished")
        trial.results[10] = {"mIoU": score(trial.draw)}
        trials.append(trial)
    return trials


def optuna(**arguments: Any) -> Optuna:
    searcher = Optuna(**arguments)
    searcher.metric, searcher.mode = "mIoU", "max"
    return searcher


def test_random_draws_depend_on_seed_and_number_alone() -> None:
    space = Space(Config(CONDITIONAL))
    draws = [Random(seed=3).propose(number, space, []) for number in range(20)]
    assert draws == [Random(seed=3).propose(number, space, [None] * number) for number in range(20)]  # type: ignore[list-item]
    assert draws != [Random(seed=4).propose(number, space, []) for number in range(20)]
    assert len({draw["model.width"] for draw in draws}) > 2


def test_another_dimension_leaves_the_draws_of_the_others() -> None:
    one, two = space_of(model={"a": uniform(0, 1)}), space_of(model={"b": uniform(0, 1), "a": uniform(0, 1)})
    assert Random(0).propose(5, one, [])["model.a"] == Random(0).propose(5, two, [])["model.a"]


def test_grids_are_tried_in_every_combination_as_often_as_wanted() -> None:
    space = space_of(model={"a": grid([1, 2, 3]), "b": uniform(0, 1), "c": grid(["x", "y"])})
    searcher = Random(0)
    assert searcher.total(space, 2) == 12
    draws = [searcher.propose(number, space, []) for number in range(12)]
    combinations = [(draw["model.a"], draw["model.c"]) for draw in draws]
    assert combinations[:6] == combinations[6:] == [(a, c) for a in (1, 2, 3) for c in ("x", "y")]
    assert len({draw["model.b"] for draw in draws}) == 12


def test_the_grid_has_each_point_once() -> None:
    space = space_of(optim_wrapper=choice(a={"n": choice([1, 2])}, b={}), model={"w": randint(0, 3)})
    searcher = Grid()
    assert searcher.total(space, 1) == space.size() == 9
    draws = [searcher.propose(number, space, []) for number in range(9)]
    assert len({tuple(sorted(draw.items())) for draw in draws}) == 9
    with pytest.raises(
        ConfigError, match=r"tune\.num_samples: the grid has 9 points, each is tried once; leave it out"
    ):
        Grid().total(space, 4)


def test_a_grid_over_a_continuous_range_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"model\.lr: loguniform\(1e-05, 0.1\) has no end"):
        Grid().total(space_of(model={"lr": loguniform(1e-5, 0.1)}), 1)


def test_optuna_proposes_the_same_for_the_same_results() -> None:
    space = Space(Config(CONDITIONAL))
    trials = trials_of(optuna(seed=1, n_startup_trials=3), space, 15, lambda draw: draw["model.width"])
    again = trials_of(optuna(seed=1, n_startup_trials=3), space, 15, lambda draw: draw["model.width"])
    assert [t.draw for t in trials] == [t.draw for t in again]
    restarted = optuna(seed=1, n_startup_trials=3).propose(15, space, trials)
    assert restarted == optuna(seed=1, n_startup_trials=3).propose(15, space, again)


@pytest.mark.parametrize("mode", ["max", "min"])
def test_optuna_learns_which_way_is_better(mode: str) -> None:
    space = space_of(model={"x": uniform(0, 1)})
    searcher = optuna(seed=0, n_startup_trials=5)
    searcher.mode = mode
    trials = trials_of(searcher, space, 40, lambda draw: draw["model.x"])
    mean = sum(trial.draw["model.x"] for trial in trials[20:]) / 20
    assert (mean > 0.7) if mode == "max" else (mean < 0.3)


def test_optuna_hears_of_stopped_failed_and_running_trials() -> None:
    space = Space(Config(CONDITIONAL))
    searcher = optuna(seed=0, n_startup_trials=2)
    trials = trials_of(searcher, space, 8, lambda draw: 0.5)
    for trial, status in zip(trials, ["stopped", "failed", "running", "interrupted", "proposed"], strict=False):
        trial.status = status  # type: ignore[assignment]
    trials[1].results.clear()
    trials[4].results.clear()
    trials[7].results.clear()  # finished without a score
    trials[6].results[20] = {"mIoU": float("nan")}
    draw = searcher.propose(8, space, trials)
    assert set(draw) >= {"optim_wrapper", "model.width", "model.dropout"}
    assert all(not (isinstance(v, float) and v != v) for v in draw.values())


def test_optuna_gives_clean_steps_and_whole_numbers() -> None:
    space = space_of(model={"a": quniform(0.1, 0.5, 0.1), "n": randint(2, 5), "c": choice([None, "x", 3])})
    for trial in trials_of(optuna(seed=0, n_startup_trials=4), space, 12, lambda draw: draw["model.a"]):
        assert trial.draw["model.a"] in (0.1, 0.2, 0.3, 0.4, 0.5)
        assert type(trial.draw["model.n"]) is int
        assert trial.draw["model.c"] in (None, "x", 3)


def test_optuna_refuses_grids_and_wrong_numbers() -> None:
    with pytest.raises(ConfigError, match=r"model\.a: grid means every value, Optuna chooses: write choice instead"):
        optuna().total(space_of(model={"a": grid([1, 2])}), 3)
    with pytest.raises(ConfigError, match="n_startup_trials: expected at least 0, found -1"):
        Optuna(n_startup_trials=-1)
    with pytest.raises(ConfigError, match="n_ei_candidates: expected at least 1, found 0"):
        Optuna(n_ei_candidates=0)
