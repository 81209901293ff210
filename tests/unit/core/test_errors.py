"""What an error says, and how the nearest right name is found."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayseg.core.errors import (
    MAX_PROBLEMS_SHOWN,
    CheckpointError,
    ConfigError,
    DataError,
    Problem,
    RaysegError,
    StaleAttemptError,
    did_you_mean,
    edit_distance,
    nearest,
)

NAMES = st.text("abcXY_", max_size=8)


@pytest.mark.parametrize(
    ("problem", "line"),
    [
        (Problem("no such file"), "no such file"),
        (Problem("expected int", "train_cfg.max_iters"), "train_cfg.max_iters: expected int"),
        (Problem("expected int", file="a.py"), "a.py: expected int"),
        (Problem("expected int", "train_cfg.max_iters", "a.py"), "a.py: train_cfg.max_iters: expected int"),
    ],
)
def test_a_problem_is_one_line(problem: Problem, line: str) -> None:
    assert str(problem) == line


def test_a_config_error_from_a_text_a_problem_and_several() -> None:
    assert str(ConfigError("bad")) == "bad"
    assert ConfigError(Problem("bad", "a")).problems == (Problem("bad", "a"),)
    assert str(ConfigError([Problem("one"), Problem("two", "b")])) == "one\nb: two"


def test_at_most_twenty_problems_are_shown_and_all_are_kept() -> None:
    error = ConfigError(Problem(str(number)) for number in range(MAX_PROBLEMS_SHOWN + 3))
    lines = str(error).splitlines()
    assert lines == [*map(str, range(MAX_PROBLEMS_SHOWN)), "... and 3 more"]
    assert len(error.problems) == MAX_PROBLEMS_SHOWN + 3
    assert "more" not in str(ConfigError(Problem(str(number)) for number in range(MAX_PROBLEMS_SHOWN)))


def test_a_config_error_survives_the_way_from_a_worker() -> None:
    error = ConfigError([Problem("one", "a", "f.py"), Problem("two")])
    copy = pickle.loads(pickle.dumps(error))
    assert copy.problems == error.problems
    assert str(copy) == str(error)


def test_kinds_of_errors() -> None:
    assert issubclass(ConfigError, RaysegError)
    assert issubclass(ConfigError, ValueError)
    assert issubclass(StaleAttemptError, CheckpointError)
    assert issubclass(CheckpointError, RaysegError)
    assert issubclass(DataError, RaysegError)
    assert not issubclass(DataError, ValueError)


def test_the_nearest_name() -> None:
    assert nearest("EMAHok", ["LoggerHook", "EMAHook"]) == "EMAHook"
    assert nearest("emahook", ["EMAHook"]) == "EMAHook"
    assert nearest("x", ["EMAHook"]) is None
    assert nearest("x", []) is None
    assert did_you_mean("optimiser", ["optimizer", "lr"]) == "; did you mean 'optimizer'?"
    assert did_you_mean("zzz", ["optimizer"]) == ""


@pytest.mark.parametrize(
    ("a", "b", "distance"),
    [("", "", 0), ("lr", "lr", 0), ("lr", "l", 1), ("backbone", "backbon", 1), ("model", "modle", 2), ("ab", "cd", 2)],
)
def test_edit_distance(a: str, b: str, distance: int) -> None:
    assert edit_distance(a, b) == distance


def test_edit_distance_is_counted_up_to_its_limit() -> None:
    assert edit_distance("kitten", "sitting") == 3
    assert edit_distance("kitten", "sitting", limit=2) == 2
    assert edit_distance("a", "a" * 50) == 3


@given(NAMES, NAMES)
def test_edit_distance_is_symmetric_and_zero_only_for_equals(a: str, b: str) -> None:
    assert edit_distance(a, b) == edit_distance(b, a)
    assert (edit_distance(a, b) == 0) == (a == b)


@given(NAMES, st.integers(0, 7), st.sampled_from("abc"))
def test_one_letter_more_is_one_step(name: str, position: int, letter: str) -> None:
    assert edit_distance(name, name[:position] + letter + name[position:]) == 1
