"""Values as Python text: they evaluate to themselves."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rayseg.config.render import Name, render
from rayseg.migration.write import filled

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(max_size=8) | st.integers(), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(VALUES)
def test_text_evaluates_to_the_value(value: Any) -> None:
    assert eval(render(value)) == value


def test_no_reference_comes_out_of_a_text() -> None:
    assert render("{{_base_.x}}") == '"{" + "{_base_.x}}"'
    assert eval(render("{{{{a")) == "{{{{a"


def test_quotes() -> None:
    assert [render(text) for text in ("a", "it's", 'say "no"', "a\\b\n")] == [
        '"a"',
        '"it\'s"',
        "'say \"no\"'",
        '"a\\\\b\\n"',
    ]


def test_filled_lists_keep_to_the_width() -> None:
    text = filled("classes", [f"class {number}" for number in range(60)])
    names: dict[str, Any] = {}
    exec(text, names)
    assert names["classes"] == [f"class {number}" for number in range(60)]
    assert 100 < max(map(len, text.splitlines())) <= 120


def test_a_name_has_no_quotes() -> None:
    assert render({"classes": Name("classes")}) == "dict(classes=classes)"
