"""Courier: one thread that does one job again and again, with patience when it fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

PAUSE_S = 0.5  # between two passes, so that many records make one message
FIRST_DELAY_S = 1.0
MAX_DELAY_S = 60.0
STOP_S = 2.0


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
        self._moved = 0.0
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """There is something new. Never waits for the work."""
        with self._changed:
            self._asked += 1
            self._changed.notify_all()

    def moved(self) -> None:
        """Something of the work is done: whoever waits for the rest waits on. Called by the work."""
        with self._changed:
            self._moved = time.monotonic()

    def drain(self, timeout_s: float) -> bool:
        """Wait until a pass that began after this call has succeeded.

        Returns:
            Whether one has; False after ``timeout_s`` seconds in which nothing moved.
        """
        with self._changed:
            self._asked += 1
            target = self._asked
            self._hurry = True
            self._changed.notify_all()
            self._moved = time.monotonic()
            while self._done < target and (left := self._moved + timeout_s - time.monotonic()) > 0:
                self._changed.wait(left)
            self._hurry = False
            return self._done >= target

    @property
    def stopped(self) -> bool:
        """Whether a pass should come to an end: what it raises then is told to nobody."""
        return self._stopped

    def stop(self) -> None:
        """No pass begins after this one; it is waited for a moment.

        A thread that the process's end finds in the middle of C++ code, such as a drawing, would abort the process.
        """
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._thread.join(STOP_S)

    def _run(self) -> None:
        delay = FIRST_DELAY_S
        while (target := self._next()) is not None:
            try:
                self._work()
            except Exception as error:
                if self._stopped:
                    return
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
