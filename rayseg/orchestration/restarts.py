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
        """Note the first lines of what each rank died of; ranks that only noticed it count where no other is known."""
        own = {rank: error for rank, error in worker_exceptions.items() if not is_echo(error)} or worker_exceptions
        reasons = [f"rank {rank}: {_line(error)}" for rank, error in sorted(own.items())]
        self._mailbox.note_failure.remote("; ".join(reasons))


def is_echo(failure: BaseException) -> bool:
    """Whether a rank only noticed that another one had gone."""
    base = getattr(failure, "_base_exc", failure)
    return isinstance(base, RuntimeError) and ("Connection" in str(base) or "gloo" in str(base).lower())


def _line(error: Exception) -> str:
    base = getattr(error, "health_check_failure", None) or getattr(error, "_base_exc", error)
    lines = str(base).strip().splitlines()
    return f"{type(base).__name__}: {lines[0][:200]}" if lines else type(base).__name__
