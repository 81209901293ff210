from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayseg.metrics.loss_sum import LossSum

losses = st.lists(st.floats(-1e11, 1e11), max_size=20)


def summed(values):
    result = LossSum()
    for value in values:
        result.add(value)
    return result


@given(losses, st.integers(1, 4))
def test_words_of_several_ranks_add_up_to_the_words_of_one(values, world_size):
    words = [summed(values[rank::world_size]).words() for rank in range(world_size)]
    assert all(-(2**63) <= word < 2**63 for rank_words in words for word in rank_words)
    total = LossSum.from_words([sum(column) for column in zip(*words, strict=True)])
    assert vars(total) == vars(summed(values))


@given(losses.filter(len))
def test_the_mean_is_exact_to_the_scale(values):
    exact = sum(map(Fraction, values)) / len(values)
    assert abs(Fraction(summed(values).mean()) - exact) <= Fraction(1, 2**30) + abs(exact) * Fraction(1, 2**50)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 2.0**40])
def test_a_loss_that_is_not_finite_makes_the_mean_nan(bad):
    assert math.isnan(summed([1.0, bad, 2.0]).mean())


def test_no_image_has_no_mean():
    assert math.isnan(LossSum().mean())
