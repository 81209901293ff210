"""Names to classes: short names, libraries, dotted paths; what is built and what is refused."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import pytest

from rayseg.core import registries
from rayseg.core.errors import ConfigError
from rayseg.core.registry import Registry, UnknownNameError, import_dotted


class Box:
    """A component."""

    class Inner:
        """A class inside a class."""

    def __init__(self, width: int, height: int = 1) -> None:
        self.width, self.height = width, height


class Open:
    """A component that takes anything."""

    def __init__(self, **others: Any) -> None:
        self.others = others


def boxes(**kwargs: Any) -> Registry:
    registry = Registry("box", **kwargs)
    registry.register_module()(Box)
    registry.register_module()(Open)
    return registry


def test_a_short_name_imports_nothing_until_it_is_resolved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "late_box.py").write_text("class LateBox: pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    registry = Registry("box", {"LateBox": "late_box.LateBox"})
    assert registry.known() == ["LateBox"]
    assert "late_box" not in sys.modules
    assert registry.resolve("LateBox").__module__ == "late_box"
    sys.modules.pop("late_box", None)


def test_a_library_answers_with_and_without_a_prefix() -> None:
    registry = Registry("container", libraries={"c.": "collections", "": "fractions"})
    assert registry.resolve("c.OrderedDict").__name__ == "OrderedDict"
    assert registry.resolve("Fraction").__name__ == "Fraction"
    assert {"c.OrderedDict", "Fraction"} <= set(registry.known())
    with pytest.raises(UnknownNameError, match=r"unknown container 'c.OrderdDict'; did you mean 'c.OrderedDict'\?"):
        registry.resolve("c.OrderdDict")


def test_private_names_of_a_library_are_not_known() -> None:
    with pytest.raises(UnknownNameError):
        Registry("function", libraries={"": "operator"}).resolve("_abs")


def test_a_dotted_path_also_through_a_class() -> None:
    assert Registry("box").resolve("collections.OrderedDict").__name__ == "OrderedDict"
    assert import_dotted("pathlib.Path.cwd") == Path.cwd


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Boxx", r"unknown box 'Boxx'; did you mean 'Box'\?"),
        ("no_such_package.Box", "no module named 'no_such_package'"),
        ("collections.OrderdDict", r"module 'collections' has no 'OrderdDict'; did you mean 'OrderedDict'\?"),
        ("sys.maxsize", "'sys.maxsize' is .* not a class or function"),
    ],
)
def test_an_unknown_name(name: str, message: str) -> None:
    with pytest.raises(UnknownNameError, match=message):
        boxes().resolve(name)


def test_an_error_inside_a_module_is_raised_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_box.py").write_text("import not_installed_anywhere\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="not_installed_anywhere"):
        import_dotted("broken_box.Box")


def test_building() -> None:
    box = boxes().build({"type": "Box", "width": 3})
    assert (box.width, box.height) == (3, 1)
    assert boxes().build(box) is box
    assert boxes().build({"type": Box, "width": 2}).width == 2


def test_a_config_is_not_changed_by_building() -> None:
    config = {"type": "Box", "width": 3}
    boxes().build(config, height=4)
    assert config == {"type": "Box", "width": 3}


def test_what_the_caller_supplies_is_passed_where_it_is_taken_and_the_config_wins() -> None:
    registry = boxes(supplied=["height", "depth"])
    assert registry.build({"type": "Box", "width": 3}, height=4, depth=9).height == 4
    assert registry.build({"type": "Box", "width": 3, "height": 5}, height=4).height == 5
    assert registry.build({"type": "Open"}, height=4, hidden=1).others == {"height": 4}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"width": 3}, "a box needs a 'type'"),
        ({"type": "Box"}, "box Box: missing a required argument: 'width'"),
        ({"type": "Box", "width": 1, "depth": 2}, "box Box: got an unexpected keyword argument 'depth'"),
    ],
)
def test_what_cannot_be_built(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        boxes().build(config)


def test_registering() -> None:
    registry = boxes()
    assert registry.register_module()(Box) is Box  # the same class again, as after a second import
    with pytest.raises(KeyError, match="box 'Box' is already registered; pass force=True"):
        registry.register_module("Box")(Open)
    registry.register_module("Box", force=True)(Open)
    assert registry.resolve("Box") is Open


def _all_registries() -> list[Registry]:
    return [value for value in vars(registries).values() if isinstance(value, Registry)]


@pytest.mark.parametrize("registry", _all_registries(), ids=repr)
def test_registries_travel_to_workers_by_name(registry: Registry) -> None:
    assert pickle.loads(pickle.dumps(registry)) is registry


def test_every_kind_is_one_registry() -> None:
    kinds = [registry.kind for registry in _all_registries()]
    assert sorted(set(kinds)) == sorted(kinds)


@pytest.mark.parametrize("registry", _all_registries(), ids=repr)
def test_every_short_name_means_a_class(registry: Registry) -> None:
    names = [name for name, target in registry._names.items() if isinstance(target, str)]
    for name in names:
        assert registry.resolve(name).__name__ == name


def test_the_ways_to_register() -> None:
    registry = Registry("box")
    assert registry.register_module(Box) is Box
    assert registry.register_module(["Big", "Wide"], module=Box) is Box
    assert registry.register_module(name="Other")(Open) is Open
    assert [registry.get(name) for name in ("Box", "Big", "Wide", "Other", "Open")] == [Box, Box, Box, Open, None]
    assert "Wide" in registry
    assert "Open" not in registry


def test_a_taken_name_is_refused_until_forced() -> None:
    registry = boxes()
    registry.register_module(module=Box)  # the same class again changes nothing
    with pytest.raises(KeyError, match=r"box 'Box' is already registered; pass force=True"):
        registry.register_module("Box", module=Open)
    registry.register_module("Box", True, Open)
    assert registry.resolve("Box") is Open


def test_mm_scopes_change_nothing() -> None:
    registry = boxes()
    assert registry.resolve("mmseg.Box") is Box
    assert registry.build({"_scope_": "mmseg", "type": "mmengine.Box", "width": 2}).width == 2
    with pytest.raises(UnknownNameError) as error:
        registry.resolve("mmseg.Bx")
    expected = "unknown box 'Bx'; did you mean 'Box'? ('mmseg.' before a name is MM's scope, which changes nothing)"
    assert str(error.value) == expected
    with pytest.raises(UnknownNameError, match=r"no module named 'mmseg'"):
        registry.resolve("mmseg.models.Box")
