"""Proposals: names for Ray Tune, what waits before what is new, as many at a time as may run."""

from __future__ import annotations

from typing import Any

import pytest

from rayseg.tuning.proposals import Proposals


class Named(Proposals):
    """Gives the name instead of Ray Tune's trial."""

    def _made(self, name: str) -> Any:
        return name


def proposals(waiting: list[str], new: list[str], limit: int) -> Named:
    """With a list of new ones."""
    return Named(waiting, lambda: new.pop(0) if new else None, limit)


def test_what_waits_comes_first_then_what_is_new() -> None:
    found = proposals(["0001", "0003"], ["0004"], limit=9)
    assert [found.next_trial() for _ in range(5)] == ["0001", "0003", "0004", None, None]
    assert found.is_finished()


def test_no_more_than_may_run() -> None:
    new = ["0001", "0002", "0003"]
    found = proposals(["0000"], new, limit=2)
    assert [found.next_trial() for _ in range(4)] == ["0000", "0001", None, None]
    assert new == ["0002", "0003"], "nothing is proposed before there is room: a searcher that learns waits for results"
    assert not found.is_finished()
    found.on_trial_complete("0001", error=True)
    assert [found.next_trial(), found.next_trial()] == ["0002", None]


@pytest.mark.parametrize("waiting", [[], ["0000", "0001"]])
def test_stopped_it_gives_no_more(waiting: list[str]) -> None:
    new = ["0002"]
    found = proposals(waiting, new, limit=9)
    found.stop()
    assert found.is_finished()
    assert found.next_trial() is None
    assert new == ["0002"]
