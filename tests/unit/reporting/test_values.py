"""Values that anybody may have written, and how they are shown."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayseg.reporting.values import as_mapping, as_number, as_rows, as_text, moment, named, span, whole

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(JSON)
def test_nothing_fails(value):
    assert isinstance(as_number(value), float)
    for shown in (as_text(value), whole(value), span(value), moment(value), named("mIoU", value)):
        assert isinstance(shown, str)
    assert as_mapping(value) == (value if isinstance(value, dict) else {})
    assert all(isinstance(row, dict) for row in as_rows(value))


def test_numbers():
    assert as_number("Infinity") == math.inf
    assert math.isnan(as_number(True))
    assert math.isnan(as_number("12"))
    assert math.isnan(as_number(10**400))
    assert whole(40000) == "40\u202f000"
    assert named("mIoU", 0.98765) == "98.77 %"
    assert named("mIoU", math.nan) == "–"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.04, "0.0 s"), (9.96, "10.0 s"), (41, "41 s"), (59.7, "1 min 00 s"), (134, "2 min 14 s"),
        (11_100, "3 h 05 min"), (187_300, "2 d 4 h"), (-1, "–"), (math.nan, "–"),
    ],
)  # fmt: skip
def test_spans(seconds, shown):
    assert span(seconds) == shown


def test_moments():
    assert moment(0) == "1970-01-01 00:00 UTC"
    assert moment(1e30) == moment(None) == "–"
