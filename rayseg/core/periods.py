"""Period arithmetic: pure functions of a counter, so that a test needs no clock and a resume no memory."""

from __future__ import annotations


def due(step: int, every: int, *, begin: int = 0, last: int | None = None) -> bool:
    """Whether something that happens every ``every`` steps happens after ``step`` completed steps.

    Args:
        step: completed steps, 1 after the first one.
        every: the period; 0 or less means never.
        begin: with ``begin > 0`` the first time is ``begin`` itself, then ``begin + every``, as MMEngine's
            ``save_begin``.
        last: when given, it also happens at ``step == last``.
    """
    if last is not None and step == last:
        return True
    if every <= 0 or step <= 0 or step < begin:
        return False
    return (step - begin) % every == 0


def next_due(step: int, every: int, *, begin: int = 0) -> int | None:
    """The first step after ``step`` at which ``due`` holds, or None when it never does."""
    if every <= 0:
        return None
    if step < begin:
        return begin
    return begin + ((step - begin) // every + 1) * every
