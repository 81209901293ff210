# ruff: noqa: C408 (tables of configs, written as configs are)
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rayseg.config import SECTIONS, Config, load_config
from rayseg.config.config import Config as ConfigClass
from rayseg.core.errors import ConfigError
from rayseg.search import choice, grid, loguniform, quniform, randint, uniform

from tests.unit.config import components  # isort: skip
from tests.unit.config.conftest import Write  # isort: skip

TEXTS = st.text(max_size=12) | st.sampled_from(
    ["it's", 'a "b"', "{{_base_.model}}", "{{ fileDirname }}", "{{{x}}}", "a\nb\\", "${env:X}", "${{", "_base_"]
)
KEYS = st.text(st.characters(codec="utf-8"), max_size=6) | st.sampled_from(
    ["type", "class", "a.b", "None", "if", "{{a}}"]
)
NUMBERS = st.integers() | st.floats() | st.booleans() | st.none()
RANGES = st.sampled_from([uniform(0, 1), loguniform(1e-5, 2), quniform(0, 2, 0.5), randint(-3, 4)])


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    lists = st.lists(inner, max_size=3)
    labelled = st.dictionaries(KEYS, inner, min_size=1, max_size=3)
    return (
        lists
        | lists.map(tuple)
        | st.dictionaries(KEYS | st.integers(), inner, max_size=3)
        | st.lists(inner, min_size=1, max_size=3).map(choice)
        | st.lists(inner, min_size=1, max_size=2).map(grid)
        | labelled.map(lambda options: choice(**options))
    )


VALUES = st.recursive(NUMBERS | TEXTS | RANGES, containers, max_leaves=8)
CONFIGS = st.dictionaries(st.sampled_from(list(SECTIONS)), VALUES, max_size=4)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(values=CONFIGS)
def test_a_dump_loads_to_an_equal_config(tmp_path_factory: pytest.TempPathFactory, values: dict[str, Any]) -> None:
    config = Config.from_dict(values)
    path = tmp_path_factory.getbasetemp() / "dumped.py"
    path.write_text(config.dump(), encoding="utf-8")
    again = load_config(path)
    assert repr(again) == repr(Config.from_dict({name: config[name] for name in SECTIONS if name in config}))
    assert again.dump() == config.dump()


def test_readable(write: Write) -> None:
    config = Config.from_dict(
        dict(
            work_dir="w",
            custom_hooks=[dict(type="EMAHook", priority="NORMAL"), dict(type="x" * 60, y=("a" * 20, 1.5))],
            optim_wrapper=choice(a=dict(lr=loguniform(1e-5, 1e-2)), b={}),
            variants=dict(v=choice([{"model.net": 1}])),
            model=dict(type="Segmentor", net=None),
        )
    )
    assert config.dump() == (
        "from rayseg.search import choice, loguniform\n"
        "\n"
        'model = dict(type="Segmentor", net=None)\n'
        "optim_wrapper = choice(a=dict(lr=loguniform(1e-05, 0.01)), b=dict())\n"
        "custom_hooks = [\n"
        '    dict(type="EMAHook", priority="NORMAL"),\n'
        '    dict(type="' + "x" * 60 + '", y=("' + "a" * 20 + '", 1.5)),\n'
        "]\n"
        'variants = dict(v=choice([{"model.net": 1}]))\n'
        'work_dir = "w"\n'
    )


def test_long_values_are_broken_up(write: Write) -> None:
    tree = dict(
        type="T" * 40, items=[dict(name="n" * 50, values=tuple(range(40)))], options={"a.b": choice(["c" * 80] * 2)}
    )
    config = Config.from_dict(dict(model=tree))
    assert max(map(len, config.dump().splitlines())) <= 120
    assert load_config(write({"a.py": config.dump()})) == config


def a_function() -> None: ...


def test_classes_become_dotted_paths_and_objects_a_text_that_is_refused() -> None:
    config = Config.from_dict(dict(model=dict(type=components.Net, net=components.Net(1), loss=a_function)))
    assert config.dump() == (
        "model = dict(\n"
        '    type="tests.unit.config.components.Net",\n'
        '    net="<live object tests.unit.config.components.Net>",\n'
        f'    loss="{__name__}.a_function",\n'
        ")\n"
    )


def test_an_unknown_section_cannot_be_dumped() -> None:
    with pytest.raises(ConfigError, match="modle: no such section; did you mean 'model'"):
        Config.from_dict(dict(modle=1)).dump()


def test_the_dump_of_a_loaded_config_has_no_bases(write: Write) -> None:
    path = write(
        {"b.py": "crop = 3\nmodel = dict(a=1)", "a.py": "_base_ = 'b.py'\nwork_dir = str(Path.cwd()) if False else 'x'"}
    )
    config: ConfigClass = load_config(path)
    assert config.dump() == 'model = dict(a=1)\nwork_dir = "x"\n'
    assert isinstance(config.filename, Path)


def test_a_leaf_in_several_places_stays_one(write: Write) -> None:
    lr, mult = loguniform(1e-5, 1e-2), uniform(0, 1)
    optimizer = choice(sgd=dict(type="SGD", lr=lr), adam=dict(type="Adam", lr=lr, weight_decay=mult))
    config = Config(
        {
            "optim_wrapper": choice(a=dict(optimizer=optimizer), b=dict(optimizer=optimizer, x=mult)),
            "tune": dict(y=mult),
        }
    )
    text = config.dump()
    assert text.startswith(
        "from rayseg.search import choice, loguniform, uniform\n\n"
        "leaf_1 = loguniform(1e-05, 0.01)\nleaf_2 = uniform(0, 1)\n"
        'leaf_3 = choice(sgd=dict(type="SGD", lr=leaf_1), adam=dict(type="Adam", lr=leaf_1, weight_decay=leaf_2))\n'
    )
    again = load_config(write({"c.py": text}))
    assert again == config
    a, b = again.optim_wrapper.options
    assert a["optimizer"] is b["optimizer"]
    assert b["x"] is again.tune.y is a["optimizer"].options[1]["weight_decay"]
    assert again.dump() == text
