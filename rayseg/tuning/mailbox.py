"""SweepMailbox: the small actor through which a driver asks its trials for something."""

from __future__ import annotations

from typing import Any


class SweepMailbox:
    """Wishes go to the trials, events come from them."""

    def __init__(self) -> None:
        self._stop: str | None = None
        self._ends: dict[str, str] = {}
        self._events: list[dict[str, Any]] = []

    def request_stop(self, reason: str) -> None:
        """Ask every trial to save and end."""
        self._stop = reason

    def request_end(self, trial: str, reason: str) -> None:
        """Ask one trial to end its training as finished."""
        self._ends[trial] = reason

    def wishes(self, trial: str) -> tuple[str | None, str | None]:
        """Why it should save and end, and why its training should end as finished; None where it should not."""
        return self._stop, self._ends.get(trial)

    def tell(self, event: dict[str, Any]) -> None:
        """Something that happened to a trial."""
        self._events.append(event)

    def drain(self) -> list[dict[str, Any]]:
        """What was told since the last call."""
        events, self._events = self._events, []
        return events
