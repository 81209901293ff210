"""Why a worker group ended, read out of what Ray Train reports: one line for people, Ray's whole text below it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from rayseg.core.errors import RaysegError

OUT_OF_MEMORY = "Ray ended it since its machine ran out of memory"
Failure = TypeVar("Failure", bound=BaseException)


class WorkerDiedError(RaysegError):
    """A worker's process or machine went away without an exception of its own."""


def cause(error: BaseException) -> BaseException:
    """The worker's own exception where Ray wraps one, its traceback a note; a WorkerDiedError where there is none."""
    failures: dict[int, BaseException] = own(getattr(error, "worker_failures", None) or {})
    if not failures:
        return error
    rank, first = next(iter(failures.items()))
    raised: BaseException | None = getattr(first, "_base_exc", None)
    if raised is not None:
        raised.add_note(str(first))
        return raised
    if getattr(first, "health_check_failure", None) is None:
        return first
    died = WorkerDiedError(reason(rank, first))
    died.__cause__ = first
    return died


def own(failures: Mapping[int, Failure]) -> dict[int, Failure]:
    """By rank, those that failed of themselves; all of them where every one only noticed that another had gone."""
    ordered = {rank: failures[rank] for rank in sorted(failures)}
    return {rank: failure for rank, failure in ordered.items() if not _is_echo(failure)} or ordered


def reason(rank: int, failure: BaseException) -> str:
    """One line: what the rank raised, or what became of its process."""
    died: BaseException | None = getattr(failure, "health_check_failure", None)
    if died is None:
        return f"rank {rank}: {_first_line(getattr(failure, '_base_exc', failure))}"
    return f"rank {rank}'s worker died: {death(died)}"


def death(error: BaseException) -> str:
    """What became of a process, by the error that Ray gives those who wait for it."""
    if type(error).__name__ == "OutOfMemoryError":
        return OUT_OF_MEMORY
    if "node has died" in str(error):
        return "its machine was lost"
    if "process has died" in str(error):
        return "its process was killed or crashed, perhaps for want of memory"
    return _first_line(error)


def _is_echo(failure: BaseException) -> bool:
    """Whether a rank only noticed that another one had gone."""
    raised = getattr(failure, "_base_exc", failure)
    return isinstance(raised, RuntimeError) and ("Connection" in str(raised) or "gloo" in str(raised).lower())


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
