"""Nodes that are about to be taken away are told of once each."""

from __future__ import annotations

import time

import pytest

from rayseg.orchestration import draining
from rayseg.orchestration.draining import Draining


def test_each_node_is_news_once(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"a": 0}
    monkeypatch.setattr(draining, "_draining", lambda: dict(found))
    monkeypatch.setattr(draining, "_address", lambda node: f"node {node}")
    monkeypatch.setattr(draining, "SECONDS_BETWEEN_LOOKS", 0.0)
    watch = Draining()
    assert watch.news() is None  # known from the start
    found["b"] = int(1000 * (time.time() + 30.4))
    assert watch.news() in [
        f"node b will be taken away in {n} s: a checkpoint is written, training goes on" for n in (30, 31)
    ]
    assert watch.news() is None
    found["c"] = 0
    assert watch.news() == "node c will be taken away soon: a checkpoint is written, training goes on"


def test_it_seldom_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    monkeypatch.setattr(draining, "_draining", lambda: looks.append(1) or {})
    watch = Draining()
    assert [watch.news() for _ in range(100)] == [None] * 100
    assert len(looks) == 1
