"""Schedules, accumulation and clipping beside what MMEngine 0.10.7 gave, stored in ``parity/*.json``.

``parity/make_expected.py`` made the data in a scratch environment. Where rayseg differs on purpose stands in
``DIFFERENT`` and ``REFUSED``, with the reason; a difference that goes away fails a test here.
"""

from __future__ import annotations

import json
import math
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from rayseg.core.errors import ConfigError
from rayseg.optim.group_values import group_value
from rayseg.optim.schedulers import build_param_schedulers
from rayseg.optim.wrapper import OptimWrapper

PARITY = Path(__file__).parent / "parity"
SCHEDULES: dict[str, dict[str, Any]] = json.loads((PARITY / "schedules.json").read_text())["cases"]
RECIPES: dict[str, dict[str, Any]] = json.loads((PARITY / "recipes.json").read_text())["cases"]
STEPS: dict[str, dict[str, Any]] = json.loads((PARITY / "steps.json").read_text())["cases"]

DIFFERENT = {
    "one_cycle_groups": "MM gives every group the same lr; here groups stay multiples of the optimizer's",
    "one_cycle_past_its_end": "MM raises after total_steps; here the last lr stays",
    "overlap_with_a_minimum": "MM's recursion mixes the minimum into the warm-up; here it does not",
    "restart_over_a_warm_up": "MM's restart sets the full lr, which the warm-up multiplies; here it warms up",
    "cosine_past_t_max_in_a_chain": "MM rises by the initial lr, whatever other schedules did; here by what they give",
    "constant_of_nothing": "MM divides by the factor 0 at the end; here the lr is back",
    "linear_from_nothing": "MM divides by 0, or stays at 0; here the line begins at 0",
    "converted_without_end_in_an_iteration_loop": "MM ends it after the one epoch that it counts; here the run ends it",
    "weight_decay_of_nothing_is_raised": "MM's minimum reaches norms and biases that are exempt; here 0 stays 0",
    "named_momentum_of_adam": "MM has no momentum there; here it is betas[0], as in ...Momentum",
}
SAME_YET_NOTED = {
    "a_window_of_one": "a window of one step changes nothing, in MM too",
}
REFUSED = {
    "by_epoch_in_an_iteration_loop": "expected False, or convert_to_iter_based=True",
    "momentum_of_nothing": "SGD's momentum is 0 in every group",
    "cosine_minimum_twice": "eta_min_ratio: expected None beside eta_min",
    "no_momentum": "Adagrad has no 'momentum' to schedule",
}


def named(kind: str) -> list[str]:
    return [name for name in SCHEDULES if (name.startswith("different/")) == (kind == "different")]


def build(case: dict[str, Any]) -> tuple[torch.optim.Optimizer, list[Any]]:
    groups = [{"params": [nn.Parameter(torch.zeros(1))], **deepcopy(group)} for group in case["groups"]]
    optimizer: torch.optim.Optimizer = getattr(torch.optim, case["optimizer"])(groups, **case["defaults"])
    schedulers = build_param_schedulers(
        deepcopy(case["param_scheduler"]),
        optimizer,
        epoch_length=case["epoch_length"],
        max_iters=case["iters"],
        by_epoch_loop=case["by_epoch_loop"],
    )
    return optimizer, schedulers


