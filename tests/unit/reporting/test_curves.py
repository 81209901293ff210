"""Fewer points: bounded, in order, with the extremes; trends."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from rayseg.reporting.curves import MAX_POINTS, points_each, thin_out, trend

ANY_FLOATS = st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=300)


@given(ANY_FLOATS, st.integers(4, 60))
def test_bounded_ascending_with_first_last_and_extremes(values, limit):
    kept = thin_out(values, limit)
    assert len(kept) <= max(limit, 0)
    assert kept == sorted(set(kept))
    if values:
        assert kept[0] == 0
        assert kept[-1] == len(values) - 1
    finite = [value for value in values if math.isfinite(value)]
    if finite:
        shown = [values[index] for index in kept]
        assert min(finite) in shown
        assert max(finite) in shown


@given(st.lists(st.floats(0, 1), max_size=4))
def test_few_points_stay(values):
    assert thin_out(values, 4) == list(range(len(values)))


def test_a_single_spike_among_many_survives():
    values = [0.0] * 100_000
    values[77_777] = 9.0
    kept = thin_out(values)
    assert 77_777 in kept
    assert len(kept) <= MAX_POINTS


def test_a_stretch_without_numbers_leaves_a_gap():
    values = [1.0] * 100 + [math.nan] * 100 + [1.0] * 100
    assert any(math.isnan(values[index]) for index in thin_out(values, 20))


def test_a_page_of_many_curves_is_bounded():
    assert points_each(0) == points_each(1) == MAX_POINTS
    assert points_each(400) * 400 <= 80_000
    assert points_each(10**6) == 100


@given(st.lists(st.floats(-1e3, 1e3) | st.just(math.nan), min_size=301, max_size=600))
def test_a_trend_stays_within_the_values(values):
    finite = [value for value in values if math.isfinite(value)]
    for index, mean in trend(values):
        assert 0 <= index < len(values)
        assert min(finite) - 1e-6 <= mean <= max(finite) + 1e-6


def test_a_short_curve_has_no_trend_and_a_straight_one_is_its_own():
    assert trend([1.0] * 300) == []
    assert {mean for _, mean in trend([2.0] * 1000)} == {2.0}
