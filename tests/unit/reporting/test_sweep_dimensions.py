"""Dimensions, the axes that they share, and the clock of a sweep that was launched twice."""

from __future__ import annotations

import math

import pytest

from rayseg.reporting.sweep_data import read_sweep_data
from rayseg.reporting.sweep_dimensions import axes_of, read_dimensions, short_titles
from tests.unit.reporting.sweep_dirs import ADAM_LR, DIMENSIONS, LAUNCH, SGD_LR, adam, make_sweep, sgd, trial


@pytest.mark.parametrize(
    ("names", "titles"),
    [
        (["optim_wrapper"], ["optim_wrapper"]),
        (["optim_wrapper[sgd].optimizer.lr", "model.net.width"], ["optimizer.lr", "net.width"]),
        (["a.b.c", "x.b.c", "b.c"], ["a.b.c", "x.b.c", "b.c"]),
        (["w[a].lr", "w[b].lr"], ["w[a].lr", "w[b].lr"]),
        (["w[a.b[c]].lr", "[", "..", "]"], ["w.lr", "[", "..", "]"]),
    ],
)
def test_titles_are_short_and_each_stands_once(names, titles):
    assert short_titles(names) == titles


def test_branches_that_set_one_key_share_an_axis():
    (wrapper, lr) = axes_of(read_dimensions({"dimensions": DIMENSIONS}, []), [sgd(0.01), adam(0.001)])
    assert [d.name for d in lr.dimensions] == [SGD_LR["name"], ADAM_LR["name"]]
    assert (lr.low, lr.high, lr.is_log) == (1e-4, 1e-1, True)
    assert lr.place(adam(0.001)) == 0.001
    assert math.isnan(lr.place({}))
    assert (wrapper.place(adam(0.001)), wrapper.options) == (1, ["sgd", "adam"])


def test_they_do_not_where_a_trial_has_drawn_both():
    draws = [{**sgd(0.01), **adam(0.001)}, sgd(0.01)]
    axes = axes_of(read_dimensions({"dimensions": DIMENSIONS}, draws), draws)
    assert [axis.title for axis in axes] == ["optim_wrapper", SGD_LR["name"], ADAM_LR["name"]]


def test_numbers_and_options_of_one_key_are_two_axes():
    rows = [
        {"name": "w[a].x", "key": "w.x", "kind": "uniform", "low": 0, "high": 1},
        {"name": "w[b].x", "key": "w.x", "kind": "choice", "options": [1, None]},
    ]
    axes = axes_of(read_dimensions({"dimensions": rows}, []), [{"w[a].x": 0.5}, {"w[b].x": None}])
    assert [axis.is_number for axis in axes] == [True, False]
    assert axes[1].options == ["1", "None"]


def test_ranges_hold_every_value_that_was_drawn():
    rows = [{"name": "n", "key": "n", "kind": "randint", "low": 1, "high": 5}]
    (dimension,) = read_dimensions({"dimensions": rows}, [{"n": 3}])
    assert (dimension.low, dimension.high) == (1, 4)  # the upper end is excluded
    (widened,) = read_dimensions({"dimensions": rows}, [{"n": 9}])  # population based training goes beyond
    assert widened.high == 9


def test_dimensions_that_only_draws_tell_of():
    number, option = read_dimensions(None, [{"lr": 0.1, "net": "a"}, {"lr": 0.3, "net": "b"}])
    assert (number.kind, number.low, number.high) == ("uniform", 0.1, 0.3)
    assert (option.kind, option.options) == ("choice", ("a", "b"))


def test_the_clock_leaves_out_what_lies_between_launches(tmp_path):
    again = {**LAUNCH, "time": 9000.0}
    journal = [*[LAUNCH], *trial("0000", sgd(0.01), {20: 0.5}), again]
    sweep = read_sweep_data(make_sweep(tmp_path / "sweep", journal, finished=9040.0))
    assert sweep.pauses == ((1019.0, 9000.0),)
    assert sweep.clock(1011.0) == 11
    assert sweep.clock(5000.0) == 19
    assert sweep.duration_s == 59
