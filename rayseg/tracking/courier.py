"""Courier: one thread that does one job again and again, with patience when it fails."""

from __future__ import annotations

import threading
from collections.abc import Callable

PAUSE_S = 0.5  # between two passes, so that many records make one message
FIRST_DELAY_S = 1.0
MAX_DELAY_S = 60.0


class Courier:
    """Runs ``work`` after each ``wake``; after a failure it tries again, later each time.

    The thread ends with the process, whatever it waits for: a server that never answers holds up nobody.

    Args:
        name: of the thread.
        work: one whole pass; called in the thread only.
        failed: called with the exception of a pass that failed.
    """

    def __init__(self, name: str, work: Callable[[], None], failed: Callable[[Exception], None]) -> None:
        self._work = work
        self._failed = failed
        self._asked = 0
        self._done = 0
        self._hurry = False
        self._stopped = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """There is something new. Never waits for the work."""
        with self._changed:
            self._asked += 1
            self._changed.notify_all()

    def drain(self, timeout_s: float) -> bool:
        """Wait until a pass that began after this call has succeeded; False when ``timeout_s`` seconds are over."""
        with self._changed:
            self._asked += 1
            target = self._asked
            self._hurry = True
            self._changed.notify_all()
            arrived = self._changed.wait_for(lambda: self._done >= target, timeout_s)
            self._hurry = False
            return arrived

    def stop(self) -> None:
        """No pass begins after this one."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _run(self) -> None:
        delay = FIRST_DELAY_S
        while (target := self._next()) is not None:
            try:
                self._work()
            except Exception as error:
                self._failed(error)
                self._rest(delay, failed=True)
                delay = min(MAX_DELAY_S, 2 * delay)
                continue
            delay = FIRST_DELAY_S
            with self._changed:
                self._done = target
                self._changed.notify_all()
            self._rest(PAUSE_S, failed=False)

    def _next(self) -> int | None:
        """Wait for news; what was asked for until now, or None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._asked > self._done)
            return None if self._stopped else self._asked

    def _rest(self, seconds: float, *, failed: bool) -> None:
        """Wait; while a drain waits, a second after a failure and not at all after a success."""
        with self._changed:
            if self._changed.wait_for(lambda: self._stopped or self._hurry, seconds) and failed:
                self._changed.wait_for(lambda: self._stopped, FIRST_DELAY_S)
