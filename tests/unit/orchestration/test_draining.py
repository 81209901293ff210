"""Nodes that are about to be taken away are told of once each."""

from __future__ import annotations

import time

import pytest

from rayseg.orchestration import draining
from rayseg.orchestration.draining import Draining, Notice


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """The nodes that drain, with their deadlines; one from the start."""
    found = {"a": 0}
    monkeypatch.setattr(draining, "_draining", lambda: dict(found))
    monkeypatch.setattr(draining, "_address", lambda node: f"node {node}")
    monkeypatch.setattr(draining, "_own_node", lambda: "own")
    monkeypatch.setattr(draining, "SECONDS_BETWEEN_LOOKS", 0.0)
    return found


def deadline(seconds: float) -> int:
    return int(1000 * (time.time() + seconds))


def told(notice: Notice | None, node: str, seconds: int) -> bool:
    return str(notice) in [
        f"node {node} will be taken away in {n} s: a checkpoint is written, training goes on"
        for n in (seconds - 1, seconds)
    ]


def test_a_node_that_soon_goes_is_news_once(found: dict[str, int]) -> None:
    watch = Draining(lambda: ["a", "b"])
    assert watch.news() is None  # known from the start
    found["b"] = deadline(30)
    assert told(watch.news(), "b", 30)
    found["b"] = deadline(5)
    assert watch.news() is None


@pytest.mark.parametrize("says_when", [True, False])
def test_a_node_that_goes_later_is_news_again_before_it_goes(
    found: dict[str, int], monkeypatch: pytest.MonkeyPatch, says_when: bool
) -> None:
    watch = Draining(lambda: ["a", "b"])
    found["b"] = deadline(120) if says_when else 0
    assert told(watch.news(), "b", 120)
    assert watch.news() is None
    if says_when:
        found["b"] = deadline(20)
    else:
        monkeypatch.setattr(draining, "SECONDS_OF_RAY", 20.0)
    assert told(watch.news(), "b", 20)
    assert watch.news() is None
    del found["b"]
    assert watch.news() is None


def test_nodes_without_anything_of_the_run_are_no_news(found: dict[str, int]) -> None:
    watch = Draining(lambda: ["a"])
    found["b"] = deadline(30)
    assert watch.news() is None
    found["own"] = deadline(30)
    assert told(watch.news(), "own", 30)


def test_it_seldom_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    monkeypatch.setattr(draining, "_draining", lambda: looks.append(1) or {})
    watch = Draining()
    assert [watch.news() for _ in range(100)] == [None] * 100
    assert len(looks) == 1
