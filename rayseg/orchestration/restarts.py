"""NoteFailures: tells the mailbox why a worker group ended, so that the next one can say so."""

from __future__ import annotations

from typing import Any

from ray.train import UserCallback

from rayseg.orchestration.failures import own, reason


class NoteFailures(UserCallback):
    """Runs in Ray Train's controller.

    Args:
        mailbox: handle of the Mailbox actor.
    """

    def __init__(self, mailbox: Any) -> None:
        self._mailbox = mailbox

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        """Note in one line what each rank died of."""
        reasons = [reason(rank, error) for rank, error in own(worker_exceptions).items()]
        self._mailbox.note_failure.remote("; ".join(reasons))
