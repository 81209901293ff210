# ruff: noqa: C408 (tables of configs, written as configs are)
from __future__ import annotations

import copy
import dataclasses
import pickle
from typing import Any

import pytest

from rayseg import search
from rayseg.config import find_search_leaves, is_leaf
from rayseg.config.search import Choice, leaf_from_mapping
from rayseg.core.errors import ConfigError
from rayseg.search import choice, grid, loguniform, quniform, randint, uniform

LEAVES = [
    choice([1, "a", None]),
    choice(sgd=dict(type="SGD", lr=loguniform(1e-3, 1)), adam={}),
    grid([1, 2]),
    uniform(0, 1.5),
    loguniform(1e-5, 1e-2),
    quniform(0, 1, 0.25),
    randint(1, 4),
]


@pytest.mark.parametrize("leaf", LEAVES, ids=repr)
def test_leaves_are_values(leaf: Any) -> None:
    assert is_leaf(leaf)
    assert eval(repr(leaf), {name: getattr(search, name) for name in search.__all__}) == leaf
    assert copy.deepcopy(leaf) == leaf == pickle.loads(pickle.dumps(leaf))
    with pytest.raises(dataclasses.FrozenInstanceError):
        leaf.kind = "grid"


def test_options_are_not_shared_with_the_caller() -> None:
    options = [dict(a=[1], _delete_=True)]
    leaf = choice(options)
    options[0]["a"].append(2)  # type: ignore[attr-defined]
    assert leaf.options == (dict(a=[1]),)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: uniform(1, 1), "uniform(1, 1): low must be below high"),
        (lambda: uniform(2, 1), "uniform(2, 1): low must be below high"),
        (lambda: uniform("1", 2), "uniform('1', 2): low must be a finite number, found '1'"),  # type: ignore[arg-type]
        (lambda: uniform(0, True), "uniform(0, True): high must be a finite number, found True"),
        (lambda: uniform(0, float("inf")), "uniform(0, inf): high must be a finite number, found inf"),
        (lambda: loguniform(0, 1), "loguniform(0, 1): low must be above 0"),
        (lambda: quniform(0, 1, 0), "quniform(0, 1, 0): q must be above 0 and at most high - low"),
        (lambda: randint(0.5, 2), "randint(0.5, 2): low must be an int, found 0.5"),  # type: ignore[arg-type]
        (lambda: choice(), "choice needs a list of options, found None"),
        (lambda: choice([]), "choice needs at least one option"),
        (lambda: choice("abc"), "choice needs a list of options, found 'abc'"),  # type: ignore[arg-type]
        (lambda: choice([1], a=2), "choice takes a list or labelled options, not both"),
        (lambda: grid([]), "grid needs at least one option"),
    ],
)
def test_bounds(make: Any, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        make()
    assert str(error.value) == message


def test_labels_name_branches() -> None:
    assert choice(name=1, options=2).branches() == [("name", 1), ("options", 2)]
    assert choice([7, 8]).branches() == [("0", 7), ("1", 8)]


@pytest.mark.parametrize(
    ("mapping", "leaf"),
    [
        ({"$search": "loguniform", "low": 1e-5, "high": 1e-2}, loguniform(1e-5, 1e-2)),
        ({"$search": "choice", "options": [1, 2]}, choice([1, 2])),
        ({"$search": "choice", "options": {"a": 1, "b": {"x": 2}}}, choice(a=1, b=dict(x=2))),
        ({"$search": "grid", "values": [1, 2]}, grid([1, 2])),
    ],
)
def test_leaf_from_mapping(mapping: dict[str, Any], leaf: Any) -> None:
    assert leaf_from_mapping(mapping) == leaf


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"$search": "logunifrm", "low": 1}, "unknown search 'logunifrm'; did you mean 'loguniform'?"),
        ({"$search": "uniform", "low": 1}, "uniform() missing 1 required positional argument: 'high'"),
        ({"$search": "choice", "opts": [1]}, "choice takes 'options', found opts"),
        ({"$search": "grid"}, "grid takes 'values', found nothing"),
    ],
)
def test_leaf_from_bad_mapping(mapping: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        leaf_from_mapping(mapping)
    assert str(error.value) == message


def test_find_search_leaves() -> None:
    nested = choice(a=dict(lr=uniform(0, 1)), b={})
    found = find_search_leaves({"a": {"b": [1, (randint(0, 3),)]}, "c": nested, "d": 1})
    assert found == {"a.b.1.0": randint(0, 3), "c": nested}
    assert isinstance(found["c"], Choice)
