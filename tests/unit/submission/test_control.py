"""A job's exit code and line, and a log that is followed over broken connections without a gap or a repetition."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from rayseg.core.errors import RaysegError
from rayseg.submission import following as job_following
from rayseg.submission.control import exit_code, job_result
from rayseg.submission.following import follow
from rayseg.submission.server import LostError
from tests.processes import wait_until


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        ("SUCCEEDED", 0, 0),
        ("FAILED", 1, 1),
        ("FAILED", 2, 2),
        ("FAILED", 7, 7),
        ("FAILED", 130, 130),
        ("FAILED", -9, 1),
        ("FAILED", None, 1),
        ("FAILED", 0, 1),
        ("STOPPED", None, 130),
        ("RUNNING", None, None),
        ("PENDING", None, None),
    ],
)
def test_the_exit_code(status: str, code: int | None, expected: int | None) -> None:
    assert exit_code(status, code) == expected


@pytest.mark.parametrize(
    ("message", "code", "expected"),
    [
        ("Job finished successfully.", 0, ""),
        ("Job entrypoint command failed with exit code 2, last available logs (...):\nerror: x", 2, ""),
        (
            "Job entrypoint command failed with exit code 127. No logs.",
            127,
            "the cluster has no 'rayseg' on its PATH: ",
        ),
        ("Job entrypoint command failed with exit code -9", -9, "it was killed by signal 9 (out of memory?)"),
        ("Traceback (most recent call last):\n  File x\nValueError: y\n", None, "ValueError: y"),
        ("Job supervisor actor died.\nmore", None, "Job supervisor actor died."),
        (None, None, ""),
    ],
)
def test_the_line_about_a_job(message: str | None, code: int | None, expected: str) -> None:
    result = job_result(SimpleNamespace(address="http://a:1"), details("FAILED", message, code))  # type: ignore[arg-type]
    assert result.message.startswith(expected)
    assert bool(result.message) == bool(expected)
    assert (result.command, result.started, result.ended) == ("rayseg train a.py", 1.5, None)


def details(status: str, message: str | None = None, code: int | None = None) -> Any:
    """As the job server gives them."""
    return SimpleNamespace(
        submission_id="a",
        status=SimpleNamespace(value=status, is_terminal=lambda: status not in ("PENDING", "RUNNING")),
        driver_exit_code=code,
        entrypoint="exec rayseg train a.py",
        message=message,
        start_time=1500,
        end_time=None,
    )


class Flaky:
    """A job server whose connections give so much of the log and then break, or end."""

    def __init__(self, log: str, connections: list[list[str]], breaks: list[bool], statuses: list[str | Exception]):
        self.whole = log
        self.connections = connections
        self.breaks = breaks
        self.statuses = statuses

    async def tail(self, job: str) -> AsyncIterator[str]:
        """The next connection."""
        for piece in self.connections.pop(0):
            yield piece
        if self.breaks.pop(0):
            raise RuntimeError("closed with 1006")

    def info(self, job: str) -> Any:
        """The next status."""
        status = self.statuses.pop(0)
        if isinstance(status, Exception):
            raise status
        return details(status)

    def log(self, job: str) -> str:
        """All of it."""
        return self.whole


@pytest.mark.parametrize(
    ("connections", "breaks", "statuses"),
    [
        ([["one\n", "two\n", "three\n"]], [False], ["SUCCEEDED"]),
        ([["one\ntw"], ["one\n", "two\nthree\n"]], [True, False], ["RUNNING", "SUCCEEDED"]),
        ([["one\n", "two\n"], [], ["one\n"]], [True, True, True], ["RUNNING", LostError("gone"), "SUCCEEDED"]),
        ([["one\ntwo\n"]], [True], ["FAILED"]),
        ([[]], [False], ["STOPPED"]),
    ],
    ids=["whole", "broken-inside-a-line", "lost-for-a-while", "broken-at-the-end", "nothing-came"],
)
def test_a_log_is_whole_whatever_breaks(
    connections: list[list[str]], breaks: list[bool], statuses: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_following, "RETRY_S", 0.0)
    last, written = statuses[-1], []
    server: Any = Flaky("one\ntwo\nthree\n", connections, breaks, statuses)
    assert follow(server, "a", written.append).status.value == last
    assert "".join(written) == "one\ntwo\nthree\n"


def test_a_connection_that_is_silent_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_following, "RETRY_S", 0.0)
    monkeypatch.setattr(job_following, "SILENT_S", 0.05)
    ended: list[str] = []

    class Silent(Flaky):
        async def tail(self, job: str) -> AsyncIterator[str]:
            async for piece in super().tail(job):
                yield piece
            if self.connections:
                try:
                    await asyncio.Event().wait()
                finally:
                    ended.append("first")

    server: Any = Silent("one\ntwo\n", [["one\n"], ["one\n", "two\n"]], [False, False], ["RUNNING", "SUCCEEDED"])
    written: list[str] = []
    follow(server, "a", written.append)
    assert written == ["one\n", "two\n"]
    wait_until(lambda: not [t for t in threading.enumerate() if t.name == "rayseg-job-log"], 5, "no reader is left")
    assert ended == ["first"]


def test_a_cluster_that_is_gone_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_following, "RETRY_S", 0.0)
    server: Any = Flaky("", [["one\n"]], [True], [LostError("http://a:1: no answer")])
    with pytest.raises(RaysegError, match=r"^http://a:1: no answer; job a may go on: rayseg logs a --follow$"):
        follow(server, "a", lambda text: None, patience_s=0.0)
