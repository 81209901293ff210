"""Class names and colours, and where they are said."""

from __future__ import annotations

import json

import pytest

from rayseg.core.errors import ConfigError
from rayseg.data.classes import resolve_classes

COLOURS = [[0, 0, 0], [1, 2, 3]]


def test_given_names_win_and_keep_the_files_colours_only_when_they_are_the_same(tmp_path) -> None:
    (tmp_path / "dataset.json").write_text(json.dumps({"classes": ["a", "b"], "palette": COLOURS}))
    assert resolve_classes(tmp_path, None, None) == (("a", "b"), COLOURS)
    assert resolve_classes(tmp_path, ["a", "b"], None) == (("a", "b"), COLOURS)
    assert resolve_classes(tmp_path, ["x", "y"], None) == (("x", "y"), None)
    assert resolve_classes(tmp_path, None, [[9, 9, 9]] * 2) == (("a", "b"), [[9, 9, 9]] * 2)
    assert resolve_classes(tmp_path, None, None, {"classes": ("u", "v"), "palette": COLOURS}) == (("u", "v"), COLOURS)


def test_names_from_other_files(tmp_path) -> None:
    (tmp_path / "names.txt").write_text("road\n\n car \n")
    assert resolve_classes(tmp_path, "names.txt", None)[0] == ("road", "car")
    (tmp_path / "classes.json").write_text('["p", "q"]')
    assert resolve_classes(tmp_path, None, None) == (("p", "q"), None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((None, None), r"not given, and none of dataset\.json"),
        (("lost.txt", None), r"no file 'lost\.txt'"),
        ((["a", "a"], None), "'a' stands there twice"),
        (([], None), "expected a list of names"),
        ((["a", "b"], [[0, 0, 0]]), "1 colours for 2 classes"),
        ((["a"], [[0, 0, 300]]), r"expected \[r, g, b\] of 0–255, found \[0, 0, 300\]"),
        ((["a"], ["red"]), "expected one"),
    ],
)
def test_what_is_malformed(tmp_path, arguments, message) -> None:
    with pytest.raises(ConfigError, match=message):
        resolve_classes(tmp_path, *arguments)


@pytest.mark.parametrize(("text", "message"), [("{", "not JSON"), ("{}", "expected a key 'classes'")])
def test_a_broken_file_is_named(tmp_path, text, message) -> None:
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(ConfigError, match=rf"dataset\.json: {message}"):
        resolve_classes(tmp_path, None, None)
