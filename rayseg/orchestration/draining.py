"""Draining: which nodes of the cluster are about to be taken away (a spot machine called back, a scale-down)."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any, NamedTuple

SECONDS_BETWEEN_LOOKS = 2.0
LAST_CALL_SECONDS = 30.0
SECONDS_OF_RAY = 120.0  # a node that does not say when it goes: Ray Train ends its workers after so many


class Notice(NamedTuple):
    """Nodes that will be taken away, and the seconds that the first of them has left."""

    nodes: str
    seconds: float

    def __str__(self) -> str:
        return f"{self.nodes} will be taken away in {self.seconds:.0f} s: a checkpoint is written, training goes on"


class Draining:
    """Looks now and then at the cluster that this process, whose own node counts, is connected to.

    A node that is to go is told of when that is first seen, and once more half a minute before it goes, since what is
    computed in between would be lost. A node that was draining from the start is not told of.

    Args:
        others: the nodes that matter besides, asked when any drains.
    """

    def __init__(self, others: Callable[[], Collection[str]] = tuple) -> None:
        self._others = others
        self._seen: dict[str, float] = dict.fromkeys(_draining(), 0.0)
        self._to_call: set[str] = set()
        self._looked = time.monotonic()

    def news(self) -> Notice | None:
        """The nodes that a checkpoint should be written for now, or None; seldom looks."""
        if time.monotonic() - self._looked < SECONDS_BETWEEN_LOOKS:
            return None
        self._looked = time.monotonic()
        now = time.time()
        found = self._found()
        new = [node for node in found if node not in self._seen]
        self._seen |= dict.fromkeys(new, now)
        left = {node: (ends / 1000 or self._seen[node] + SECONDS_OF_RAY) - now for node, ends in found.items()}
        late = [node for node in self._to_call if left.get(node, now) <= LAST_CALL_SECONDS]
        self._to_call |= {node for node in new if left[node] > 2 * LAST_CALL_SECONDS}
        self._to_call -= {*late}
        told = new or late
        if not told:
            return None
        return Notice(", ".join(map(_address, told)), max(0.0, min(left[node] for node in told)))

    def _found(self) -> dict[str, int]:
        draining = _draining()
        matter = {_own_node(), *self._others()} if draining else set()
        return {node: ends for node, ends in draining.items() if node in matter}


def _draining() -> dict[str, int]:
    """Node → when it goes, in ms since the Unix epoch (0: not said); as Ray Train's own watcher learns of it."""
    import ray._private.state as state

    with suppress(Exception):
        found: dict[str, int] = state.state.get_draining_nodes()
        return found
    return {}


def _own_node() -> str:
    import ray

    return str(ray.get_runtime_context().get_node_id())


def _address(node_id: str) -> str:
    import ray

    list_nodes: Any = ray.nodes
    addresses = {node["NodeID"]: node["NodeManagerAddress"] for node in list_nodes()}
    return f"node {addresses.get(node_id, node_id[:8])}"
