"""The runner that is at work in this thread, for code that MM's users write as ``get_current_instance()``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from rayseg.core.errors import RaysegError

if TYPE_CHECKING:
    from rayseg.engine.runner import Runner

_CURRENT: ContextVar[Runner | None] = ContextVar("rayseg_runner", default=None)


@contextmanager
def current(runner: Runner) -> Iterator[None]:
    """While it lasts, ``current_runner()`` is ``runner`` in this thread."""
    token = _CURRENT.set(runner)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def find_runner() -> Runner | None:
    """The runner that is being built or is running in this thread, or None."""
    return _CURRENT.get()


def current_runner() -> Runner:
    """The runner that is being built or is running in this thread.

    Raises:
        RaysegError: there is none.
    """
    runner = find_runner()
    if runner is None:
        raise RaysegError(
            "get_current_instance(): no run is going on in this thread; hooks, models and data sets have one from "
            "their construction on"
        )
    return runner
