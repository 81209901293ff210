"""The end of a run, where trackers are waited for."""

from __future__ import annotations

import threading

import pytest

from rayseg.tracking import fan_out
from rayseg.tracking.fan_out import TrackerGroup
from rayseg.tracking.tracker import Tracker


class Slow(Tracker):
    """Flushes until it is let go."""

    def __init__(self) -> None:
        self.named = threading.Event()
        self.ended: list[str] = []

    def flush(self, timeout_s: float) -> None:
        assert self.named.wait(30)

    def finish(self, status: str, error: str | None) -> None:
        self.ended.append(status)


def test_a_tracker_that_does_not_come_back_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fan_out, "GRACE_S", 0.01)
    slow, said = Slow(), []

    def warn(message: str) -> None:
        said.append(message)
        slow.named.set()

    TrackerGroup([slow], warn).flush(0.01)
    assert said == ["Slow is still waited for; Ctrl-C ends the wait"]


def test_one_that_comes_back_is_not():
    said: list[str] = []
    TrackerGroup([Tracker()], said.append).flush(0.0)
    assert said == []
    assert not [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]


def test_an_interrupt_ends_the_wait_for_one_and_all_are_finished():
    class Interrupted(Slow):
        def flush(self, timeout_s: float) -> None:
            raise KeyboardInterrupt

    class Quick(Slow):
        def flush(self, timeout_s: float) -> None:
            self.ended.append("flushed")

    first, second, said = Interrupted(), Quick(), []
    group = TrackerGroup([first, second], said.append)
    group.flush(5.0)
    group.finish("finished", None)
    assert said == ["interrupted: Interrupted is not waited for any longer"]
    assert (first.ended, second.ended) == (["finished"], ["flushed", "finished"])
