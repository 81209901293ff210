"""Draining: which nodes of the cluster are about to be taken away (a spot machine called back, a scale-down)."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

SECONDS_BETWEEN_LOOKS = 2.0


class Draining:
    """Looks at the cluster that this process is connected to, now and then."""

    def __init__(self) -> None:
        self._known: set[str] = set(_draining())
        self._looked = time.monotonic()

    def news(self) -> str | None:
        """A line about the nodes that were not draining when it was last asked, or None; seldom looks."""
        if time.monotonic() - self._looked < SECONDS_BETWEEN_LOOKS:
            return None
        self._looked = time.monotonic()
        found = _draining()
        new = [node for node in found if node not in self._known]
        self._known |= set(found)
        if not new:
            return None
        names = ", ".join(_address(node) for node in new)
        deadlines = [found[node] for node in new if found[node]]
        left = f" in {max(0.0, min(deadlines) / 1000 - time.time()):.0f} s" if deadlines else " soon"
        return f"{names} will be taken away{left}: a checkpoint is written, training goes on"


def _draining() -> dict[str, int]:
    """Node → when it goes, in ms since the Unix epoch (0: not said); as Ray Train's own watcher learns of it."""
    import ray._private.state as state

    with suppress(Exception):
        found: dict[str, int] = state.state.get_draining_nodes()
        return found
    return {}


def _address(node_id: str) -> str:
    import ray

    list_nodes: Any = ray.nodes
    addresses = {node["NodeID"]: node["NodeManagerAddress"] for node in list_nodes()}
    return f"node {addresses.get(node_id, node_id[:8])}"
