"""What a sweep is to do, checked before anything is started."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rayseg.config import Config
from rayseg.search import choice, loguniform
from rayseg.tuning.problem import SweepProblem, posed

from tests.toys import toy_config  # isort: skip


def problem(tmp_path: Path, **sections: Any) -> SweepProblem:
    """The toys' sweep."""
    optimizer = {"type": "SGD", "lr": loguniform(1e-3, 1e-1), "momentum": 0.9}
    config = toy_config(optim_wrapper={"type": "OptimWrapper", "optimizer": optimizer}, **sections)
    return posed(Config.from_dict(config), tmp_path)


@pytest.mark.parametrize("kind", ["Random", "Optuna"])
def test_the_searchers_seed_is_that_of_the_config_unless_said(tmp_path: Path, kind: str) -> None:
    def first_draw(of_config: int, **searcher: Any) -> dict[str, Any]:
        tune = {"searcher": {"type": kind, **searcher}}
        found = problem(tmp_path, tune=tune, randomness={"seed": of_config, "threads": 1})
        return found.searcher.propose(0, found.space, [])

    assert first_draw(3) == first_draw(4, seed=3) != first_draw(4)


def test_a_trials_threads_are_those_that_its_cpus_allow(tmp_path: Path) -> None:
    draw = {"optim_wrapper.optimizer.lr": 0.05}
    for each, threads in (({"CPU": 0.5}, 1), ({"CPU": 3}, 3), (None, 1)):
        found = problem(tmp_path, scaling={"resources_per_worker": each}, randomness={"seed": 3})
        assert found.trial_config(draw)["randomness"]["threads"] == threads
    assert problem(tmp_path).trial_config(draw)["randomness"]["threads"] == 1


def test_the_longest_trial_counts(tmp_path: Path) -> None:
    train_cfg = {"type": "IterBasedTrainLoop", "max_iters": choice([6, 30, 12]), "val_interval": 6}
    scheduler = {"type": "ASHA", "grace_iters": 12}
    found = problem(tmp_path, train_cfg=train_cfg, tune={"scheduler": scheduler})
    assert (found.max_iters, len(found.cover)) == (30, 3)
