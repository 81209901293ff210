"""How a run is asked to end: by signals (the first Ctrl-C asks, a second one ends it at once), or by a sweep."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from rayseg.config.durations import seconds_of

SIGNALS = ("SIGINT", "SIGTERM", "SIGUSR1")
JOB_STOP_WAIT = "RAY_JOB_STOP_WAIT_TIME_S"
RAYS_STOP_WAIT_S = 3  # what Ray gives a job that says nothing, between SIGTERM and SIGKILL


def stop_wait_note() -> str | None:
    """In a Ray job that is killed soon after it is asked to stop, what to set; None elsewhere."""
    if "RAY_JOB_CONFIG_JSON_ENV_VAR" not in os.environ or JOB_STOP_WAIT in os.environ:
        return None
    return (
        f"'ray job stop' kills this job after {RAYS_STOP_WAIT_S} s, saved or not: rayseg submit sets {JOB_STOP_WAIT}; "
        "a job that is submitted otherwise gives it among the env_vars of its runtime_env"
    )


class StopRequest:
    """What the run that holds it is asked for. Set from any thread.

    Attributes:
        reason: why it should save and end, to go on another time; None while it should not.
        end_reason: why its training should end here, as finished; None while it should not.
        failure: why a run that ended so counts as failed.
        notices: how often it was told that its machine may go away, so that it should save and go on.
    """

    def __init__(self) -> None:
        self.reason: str | None = None
        self.end_reason: str | None = None
        self.failure: str | None = None
        self.notices = 0


class StopSignals(StopRequest):
    """While it is entered, SIGINT, SIGTERM and SIGUSR1 set ``reason`` (in the main thread), and so does the time limit.

    Args:
        time_limit: seconds from now on, or a text such as ``11h30m``; None for no limit.
    """

    def __init__(self, time_limit: float | str | None = None) -> None:
        super().__init__()
        self._previous: dict[int, Any] = {}
        self._timer: threading.Timer | None = None
        if time_limit is not None:
            self._timer = threading.Timer(seconds_of(time_limit), self._on_time_limit, [time_limit])
            self._timer.daemon = True

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            for name in SIGNALS:
                if (number := getattr(signal, name, None)) is not None:
                    self._previous[number] = signal.signal(number, self._on_signal)
        if self._timer is not None:
            self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()

    def _on_time_limit(self, limit: float | str) -> None:
        self.reason = (
            self.reason or f"the time limit of {limit if isinstance(limit, str) else f'{limit:g} s'} is reached"
        )

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.reason is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.reason = self.reason or signal.Signals(number).name
