"""The worker's own exception where Ray wraps one, what became of its process where not; no rank that only noticed."""

from __future__ import annotations

import pytest

from rayseg.core.errors import DataError
from rayseg.orchestration.failures import WorkerDiedError, cause, reason


class WrappedError(Exception):
    """As Ray Train wraps a worker's exception."""

    def __init__(self, text: str, base: BaseException | None = None) -> None:
        super().__init__(text)
        if base is not None:
            self._base_exc = base


class GroupError(Exception):
    def __init__(self, failures: dict[int, BaseException]) -> None:
        super().__init__("the worker group failed")
        self.worker_failures = failures


def test_other_errors_are_what_they_are() -> None:
    error = ValueError("oh")
    assert cause(error) is error
    empty = GroupError({})
    assert cause(empty) is empty


def test_the_workers_own_exception_with_its_traceback_as_a_note() -> None:
    own = DataError("mask.png holds 7")
    assert cause(GroupError({0: WrappedError("Traceback: line 3", own)})) is own
    assert own.__notes__ == ["Traceback: line 3"]


def test_a_failure_without_one_is_told_itself() -> None:
    died = WrappedError("the actor died")
    assert cause(GroupError({1: died})) is died


def test_the_lowest_rank_that_failed_of_itself() -> None:
    first, second = ValueError("rank 1"), ValueError("rank 2")
    failures: dict[int, BaseException] = {2: WrappedError("", second), 1: WrappedError("", first)}
    assert cause(GroupError(failures)) is first


def test_ranks_that_only_noticed_are_passed_over() -> None:
    own = DataError("mask.png holds 7")
    echoes = ["[gloo/transport/tcp/pair.cc] Read error", "Connection closed by peer [127.0.0.1]"]
    for text in echoes:
        failures: dict[int, BaseException] = {0: WrappedError("", RuntimeError(text)), 1: WrappedError("", own)}
        assert cause(GroupError(failures)) is own


def test_where_all_only_noticed_the_first_is_told() -> None:
    echo = RuntimeError("Connection closed by peer")
    assert cause(GroupError({0: WrappedError("", echo), 1: WrappedError("", RuntimeError("gloo"))})) is echo


class HealthCheckError(Exception):
    """As Ray Train tells of a worker whose process no longer answers."""

    def __init__(self, failure: Exception) -> None:
        super().__init__("A worker health check failed.\nWorker info: Worker(\n  actor=...")
        self.health_check_failure = failure


class OutOfMemoryError(Exception):
    """Named as Ray's."""


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (Exception("...\nThe actor is dead because its worker process has died. Worker exit type"), "was killed"),
        (Exception("...\nThe actor is dead because its node has died."), "its machine was lost"),
        (OutOfMemoryError("Memory on the node was 61 GB / 64 GB"), "out of memory"),
        (KeyError("what\nelse"), "KeyError"),
    ],
)
def test_a_worker_that_died_is_told_in_one_line_with_rays_words_as_its_cause(failure: Exception, expected: str) -> None:
    wrapped = HealthCheckError(failure)
    told = cause(GroupError({0: WrappedError("", RuntimeError("gloo")), 1: wrapped}))
    assert isinstance(told, WorkerDiedError)
    assert told.__cause__ is wrapped
    assert str(told) == reason(1, wrapped)
    assert str(told).startswith("rank 1's worker died: ")
    assert expected in str(told)
    assert "\n" not in str(told)


def test_the_reason_of_a_rank_that_raised() -> None:
    assert reason(3, WrappedError("", DataError("mask.png holds 7\nand 8"))) == "rank 3: DataError: mask.png holds 7"
