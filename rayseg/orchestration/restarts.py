"""NoteFailures: tells the mailbox why a worker group ended, so that the next one can say so."""

from __future__ import annotations

from typing import Any

from ray.train import UserCallback


class NoteFailures(UserCallback):
    """Runs in Ray Train's controller.

    Args:
        mailbox: handle of the Mailbox actor.
    """

    def __init__(self, mailbox: Any) -> None:
        self._mailbox = mailbox

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        """Note the first lines of what each rank died of."""
        reasons = [f"rank {rank}: {_line(error)}" for rank, error in sorted(worker_exceptions.items())]
        self._mailbox.note_failure.remote("; ".join(reasons))


def _line(error: Exception) -> str:
    base = getattr(error, "_base_exc", error)
    lines = str(base).strip().splitlines()
    return f"{type(base).__name__}: {lines[0][:200]}" if lines else type(base).__name__
