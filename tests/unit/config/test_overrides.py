# ruff: noqa: C408 (tables of configs, written as configs are)
from __future__ import annotations

import math
from typing import Any

import pytest

from rayseg.config import load_config
from rayseg.config.overrides import parse_value
from rayseg.core.errors import ConfigError
from rayseg.search import choice, loguniform, uniform

from tests.unit.config.conftest import Write  # isort: skip


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("1e-4", 1e-4),
        ("-2.5", -2.5),
        ("True", True),
        ("None", None),
        ("true", "true"),
        ("SGD", "SGD"),
        ("my_hooks.Freeze", "my_hooks.Freeze"),
        ("'quoted'", "quoted"),
        ("", ""),
        ("a first run", "a first run"),
        (" two  spaces ", " two  spaces "),
        ("data/blue-marble", "data/blue-marble"),
        ("s3://bucket/x?y=1", "s3://bucket/x?y=1"),
        ("a,b", "a,b"),
        ("1,2", (1, 2)),
        ("(1, 'x')", (1, "x")),
        ("[land, water]", ["land", "water"]),
        ("[(1,2),(3,4)]", [(1, 2), (3, 4)]),
        ("[(a,b),(c,d)]", [("a", "b"), ("c", "d")]),
        ("[(1, 2, 3), [a, b], c]", [(1, 2, 3), ["a", "b"], "c"]),
        ("[data/x, b-c, 'd, e', 2]", ["data/x", "b-c", "d, e", 2]),
        ("(s3://b/x, [k-1, {'a': 1}])", ("s3://b/x", ["k-1", {"a": 1}])),
        ("[a b]", ["a b"]),
        ("[1 + x,]", ["1 + x"]),
        ("(a) and (b", "(a) and (b"),
        ("{'a.b': [1]}", {"a.b": [1]}),
        ("dict(type=SGD, lr=.1, betas=(0.9, 1))", dict(type="SGD", lr=0.1, betas=(0.9, 1))),
        ("[dict(type=a.b)]", [dict(type="a.b")]),
        ("dict()", {}),
        ("float('inf')", math.inf),
        ("loguniform(1e-5, 1e-2)", loguniform(1e-5, 1e-2)),
        ("choice([sgd, dict(lr=loguniform(1, 2))])", choice(["sgd", dict(lr=loguniform(1, 2))])),
        ("choice(a=1, b={})", choice(a=1, b={})),
        ("open('x')", "open('x')"),
        ("007", "007"),
        ("1 + 1", "1 + 1"),
    ],
)
def test_values(text: str, value: Any) -> None:
    parsed = parse_value(text)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("loguniform(0, 1)", "loguniform(0, 1): low must be above 0"),
        ("uniform(1)", "uniform() missing 1 required positional argument: 'high'"),
    ],
)
def test_bad_search_calls(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_value(text)
    assert str(error.value) == message


@pytest.mark.parametrize("text", ["dict(a=b-c)", "{x-y: 1}", "dict(**x)", "choice([1 + x])", "[dict(a=b-c)]"])
def test_containers_that_are_no_literals(text: str) -> None:
    with pytest.raises(ConfigError, match="put quotes around the texts in it"):
        parse_value(text)


@pytest.mark.parametrize("text", ["[a, (b c]", "[a-b), (c]", "['a, b-c]"])
def test_brackets_and_quotes_that_do_not_match(text: str) -> None:
    with pytest.raises(ConfigError, match="do not match"):
        parse_value(text)


TREE = (
    "model = dict(net=dict(type='Net', depth=1), loss=[dict(a=1), dict(a=2)])\n"
    "custom_hooks = [1, (2, dict(x=3))]\n"
    "trackers = dict(wandb=None)\n"
    "optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'backbone.norm': dict(lr_mult=1.0)}), map={0: 'a'})\n"
)


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("model.net.depth=5", "model.net", dict(type="Net", depth=5)),
        ("model.net=dict(width=2)", "model.net", dict(type="Net", depth=1, width=2)),
        ("model.net=dict(_delete_=True, width=2)", "model.net", dict(width=2)),
        ("model.net=None", "model.net", None),
        ("model.loss.0.a=9", "model.loss", [dict(a=9), dict(a=2)]),
        ("model.loss.-1.a=9", "model.loss", [dict(a=1), dict(a=9)]),
        ("model.loss.1=3", "model.loss", [dict(a=1), 3]),
        ("custom_hooks.1.1.x=4", "custom_hooks", [1, (2, dict(x=4))]),
        ("trackers.wandb.project=p", "trackers", dict(wandb=dict(project="p"))),
        ("optim_wrapper.paramwise_cfg.custom_keys.backbone.norm.lr_mult=0.1", "optim_wrapper.paramwise_cfg.custom_keys",
         {"backbone.norm": dict(lr_mult=0.1)}),
        ("optim_wrapper.map.0=b", "optim_wrapper.map", {0: "b"}),
        ("scaling.num_workers=2", "scaling", dict(num_workers=2)),
        ("work_dir=a=b", "work_dir", "a=b"),
    ],
)  # fmt: skip
def test_overrides(write: Write, override: str, key: str, value: Any) -> None:
    config: Any = load_config(write({"a.py": TREE}), [override])
    found = config
    for part in key.split("."):
        found = found[part]
    assert found == value


