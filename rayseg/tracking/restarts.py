"""How often a run was started again, why, and what that cost: for its log and its trackers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def lost(attempt: Mapping[str, Any]) -> str:
    """``2 iterations are made again, 35.4 s passed``; empty for an attempt that lost nothing known."""
    if "idle_s" not in attempt:
        return ""
    again = attempt["lost_iters"]
    return f"{again} iteration{' is' if again == 1 else 's are'} made again, {attempt['idle_s']:g} s passed"


def restarts(facts: Mapping[str, Any]) -> list[str]:
    """A line for each attempt after the first, of ``run.json``'s ``attempts``."""
    lines = []
    for attempt in _later(facts):
        begin = attempt.get("start_from") or "the beginning"
        cost = f"; {lost(attempt)}" if lost(attempt) else ""
        lines.append(f"attempt {attempt['attempt']} from {begin}: {attempt.get('reason') or 'resumed'}{cost}")
    return lines


def losses(facts: Mapping[str, Any]) -> dict[str, float]:
    """``lost_iters`` and ``idle_s`` of all attempts together; empty for a run that was never started again."""
    attempts = _later(facts)
    if not attempts:
        return {}
    return {name: sum(attempt.get(name) or 0 for attempt in attempts) for name in ("lost_iters", "idle_s")}


def _later(facts: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The attempts after the first; of very many ``run.json`` lists the newest only, so the first may not be there."""
    return [attempt for attempt in facts.get("attempts") or [] if attempt["attempt"] > 1]
