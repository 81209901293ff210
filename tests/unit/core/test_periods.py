"""Periods are functions of a counter."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayseg.core.periods import due, next_due


@pytest.mark.parametrize(
    ("arguments", "steps"),
    [
        ({"every": 4}, [4, 8, 12]),
        ({"every": 1}, list(range(1, 13))),
        ({"every": 0}, []),
        ({"every": -1}, []),
        ({"every": 2, "begin": 5}, [5, 7, 9, 11]),  # MMEngine's save_begin=5, interval=2
        ({"every": 2, "begin": 5, "last": 10}, [5, 7, 9, 10, 11]),
        ({"every": 5, "last": 12}, [5, 10, 12]),
        ({"every": 0, "last": 12}, [12]),
        ({"every": 20}, []),
    ],
)
def test_when_it_is_due(arguments: dict[str, int], steps: list[int]) -> None:
    assert [step for step in range(13) if due(step, **arguments)] == steps


def test_nothing_is_due_before_the_first_step() -> None:
    assert not due(0, 5)
    assert not due(-5, 5)


def test_next_due() -> None:
    assert [next_due(step, 4) for step in range(6)] == [4, 4, 4, 4, 8, 8]
    assert [next_due(step, 2, begin=5) for step in (0, 4, 5, 6, 7)] == [5, 5, 7, 7, 9]
    assert next_due(3, 0) is None


@given(st.integers(0, 200), st.integers(1, 30), st.integers(0, 60))
def test_next_due_is_the_first_step_that_is_due(step: int, every: int, begin: int) -> None:
    following = next_due(step, every, begin=begin)
    assert following == next(later for later in range(step + 1, 400) if due(later, every, begin=begin))