def run(case: dict[str, Any]) -> list[list[float]]:
    """The values of each group in each iteration."""
    optimizer, schedulers = build(case)
    values = []
    for iteration in range(case["iters"]):
        values.append([group_value(group, case["param_name"]) for group in optimizer.param_groups])
        for scheduler in schedulers:
            if not scheduler.by_epoch:
                scheduler.step()
        if case["by_epoch_loop"] and (iteration + 1) % case["epoch_length"] == 0:
            for scheduler in schedulers:
                if scheduler.by_epoch:
                    scheduler.step()
            for scheduler in schedulers:
                if case["metrics"]:
                    scheduler.observe({"mIoU": case["metrics"][iteration // case["epoch_length"]]})
    return values


@pytest.mark.parametrize("name", RECIPES)
def test_the_released_schedules_at_their_length(name: str) -> None:
    """MM's recursion has the rounding errors of up to 160,000 steps, so the bound is 1e-9 here."""
    case = RECIPES[name]
    optimizer, schedulers = build(case)
    found = []
    for iteration in range(case["iters"]):
        if iteration in case["at"]:
            found.append([group["lr"] for group in optimizer.param_groups])
        for scheduler in schedulers:
            scheduler.step()
    for iteration, lrs, expected in zip(case["at"], found, case["values"], strict=True):
        assert lrs == pytest.approx(expected, rel=1e-9, abs=1e-14), f"iteration {iteration}"


def same(found: list[list[float]], expected: Any) -> bool:
    """Whether all values agree to 1e-12 relative, and those that MM's recursion leaves near 0 to 1e-15 absolute."""
    return isinstance(expected, list) and all(
        a == pytest.approx(b, rel=1e-12, abs=1e-15) for a, b in zip(found, expected, strict=True)
    )


@pytest.mark.parametrize("name", named("same"))
def test_the_values_of_each_step(name: str) -> None:
    case = SCHEDULES[name]
    for iteration, (found, expected) in enumerate(zip(run(case), case["values"], strict=True)):
        assert found == pytest.approx(expected, rel=1e-12, abs=1e-15), f"iteration {iteration}"


def test_every_difference_has_its_reason() -> None:
    assert {f"different/{name}" for name in {**DIFFERENT, **REFUSED, **SAME_YET_NOTED}} == set(named("different"))


@pytest.mark.parametrize("name", DIFFERENT)
def test_differences_are_still_there(name: str) -> None:
    case = SCHEDULES[f"different/{name}"]
    found = run(case)
    assert all(math.isfinite(value) for values in found for value in values)
    assert not same(found, case["values"]), DIFFERENT[name]


@pytest.mark.parametrize("name", SAME_YET_NOTED)
def test_what_looks_different_and_is_not(name: str) -> None:
    case = SCHEDULES[f"different/{name}"]
    assert same(run(case), case["values"])


@pytest.mark.parametrize("name", REFUSED)
def test_what_never_acts_in_mm_is_refused_here(name: str) -> None:
    with pytest.raises(ConfigError, match=REFUSED[name]):
        build(SCHEDULES[f"different/{name}"])


def test_the_data_says_what_made_it() -> None:
    for name in ("schedules.json", "recipes.json", "steps.json"):
        versions = json.loads((PARITY / name).read_text())["versions"]
        assert versions["mmengine"] == "0.10.7"
        assert set(versions) == {"mmengine", "torch"}


def float64(values: Any) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def stepped(case: dict[str, Any]) -> tuple[list[list[float]], list[float]]:
    """The weights after each iteration of the regression of ``make_expected.py``, and the logged norms."""
    weight = nn.Parameter(float64([0.5, -1.0, 2.0]))
    optimizer = getattr(torch.optim, case["optimizer"])([weight], **case["defaults"])
    wrapper = OptimWrapper(optimizer, **case["wrapper"])
    wrapper.initialize_count_status(nn.Linear(1, 1), case["begin"], case["iters"])
    weights, norms = [], []
    for iteration in range(case["begin"], case["iters"]):
        inputs = float64([math.sin(iteration * 3 + k) for k in range(3)])
        wrapper.update_params((inputs @ weight - math.cos(iteration)) ** 2)
        weights.append(weight.tolist())
        if wrapper.at_boundary and wrapper.grad_norm is not None:
            norms.append(wrapper.grad_norm.item())
    return weights, norms


@pytest.mark.parametrize("name", [name for name in STEPS if not name.startswith("different/")])
def test_the_weights_after_each_step(name: str) -> None:
    expected = STEPS[name]["expected"]
    weights, norms = stepped(STEPS[name])
    torch.testing.assert_close(float64(weights), float64(expected["weights"]), rtol=1e-12, atol=0)
    assert norms == pytest.approx(expected["grad_norms"], rel=1e-6), "MM logs them as float32"


def test_a_window_that_a_resume_began_late_is_divided_by_its_own_length() -> None:
    """MM divides by the full window, so that the first step after such a resume is too small."""
    case = STEPS["different/resumed_inside_a_window"]
    weights, _ = stepped(case)
    start, theirs = float64([0.5, -1.0, 2.0]), float64(case["expected"]["weights"])
    torch.testing.assert_close(float64(weights)[1] - start, 2 * (theirs[1] - start))
