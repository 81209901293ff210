# ruff: noqa: C408 (tables of configs, written as configs are)
from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from rayseg.config import (
    Config,
    complete_config,
    config_import_path,
    load_config,
    nearest_section,
    prepend_import_path,
    settings,
)
from rayseg.config.settings import DataLoaderSettings, LogProcessorSettings, Scaling
from rayseg.core.errors import ConfigError
from rayseg.search import choice

from tests.unit.config.conftest import Write  # isort: skip


def test_keys_are_read_as_attributes() -> None:
    config = Config.from_dict(dict(model=dict(net=dict(depth=3), loss=[dict(a=(dict(b=1),))])))
    assert config.model.net.depth == 3
    assert config.model.loss[0].a[0].b == 1
    with pytest.raises(AttributeError, match="no key 'nett'; did you mean 'net'"):
        _ = config.model.nett
    assert not hasattr(config, "missing")


def test_keys_are_set_and_deleted_as_attributes() -> None:
    config = Config.from_dict(dict(model=dict(net=dict(depth=3))))
    config.model.net.depth = 4
    config.model.loss = [dict(a=1)]
    config.resume = True
    del config.model.net
    assert config == dict(model=dict(loss=[dict(a=1)]), resume=True)
    assert config.model.loss[0].a == 1
    with pytest.raises(AttributeError, match="no key 'nett'"):
        del config.model.nett
    for name in ("items", "filename"):
        with pytest.raises(AttributeError, match=rf"'{name}' is an attribute of every config; write \['{name}'\]"):
            setattr(config, name, 3)


def test_what_is_put_in_becomes_part_of_the_tree() -> None:
    config = Config.from_dict({})
    config["model"] = dict(net=dict(depth=1))
    config.setdefault("scaling", {}).update(resources_per_worker={"CPU": 1})
    assert config.model.net.depth == config.scaling.resources_per_worker.CPU == 1


def test_nothing_is_shared_with_the_dict_it_was_made_from() -> None:
    tree = dict(a=[dict(b=1)])
    config = Config.from_dict(tree)
    config.a[0]["b"] = 2
    copied = config.copy()
    copied.a[0]["b"] = 3
    assert (tree["a"][0]["b"], config.a[0].b) == (1, 2)


@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, copy.copy, lambda config: pickle.loads(pickle.dumps(config)), Config.copy]
)
def test_copies_know_where_values_came_from(write: Write, duplicate: object) -> None:
    path = write(
        {
            "b.py": "model = dict(x=1)",
            "a.py": "_base_ = 'b.py'\nfrom rayseg.search import choice\ntune = choice([1, dict(a=2)])",
        }
    )
    config = complete_config(load_config(path, ["resume=True"]))
    again = duplicate(config)  # type: ignore[operator]
    assert again == config
    assert type(again) is Config
    assert again.filename == Path("a.py").absolute()
    assert again.model.x == 1
    assert [again.origin(key) for key in ("model.x", "tune", "resume", "default_hooks.timer")] == [
        "b.py", "a.py", "command line", "default",
    ]  # fmt: skip
    assert again.tune == choice([1, dict(a=2)])


def test_mm_names_for_reading_changing_and_writing(write: Write, tmp_path: Path) -> None:
    config = Config.fromfile(write({"a.py": "model = dict(net=dict(depth=1))\ncustom_hooks = [dict(type='H', n=1)]"}))
    config.merge_from_dict({"model.net": dict(width=2), "custom_hooks.0.n": 5, "train_cfg.max_iters": 7})
    expected = dict(
        model=dict(net=dict(depth=1, width=2)), custom_hooks=[dict(type="H", n=5)], train_cfg=dict(max_iters=7)
    )
    assert config == expected
    assert config.get("train_cfg").max_iters == 7
    assert config.get("val_cfg", "none") == "none"
    assert config.dump(tmp_path / "b.py") == config.pretty_text == (tmp_path / "b.py").read_text()
    assert Config.fromfile("b.py") == expected
    with pytest.raises(ConfigError, match=r"ends in \.py, found b\.yaml"):
        config.dump("b.yaml")
    with pytest.raises(ConfigError, match="custom_hooks is a list; expected an index"):
        config.merge_from_dict({"custom_hooks.1.n": 5})


def test_scopes_are_dropped(write: Write) -> None:
    text = "model = dict(_scope_='mmseg', type='S', net=[dict(_scope_='mmseg')])\n_scope_ = 'mmseg'"
    for config in (
        load_config(write({"a.py": text})),
        Config.from_dict(dict(_scope_="x", model=dict(_scope_="x", type="S", net=[{}]))),
    ):
        assert config == dict(model=dict(type="S", net=[{}]))
    assert load_config("a.py", ["model.net=dict(_scope_=mmseg, a=1)"]).model.net == dict(a=1)


def test_equality_is_that_of_values(write: Write) -> None:
    assert load_config(write({"a.py": "resume = True"})) == dict(resume=True) == Config.from_dict(dict(resume=True))


def test_origin_of_a_config_made_in_python() -> None:
    assert Config.from_dict(dict(a=1)).origin("a") == ""
    assert Config.from_dict(dict(a=1)).filename is None
    assert Config.from_dict(dict(a=1), "x/y.py").origin("a") == "x/y.py"


def test_settings() -> None:
    config = Config.from_dict(
        dict(scaling=dict(num_workers=3), failure=None, log_processor=dict(type="LogProcessor", by_epoch=True))
    )
    assert settings(config, "scaling") == Scaling(num_workers=3)
    assert settings(config, "failure").max_failures == 0
    assert settings(config, "randomness").seed == 0
    assert settings(config, "log_processor") == LogProcessorSettings(by_epoch=True)
    loader = settings({"val_dataloader": dict(dataset=dict(type="D"))}, "val_dataloader")
    assert loader == DataLoaderSettings(dataset=dict(type="D"))


def test_settings_that_are_wrong() -> None:
    with pytest.raises(ConfigError, match=r"scaling: .*num_worker"):
        settings(dict(scaling=dict(num_worker=1)), "scaling")
    with pytest.raises(ConfigError, match=r"train_dataloader: .*dataset"):
        settings({}, "train_dataloader")


@pytest.mark.parametrize(("name", "section"), [("modle", "model"), ("train_loader", "train_dataloader"), ("xyz", None)])
def test_nearest_section(name: str, section: str | None) -> None:
    assert nearest_section(name) == section


def test_import_path_is_the_configs_directory_then_the_current_one(write: Write, tmp_path: Path) -> None:
    config = pickle.loads(pickle.dumps(load_config(write({"configs/a.py": ""}))))
    os.chdir("/")
    before = list(sys.path)
    with config_import_path(config):
        assert sys.path == [f"{tmp_path}/configs", str(tmp_path), *before]
        sys.path.append("added")
    assert sys.path == [*before, "added"]
    sys.path.remove("added")


def test_prepending_twice_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", ["x", "b", "y"])
    for _ in range(2):
        prepend_import_path("a", "b")
        assert sys.path == ["a", "b", "x", "y"]


def test_importing_the_room_is_cheap() -> None:
    heavy = "torch", "numpy", "ray", "pydantic", "yaml", "segmentation_models_pytorch"
    script = f"import sys, rayseg.config, rayseg.search; print([name for name in {heavy} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
