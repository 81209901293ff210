"""Spaces: draws hold what is open and nothing else, points are exactly the product, names survive a dump."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rayseg.config import Config, load_config
from rayseg.config.search import Choice, SearchLeaf
from rayseg.config.tree import walk
from rayseg.core.errors import ConfigError
from rayseg.search import choice, grid, loguniform, quniform, randint, uniform
from rayseg.tuning.space import Dimension, Space, middle_value, multiples, random_value, tokens

PLAIN = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["a", "b", 0.5])
NAMES = st.sampled_from(["lr", "type", "x", "y"])


def leaves(options: st.SearchStrategy[Any]) -> st.SearchStrategy[SearchLeaf]:
    ranges = st.builds(uniform, st.just(0), st.integers(1, 3)) | st.builds(randint, st.just(0), st.integers(1, 3))
    listed = st.lists(options, min_size=1, max_size=3).map(choice)
    labelled = st.dictionaries(st.sampled_from(["a", "b", "c"]), options, min_size=1).map(lambda d: choice(**d))
    return ranges | listed | labelled


def trees(depth: int) -> st.SearchStrategy[Any]:
    if depth == 0:
        return PLAIN
    inner = trees(depth - 1)
    return PLAIN | leaves(inner) | st.dictionaries(NAMES, inner, max_size=3) | st.lists(inner, max_size=2)


CONFIGS = st.fixed_dictionaries({"model": trees(3), "optim_wrapper": trees(3)})


def drawn(space: Space, seed: int) -> dict[str, Any]:
    rng = Random(seed)
    return space.draw(lambda dimension: random_value(dimension, rng))


@settings(max_examples=200, deadline=None)
@given(CONFIGS, st.integers(0, 3))
def test_a_drawn_config_has_no_leaf_and_is_one_that_the_leaves_allow(values: dict[str, Any], seed: int) -> None:
    config = Config(values)
    space = Space(config)
    found = space.config_of(drawn(space, seed))
    assert not [leaf for _, leaf in walk(found) if isinstance(leaf, SearchLeaf)]
    assert all(allowed(config[name], found[name]) for name in config)


def allowed(space: Any, value: Any) -> bool:
    """Whether a value without leaves may come of one with leaves: of a choice from one option alone."""
    if isinstance(space, Choice):
        return any(allowed(option, value) for option in space.options)
    if isinstance(space, SearchLeaf):
        low, high = space.extremes()  # type: ignore[attr-defined]
        return isinstance(value, int | float) and low <= value <= high
    if isinstance(space, Mapping):
        return (
            isinstance(value, Mapping) and set(space) == set(value) and all(allowed(space[k], value[k]) for k in space)
        )
    if isinstance(space, list):
        return isinstance(value, list) and len(space) == len(value) and all(map(allowed, space, value))
    return type(space) is type(value) and space == value


@settings(max_examples=200, deadline=None)
@given(CONFIGS)
def test_the_cover_takes_every_option_of_every_choice(values: dict[str, Any]) -> None:
    space = Space(Config(values))
    wanted = {(d.name, repr(v)) for d in space.all() if isinstance(d.leaf, Choice) for v in d.branches}
    draws = space.cover()
    assert {(name, repr(value)) for draw in draws for name, value in draw.items()} >= wanted
    assert len(draws) <= max(1, len(wanted))


@settings(max_examples=100, deadline=None)
@given(CONFIGS)
def test_names_and_draws_survive_a_dump(tmp_path_factory: pytest.TempPathFactory, values: dict[str, Any]) -> None:
    space = Space(Config(values))
    path = tmp_path_factory.mktemp("dump") / "config.py"
    path.write_text(space.config.dump())
    again = Space(load_config(path))
    draw = drawn(space, 0)
    assert [d.name for d in again.all()] == [d.name for d in space.all()]
    assert again.config_of(draw) == space.config_of(draw)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(1, 3), min_size=1, max_size=3), st.lists(st.lists(st.integers(1, 3), max_size=2), max_size=3)
)
def test_the_points_of_a_conditional_grid_are_exactly_the_product(plain: list[int], nested: list[list[int]]) -> None:
    """A grid over branches has, of each branch, the product of what is inside."""
    config: dict[str, Any] = {"model": {f"p{i}": grid(list(range(n))) for i, n in enumerate(plain)}}
    branches = [{f"q{i}": grid(list(range(n))) for i, n in enumerate(sizes)} for sizes in nested]
    if branches:
        config["optim_wrapper"] = grid(branches)
    space = Space(Config(config))
    wanted = [
        {"model": dict(zip(config["model"], outer, strict=True)), **rest}
        for outer in product(*(range(n) for n in plain))
        for rest in (
            [
                {"optim_wrapper": dict(zip(branch, inner, strict=True))}
                for branch, sizes in zip(branches, nested, strict=True)
                for inner in product(*(range(n) for n in sizes))
            ]
            or [{}]
        )
    ]
    points = [space.config_of(point) for point in space.points()]
    assert points == wanted
    assert space.size() == len(wanted)


def test_conditional_branches_are_named_by_their_labels() -> None:
    space = Space(
        Config(
            {
                "optim_wrapper": choice(sgd={"lr": uniform(0, 1)}, adam={"lr": uniform(0, 1), "n": choice([1, 2])}),
                "variants": {"v": choice(a={}, b={"model.net.x": randint(0, 2)})},
            }
        )
    )
    assert {d.name: d.key for d in space.all()} == {
        "optim_wrapper": "optim_wrapper",
        "optim_wrapper[sgd].lr": "optim_wrapper.lr",
        "optim_wrapper[adam].lr": "optim_wrapper.lr",
        "optim_wrapper[adam].n": "optim_wrapper.n",
        "variants.v": "variants.v",
        "variants.v[b].model.net.x": "model.net.x",
    }
    assert space.size() is None
    assert space.lines() == [
        "optim_wrapper: choice",
        "  sgd",
        "    lr: uniform(0, 1)",
        "  adam",
        "    lr: uniform(0, 1)",
        "    n: choice: 1, 2",
        "variants.v: choice",
        "  a",
        "  b",
        "    model.net.x: randint(0, 2)",
    ]


def test_one_leaf_in_several_places_is_drawn_once() -> None:
    lr = uniform(0, 1)
    space = Space(Config({"model": {"a": lr, "b": [lr, 1 - 0.5]}, "optim_wrapper": choice([{"c": lr}, {"c": 2}])}))
    config = space.config_of({"model.a": 0.25, "optim_wrapper": "0"})
    assert config == {"model": {"a": 0.25, "b": [0.25, 0.5]}, "optim_wrapper": {"c": 0.25}}
    assert [d.name for d in space.all()] == ["model.a", "optim_wrapper"]


def test_a_leaf_that_several_branches_share_is_called_by_its_key() -> None:
    lr, other = uniform(0, 1), uniform(0, 2)
    space = Space(Config({"optim_wrapper": choice(a={"lr": lr}, b={"lr": lr}, c={"lr": other}, d={"wd": other})}))
    assert [d.name for d in space.all()] == ["optim_wrapper", "optim_wrapper.lr", "optim_wrapper[c].lr"]


def test_variants_change_what_was_drawn() -> None:
    config = Config(
        {
            "optim_wrapper": choice(sgd={"type": "SGD"}, adam={"type": "Adam", "lr": 1}),
            "variants": {"v": choice(a={}, b={"optim_wrapper.lr": uniform(2, 3), "model": {"x": 1}})},
            "tune": {"num_samples": 3},
        }
    )
    draw = {"optim_wrapper": "adam", "variants.v": "b", "variants.v[b].optim_wrapper.lr": 2.5}
    found = Space(config).config_of(draw)
    assert found == {"optim_wrapper": {"type": "Adam", "lr": 2.5}, "model": {"x": 1}}
    assert config.tune == {"num_samples": 3}


def test_a_variant_that_leads_nowhere_says_which() -> None:
    space = Space(Config({"model": {"x": 1}, "variants": {"v": choice([{"model.x.y": 2}])}}))
    with pytest.raises(ConfigError, match=r"variants\.v: model\.x\.y: .*no 'y'"):
        space.config_of({"variants.v": "0"})


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ([1, 2], [1, 2]),
        ([1, 1.0], ["0", "1"]),
        ([True, 1], ["0", "1"]),
        ([None, "a", 0.5], [None, "a", 0.5]),
        ([float("inf"), 1], ["0", "1"]),
        ([{"a": 1}, 2], ["0", "1"]),
        ([[1], [2]], ["0", "1"]),
        ([2, 2], ["0", "1"]),
    ],
)
def test_what_stands_in_a_draw(options: list[Any], wanted: list[Any]) -> None:
    found = tokens(choice(options))
    assert [(type(token), token) for token in found] == [(type(token), token) for token in wanted]


def test_a_grid_under_a_choice_is_refused() -> None:
    config = Config({"model": choice(a={"x": grid([1, 2])}, b={})})
    with pytest.raises(ConfigError, match=r"model\[a\]\.x: a grid inside an option of the choice model"):
        Space(config)
    Space(Config({"model": grid([{"x": choice([1, 2])}, {}])}))


def test_a_continuous_range_has_no_points() -> None:
    with pytest.raises(ConfigError, match=r"model\.x: uniform\(0, 1\) has no end"):
        list(Space(Config({"model": {"x": uniform(0, 1)}})).points())


def test_grids_alone() -> None:
    space = Space(
        Config({"model": {"a": grid([1, 2]), "b": uniform(0, 1)}, "optim_wrapper": grid([{"c": choice([1])}, {}])})
    )
    assert list(space.points(grids_only=True)) == [
        {"model.a": a, "optim_wrapper": b} for a in (1, 2) for b in ("0", "1")
    ]


@pytest.mark.parametrize(
    ("leaf", "values"),
    [
        (quniform(0.1, 0.35, 0.1), [0.1, 0.2, 0.3]),
        (quniform(0, 1, 0.25), [0.0, 0.25, 0.5, 0.75, 1.0]),
        (quniform(0.05, 0.95, 0.3), [0.3, 0.6, 0.9]),
    ],
)
def test_steps_are_clean(leaf: Any, values: list[float]) -> None:
    assert multiples(leaf) == values


@pytest.mark.parametrize(
    ("leaf", "middle"),
    [(loguniform(1e-4, 1e-2), 1e-3), (uniform(1, 3), 2.0), (choice(["b", "a"]), "b"), (randint(0, 5), 2)],
)
def test_the_middle(leaf: Any, middle: Any) -> None:
    dimension = Space(Config({"model": leaf})).dimensions[0]
    assert middle_value(dimension) == pytest.approx(middle)


def test_log_ranges_are_drawn_over_their_logarithm() -> None:
    dimension, rng = Dimension("x", "x", loguniform(1e-6, 1.0)), Random(0)
    values = [random_value(dimension, rng) for _ in range(2000)]
    assert 0.45 < sum(value < 1e-3 for value in values) / len(values) < 0.55
    assert all(1e-6 <= value <= 1 for value in values)


def test_a_wrong_draw_says_what_is_wrong() -> None:
    space = Space(Config({"model": choice(["a", "b"])}))
    with pytest.raises(ConfigError, match="model: the draw has no value for it"):
        space.config_of({})
    with pytest.raises(ConfigError, match="model: 'c' is none of its options"):
        space.config_of({"model": "c"})


def test_the_space_of_a_base_that_is_referred_to(tmp_path: Path) -> None:
    (tmp_path / "base.py").write_text(
        "from rayseg.search import loguniform\noptim_wrapper = dict(lr=loguniform(1e-5, 1.0))"
    )
    (tmp_path / "child.yaml").write_text("_base_: base.py\nmodel: {lr: '{{_base_.optim_wrapper.lr}}'}\n")
    space = Space(load_config(tmp_path / "child.yaml"))
    assert len(space.all()) == 1
    found = space.config_of({space.all()[0].name: 0.5})
    assert found.model.lr == found.optim_wrapper.lr == 0.5
    (tmp_path / "text.yaml").write_text("_base_: base.py\nwork_dir: 'lr_{{_base_.optim_wrapper.lr}}'\n")
    with pytest.raises(ConfigError, match="drawn by a sweep and cannot stand inside a text"):
        load_config(tmp_path / "text.yaml")
