"""StopSignals: the first signal asks, a second Ctrl-C ends, and handlers are put back."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from rayseg.orchestration.stop import JOB_STOP_WAIT, SIGNALS, StopSignals, stop_wait_note
from tests.processes import wait_until

NUMBERS = [getattr(signal, name) for name in SIGNALS]


@pytest.mark.parametrize("name", SIGNALS)
def test_a_signal_is_a_reason_to_stop(name: str) -> None:
    with StopSignals() as stop:
        assert stop.reason is None
        os.kill(os.getpid(), getattr(signal, name))
        assert stop.reason == name


def test_the_first_reason_stays() -> None:
    with StopSignals() as stop:
        os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.reason == "SIGUSR1"


def test_a_second_ctrl_c_ends_at_once() -> None:
    with StopSignals() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        assert stop.reason == "SIGINT"


def test_a_second_term_does_not() -> None:
    """A job's manager may send it more than once."""
    with StopSignals() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.reason == "SIGTERM"


def test_handlers_are_put_back_also_after_an_error() -> None:
    before = [signal.getsignal(number) for number in NUMBERS]
    inside: list[object] = []

    def fail() -> None:
        with StopSignals():
            inside.extend(signal.getsignal(number) for number in NUMBERS)
            raise ValueError("oh")

    with pytest.raises(ValueError, match="oh"):
        fail()
    assert not set(inside) & set(before)
    assert [signal.getsignal(number) for number in NUMBERS] == before


def test_outside_the_main_thread_it_does_nothing() -> None:
    before = [signal.getsignal(number) for number in NUMBERS]
    inside: list[object] = []

    def enter() -> None:
        with StopSignals() as stop:
            inside.append([signal.getsignal(number) for number in NUMBERS])
            inside.append(stop.reason)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert inside == [before, None]


def test_the_time_limit_is_a_reason_to_stop() -> None:
    with StopSignals("0.05s") as stop:
        wait_until(lambda: stop.reason is not None, 10, "the time limit")
    assert stop.reason == "the time limit of 0.05s is reached"
    with StopSignals(3600) as stop:
        pass
    assert stop.reason is None


@pytest.mark.parametrize(("in_job", "set_by"), [(False, None), (True, None), (True, "600")])
def test_a_job_that_is_killed_soon_says_so(in_job: bool, set_by: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}" if in_job else None), (JOB_STOP_WAIT, set_by)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    note = stop_wait_note()
    assert (note is not None) == (in_job and set_by is None)
    assert note is None or JOB_STOP_WAIT in note
