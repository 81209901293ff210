"""What a run says of having been started again."""

from __future__ import annotations

from rayseg.tracking.restarts import losses, lost, restarts

FIRST = {"attempt": 1, "reason": "", "start_from": None, "world_size": 2}
DIED = {"attempt": 2, "reason": "rank 1: died", "start_from": None, "lost_iters": 1, "idle_s": 35.44}
RESUMED = {"attempt": 3, "reason": "", "start_from": "iter_8", "lost_iters": 2, "idle_s": 4.0}
OF_AN_EARLIER_VERSION = {"attempt": 4, "reason": "rank 0: died", "start_from": "iter_12"}


def test_a_run_that_began_once_says_nothing() -> None:
    for facts in ({}, {"attempts": None}, {"attempts": [FIRST]}):
        assert (restarts(facts), losses(facts)) == ([], {})


def test_each_attempt_after_the_first_has_a_line_and_all_a_sum() -> None:
    facts = {"attempts": [FIRST, DIED, RESUMED, OF_AN_EARLIER_VERSION]}
    assert restarts(facts) == [
        "attempt 2 from the beginning: rank 1: died; 1 iteration is made again, 35.44 s passed",
        "attempt 3 from iter_8: resumed; 2 iterations are made again, 4 s passed",
        "attempt 4 from iter_12: rank 0: died",
    ]
    assert losses(facts) == {"lost_iters": 3, "idle_s": 39.44}
    assert lost(OF_AN_EARLIER_VERSION) == ""


def test_where_the_first_is_not_listed_any_more_none_is_left_out() -> None:
    assert len(restarts({"attempts": [DIED, RESUMED]})) == 2
    assert losses({"attempts": [DIED, RESUMED]})["lost_iters"] == 3
