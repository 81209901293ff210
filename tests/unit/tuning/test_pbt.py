"""Population based training: its settings, and what a donor's values become in the child."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest

from rayseg.config import Config
from rayseg.config.search import Range
from rayseg.core.errors import ConfigError
from rayseg.search import choice, loguniform, quniform, randint, uniform
from rayseg.tuning.exploring import Explorer, by_key, perturbable
from rayseg.tuning.problem import require_room
from rayseg.tuning.space import Dimension, Space
from tests.unit.tuning.population import LR, OPEN, problem


def loop(kind: str = "Iter", **arguments: Any) -> dict[str, Any]:
    return {"type": f"{kind}BasedTrainLoop", **arguments}


WRONG = {
    "checkpoints off": (
        {},
        {"default_hooks": {"checkpoint": None}},
        r"default_hooks\.checkpoint: PBT copies checkpoints",
    ),
    "checkpoints between": (
        {},
        {"default_hooks": {"checkpoint": {"type": "CheckpointHook", "interval": 3}}},
        r"default_hooks\.checkpoint\.interval: 3 gives no checkpoint at iteration 4, .*; use 4",
    ),
    "only the last": (
        {},
        {"default_hooks": {"checkpoint": {"type": "CheckpointHook"}}},
        r"default_hooks\.checkpoint\.interval: -1 gives no checkpoint at iteration 4",
    ),
    "epochs": (
        {},
        {
            "train_cfg": loop("Epoch", max_epochs=3),
            "param_scheduler": None,
            "default_hooks": {"checkpoint": {"type": "CheckpointHook", "interval": 2}},
        },
        r"default_hooks\.checkpoint\.interval: 2 gives no checkpoint at iteration 4, .*; use 1",
    ),
    "inside a window": (
        {},
        {"optim_wrapper": {"type": "OptimWrapper", "optimizer": OPEN, "accumulative_counts": choice([1, 3])}},
        r"optim_wrapper\.accumulative_counts: 3 does not divide iteration 4",
    ),
    "no validation there": (
        {"perturbation_interval": 6},
        {},
        r"perturbation_interval: 6, but trials validate each 4 iterations; use a multiple, such as 8",
    ),
    "never": ({"perturbation_interval": 12}, {}, r"perturbation_interval: 12, and a trial has 12 iterations: nothing"),
    "burnt in": ({"burn_in": 20}, {}, r"tune\.scheduler\.burn_in: 20, and a trial has 12 iterations"),
    "alone": ({}, {"tune": {"num_samples": 1}}, r"tune\.num_samples: PBT .*needs at least 2"),
    "nothing": (
        {},
        {"optim_wrapper": {"optimizer": {"type": choice(["SGD", "Adam"]), "lr": 0.1}}},
        "PBT has nothing to perturb",
    ),
    "a slip": (
        {"perturb": ["optim_wrapper.optimizer.lrr"]},
        {},
        r"no dimension '.*lrr'; did you mean '.*optimizer\.lr'",
    ),
    "no optimizer value": (
        {"perturb": ["model.net.dropout"]},
        {
            "model": {
                "type": "Segmentor",
                "net": {"type": "tests.toys.ToyNet", "dropout": uniform(0.0, 0.5)},
                "loss": {"type": "CrossEntropyLoss"},
            }
        },
        r"perturb: 'model\.net\.dropout' is no value of the optimizer",
    ),
    "a choice": (
        {"perturb": ["optim_wrapper.optimizer.momentum"]},
        {"optim_wrapper": {"optimizer": {**OPEN, "momentum": choice([0.8, 0.9])}}},
        r"perturb: '.*momentum' is a choice",
    ),
    "a large quantile": ({"quantile_fraction": 0.7}, {}, r"quantile_fraction.*at most 0\.5"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_work_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    rule, sections, message = WRONG[name]
    with pytest.raises(ConfigError, match=message) as refused:
        problem(tmp_path, rule, **sections)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("rule", "sections"),
    [
        ({}, {}),
        ({"perturbation_interval": 8}, {"default_hooks": {"checkpoint": {"interval": 8}}}),
        ({}, {"train_cfg": loop("Epoch", max_epochs=3), "default_hooks": {"checkpoint": {"interval": 1}}}),
    ],
)
def test_what_can_work(tmp_path: Path, rule: dict[str, Any], sections: dict[str, Any]) -> None:
    problem(tmp_path, rule, param_scheduler=None, **sections)


def test_a_population_that_does_not_fit(tmp_path: Path) -> None:
    three = problem(tmp_path, tune={"num_samples": 3})
    require_room(three, 3)
    with pytest.raises(ConfigError, match=r"num_samples: 3, but .* 2 run at once: scaling\.resources_per_worker"):
        require_room(three, 2)
    few = problem(tmp_path, tune={"num_samples": 3, "max_concurrent": 2})
    with pytest.raises(ConfigError, match=r"2 run at once: raise tune\.max_concurrent, or use tune\.num_samples=2"):
        require_room(few, 8)


def explored(leaf: Range, value: float, factor: float, resample: float = 0.0, seed: int = 0) -> Any:
    explorer = Explorer([Dimension("x", LR, leaf)], resample, [factor])
    return explorer.explore({"x": value, "y": 1}, Random(seed))["x"]


@pytest.mark.parametrize(
    ("leaf", "value", "factor", "expected"),
    [
        (loguniform(1e-3, 1e-1), 0.01, 1.2, 0.012),
        (loguniform(1e-3, 1e-1), 0.09, 1.2, 0.1),
        (uniform(0.6, 0.9), 0.7, 0.8, 0.6),
        (randint(1, 5), 3, 1.2, 4),
        (randint(1, 5), 4, 1.2, 4),
        (quniform(0.5, 0.9, 0.1), 0.7, 1.2, 0.8),
        (quniform(0.5, 0.9, 0.1), 0.7, 0.8, 0.6),
    ],
)
def test_a_value_is_multiplied_inside_its_range(leaf: Range, value: float, factor: float, expected: float) -> None:
    found = explored(leaf, value, factor)
    assert found == pytest.approx(expected)
    assert type(found) is type(expected)


def test_a_value_may_be_drawn_anew() -> None:
    found = {explored(uniform(0.0, 1.0), 0.5, 1.2, resample=1.0, seed=seed) for seed in range(20)}
    assert len(found) == 20
    assert max(found) > 0.8 > 0.2 > min(found)


def test_only_what_is_open_in_the_donor_changes_under_every_key_that_it_has() -> None:
    shared = loguniform(1e-3, 1e-1)
    sgd = {"optimizer": {"type": "SGD", "lr": loguniform(1e-2, 1.0)}}
    adam = {"optimizer": {"type": "Adam", "lr": shared, "eps": shared}}
    space = Space(Config({"optim_wrapper": choice(sgd=sgd, adam=adam), "model": {"rate": shared}}))
    draw = {"optim_wrapper": "adam", "model.rate": 0.01}
    explorer = Explorer(perturbable(space, None), 0.0, [2.0])
    values = explorer.explore(draw, Random(0))
    assert values == {"model.rate": 0.02}
    assert by_key(space, draw, values) == {LR: 0.02, "optim_wrapper.optimizer.eps": 0.02}
