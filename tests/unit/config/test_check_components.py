# ruff: noqa: C408, E501 (tables of configs, written as configs are)
"""Checking what a config names: live objects, the user's own modules, and anything at all."""

from __future__ import annotations

import sys
from typing import Any

import hypothesis
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rayseg.config import SECTIONS, Config, check_config, load_config
from rayseg.core.errors import ConfigError
from rayseg.search import choice, randint, uniform

from tests.unit.config import components  # isort: skip
from tests.unit.config.conftest import BASE, Write, problems_of  # isort: skip


def test_live_classes_and_objects(base: str) -> None:
    config = Config.from_dict(load_config(base))
    config["model"] = dict(type=components.Segmentor, net=torch.nn.Conv2d(3, 2, 1), loss=torch.nn.CrossEntropyLoss())
    config["custom_hooks"] = [components.EMA(), dict(type=components.EMA, start_iter=1)]
    assert problems_of(config) == [
        "custom_hooks.1.start_iter: EMA takes no 'start_iter' (found 1); did you mean 'start_iters'?"
    ]
    config.custom_hooks[1] = dict(type=components.EMA, priority=40)
    assert check_config(config) == []


def test_live_models_in_dicts_made_in_python() -> None:
    model = torch.nn.Conv2d(3, 2, 1)
    assert check_config(Config.from_dict(dict(model=model)), needs=["model"]) == []


def test_dotted_paths_are_found_beside_the_config_first(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(
        {
            "beside_config_hooks.py": "raise RuntimeError('the wrong one')",
            "configs/beside_config_hooks.py": (
                "class Freeze:\n    def __init__(self, until_iter: int): pass\nclass Plain: pass\n"
            ),
            "base.py": BASE,
            "configs/a.py": (
                "_base_ = '../base.py'\n"
                "custom_hooks = [dict(type='beside_config_hooks.Freeze', until_itr=50), dict(type='beside_config_hooks.Plain', x=1)]"
            ),
        }
    )
    before = list(sys.path)
    assert problems_of(load_config(path)) == [
        "configs/a.py: custom_hooks.0.until_itr: beside_config_hooks.Freeze takes no 'until_itr' (found 50); did you mean 'until_iter'?",
        "configs/a.py: custom_hooks.1.x: beside_config_hooks.Plain takes no 'x' (found 1); it takes no arguments",
    ]
    assert sys.path == before
    sys.modules.pop("beside_config_hooks", None)


def test_a_user_module_that_cannot_be_imported(write: Write, tmp_path: Any) -> None:
    path = write(
        {
            "broken_hooks.py": "x = 1\nraise RuntimeError('not today')",
            "base.py": BASE,
            "a.py": "_base_ = 'base.py'\ncustom_hooks = [dict(type='broken_hooks.Freeze', x=1)]\ncustom_imports = dict(imports='broken_hooks')",
        }
    )
    why = f"importing {{}} failed: RuntimeError: not today ({tmp_path}/broken_hooks.py:2)"
    assert problems_of(load_config(path)) == [
        f"a.py: custom_imports.imports: {why.format(repr('broken_hooks'))}",
        f"a.py: custom_hooks.0.type: {why.format(repr('broken_hooks.Freeze'))}",
    ]


def test_custom_imports_register_names(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(
        {
            "registering.py": (
                "from rayseg.core.registries import HOOKS\n@HOOKS.register_module()\nclass Late:\n    def __init__(self, n: int): pass"
            ),
            "base.py": BASE,
            "a.py": "_base_ = 'base.py'\ncustom_imports = dict(imports=['registering'], allow_failed_imports=False)\ncustom_hooks = [dict(type='Late', n='1')]",
        }
    )
    assert problems_of(load_config(path)) == [
        "a.py: custom_hooks.0.n: expected int, found '1'; write the number without quotes"
    ]
    sys.modules.pop("registering", None)


def test_an_inherited_value_is_reported_once_and_an_own_one_where_it_stands(write: Write) -> None:
    text = "_base_ = 'base.py'\ntrain_dataloader = dict(dataset=dict(data_root=1))\nval_dataloader = dict(dataset=dict(data_root=2))"
    assert problems_of(load_config(write({"base.py": BASE, "a.py": text}))) == [
        "a.py: train_dataloader.dataset.data_root: expected str, found 1",
        "a.py: val_dataloader.dataset.data_root: expected str, found 2",
    ]


def test_a_default_that_contradicts_its_annotation_is_believed(base: str) -> None:
    config = load_config(base, ["optim_wrapper.optimizer.betas=(0.5, 0.6)", "train_cfg.begin=None"])
    assert check_config(config) == []


def test_no_library_is_imported_that_the_config_does_not_name(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from rayseg.core.registries import NETS

    monkeypatch.setattr(NETS, "_libraries", {"heavy.": "a_library_that_must_not_be_imported"})
    assert check_config(load_config(base)) == []


WORDS = [
    "type",
    "net",
    "dataset",
    "Segmentor",
    "Net",
    "FolderDataset",
    "optimizer",
    "SGD",
    "priority",
    "EMAHook",
    "lr",
    "",
]
TREES = st.recursive(
    st.none()
    | st.booleans()
    | st.floats()
    | st.sampled_from(WORDS)
    | st.sampled_from([randint(1, 3), uniform(0, 1), components.Net, components.Net(1), 3]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.lists(inner, max_size=2).map(tuple)
        | st.dictionaries(st.sampled_from(WORDS) | st.integers(0, 2), inner, max_size=3)
        | st.lists(inner, min_size=1, max_size=2).map(choice)
    ),
    max_leaves=6,
)


@hypothesis.settings(max_examples=150, deadline=None, suppress_health_check=list(hypothesis.HealthCheck))
@given(values=st.dictionaries(st.sampled_from([*SECTIONS, "other"]), TREES, min_size=1, max_size=3))
def test_whatever_is_wrong_is_a_config_error(values: dict[str, Any]) -> None:
    config = Config.from_dict(values)
    with pytest.raises(ConfigError) as error:
        check_config(config)
    assert all("\n" not in str(problem) for problem in error.value.problems)
    assert len(set(error.value.problems)) == len(error.value.problems)
