"""SweepMailbox: the small actor through which a driver asks its trials for something."""

from __future__ import annotations

from typing import Any


class SweepMailbox:
    """Wishes go to the trials, events come from them."""

    def __init__(self) -> None:
        self._stop: str | None = None
        self._ends: dict[str, str] = {}
        self._held: set[str] = set()
        self._takeovers: dict[str, dict[str, Any]] = {}
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

    def request_takeover(self, trial: str, order: dict[str, Any]) -> None:
        """Ask a trial to go on from another one's checkpoint; see ``taking_over``."""
        self._takeovers[trial] = order

    def hold(self, trial: str) -> None:
        """Ask a trial to wait after its validation."""
        self._held.add(trial)

    def release(self, trials: list[str]) -> None:
        """Let trials go on."""
        self._held.difference_update(trials)

    def takeover(self, trial: str) -> tuple[bool, dict[str, Any] | None]:
        """Whether it should wait (not when all are to stop), and what it should take over."""
        return trial in self._held and self._stop is None, self._takeovers.get(trial)

    def took_over(self, trial: str, number: int) -> None:
        """It has done so, for the so many-th time."""
        self._takeovers.pop(trial, None)
        self.tell({"event": "took_over", "trial": trial, "number": number})

    def tell(self, event: dict[str, Any]) -> None:
        """Something that happened to a trial."""
        self._events.append(event)

    def drain(self) -> list[dict[str, Any]]:
        """What was told since the last call."""
        events, self._events = self._events, []
        return events


class HeardMailbox:
    """The methods of a SweepMailbox that is an actor; each returns when the actor has answered.

    Args:
        actor: its handle.
    """

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    def __getattr__(self, name: str) -> Any:
        import ray

        method = getattr(self._actor, name)
        return lambda *arguments: ray.get(method.remote(*arguments))