def test_origins_of_overrides(write: Write) -> None:
    overrides = ["model.net=dict(width=2)", "model.loss.-1.a=3", "scaling.num_workers=2"]
    config = load_config(write({"a.py": TREE}), overrides)
    for key in ("model.net.width", "model.loss.1.a", "scaling", "scaling.num_workers"):
        assert config.origin(key) == "command line"
    for key in ("model.net.type", "model.net", "model.loss.0.a", "model"):
        assert config.origin(key) == "a.py"


def test_overrides_apply_in_order_and_may_be_a_mapping(write: Write) -> None:
    path = write({"a.py": TREE})
    assert load_config(path, ["scaling=dict(a=1)", "scaling.b=2"]).scaling == dict(a=1, b=2)
    assert load_config(path, {"model.net.depth": 7, "load_from": "a b"}).load_from == "a b"


def test_all_bad_overrides_at_once(write: Write) -> None:
    overrides = [
        "model.net.type.x=1",
        "model.loss.2.a=1",
        "model.loss.x=1",
        "justakey",
        "=3",
        "model..x=1",
        "optim_wrapper.lr=uniform(2, 1)",
    ]
    with pytest.raises(ConfigError) as error:
        load_config(write({"a.py": TREE}), overrides)
    assert str(error.value).splitlines() == [
        "command line: model.net.type.x: model.net.type is 'Net', which has no 'x'",
        "command line: model.loss.2.a: model.loss is a list; expected an index (0 to 1), found '2'",
        "command line: model.loss.x: model.loss is a list; expected an index (0 to 1), found 'x'",
        "command line: justakey: expected key=value, such as train_cfg.max_iters=300",
        "command line: expected key=value, such as train_cfg.max_iters=300",
        "command line: model..x: expected key=value, such as train_cfg.max_iters=300",
        "command line: optim_wrapper.lr: uniform(2, 1): low must be below high",
    ]


def test_an_override_changes_each_option_of_a_choice(write: Write) -> None:
    path = write(
        {"a.py": "from rayseg.search import *\nmodel = choice(a=dict(lr=1, opt=choice([dict(m=1), {}])), b=None)"}
    )
    config = load_config(path, ["model.lr=2", "model.opt.m=uniform(0, 1)"])
    inner = {"m": uniform(0, 1)}
    assert config.model == choice(a={"lr": 2, "opt": choice([inner, inner])}, b={"lr": 2, "opt": inner})
    assert config.origin("model[a].lr") == config.origin("model[a].opt[0].m") == "command line"
    assert config.origin("model[a]") == config.origin("model") == str(path)


def test_an_override_below_a_leaf_is_refused(write: Write) -> None:
    path = write({"a.py": "from rayseg.search import choice\noptim_wrapper = choice(a=dict(lr=1), b=3)"})
    with pytest.raises(ConfigError) as error:
        load_config(path, ["optim_wrapper.lr=2"])
    expected = "command line: optim_wrapper.lr: optim_wrapper[b] is 3, which has no 'lr'"
    assert str(error.value) == expected
