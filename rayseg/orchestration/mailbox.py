"""Mailbox: the small actor between the workers and the process that owns the run."""

from __future__ import annotations

from rayseg.core.record import Record


class Mailbox:
    """Records go one way, the wish to stop the other; one call runs after the other, so each worker's stay in order."""

    def __init__(self) -> None:
        self._records: list[Record] = []
        self._stop: str | None = None
        self._end: str | None = None
        self._notices = 0
        self._reason = ""
        self._nodes: set[str] = set()

    def put(self, record: Record) -> None:
        """A worker's record."""
        self._records.append(record)

    def drain(self) -> list[Record]:
        """What came since the last call."""
        records, self._records = self._records, []
        return records

    def request_stop(self, reason: str) -> None:
        """Ask the workers to save and end."""
        self._stop = reason

    def request_end(self, reason: str) -> None:
        """Ask the workers to end the training, as finished."""
        self._end = reason

    def request_checkpoint(self, reason: str) -> None:
        """Ask the workers for a checkpoint, since a machine may go away; Ray does not note it as a failure then."""
        self._notices += 1
        self._reason = reason

    def wishes(self) -> tuple[str | None, str | None, int]:
        """Why they should save and end, and why the training should end as finished; None where they should not.

        And how often a checkpoint was asked for.
        """
        return self._stop, self._end, self._notices

    def note_failure(self, reason: str) -> None:
        """Why the worker group is about to be started again."""
        self._reason = reason
        self._nodes.clear()

    def join(self, node: str) -> str:
        """A worker has begun on a node; gives why its worker group was started, empty for the first one."""
        self._nodes.add(node)
        return self._reason

    def nodes(self) -> set[str]:
        """Where the present worker group is."""
        return self._nodes
