"""Mailbox: records in order, each once; the wish to stop; the reason of a restart."""

from __future__ import annotations

from rayseg.core.record import Record
from rayseg.orchestration.mailbox import Mailbox


def record(at: int) -> Record:
    return Record("log", at, 0, 0.0)


def test_records_are_drained_once_and_in_order() -> None:
    mailbox = Mailbox()
    for at in range(3):
        mailbox.put(record(at))
    assert [one.iter for one in mailbox.drain()] == [0, 1, 2]
    mailbox.put(record(3))
    assert [one.iter for one in mailbox.drain()] == [3]
    assert mailbox.drain() == []


def test_wishes_stay() -> None:
    mailbox = Mailbox()
    assert mailbox.wishes() == (None, None, 0)
    mailbox.request_stop("SIGTERM")
    assert [mailbox.wishes(), mailbox.wishes()] == [("SIGTERM", None, 0)] * 2
    mailbox.request_end("it is the worst")
    mailbox.request_checkpoint("node a was taken away")
    assert mailbox.join("b") == "node a was taken away"
    assert mailbox.wishes() == ("SIGTERM", "it is the worst", 1)


def test_the_reason_of_a_restart_is_the_last_failure() -> None:
    mailbox = Mailbox()
    assert [mailbox.join("a"), mailbox.join("b"), mailbox.join("a")] == [""] * 3
    assert mailbox.nodes() == {"a", "b"}
    mailbox.note_failure("rank 0: gone")
    mailbox.note_failure("rank 1: gone")
    assert mailbox.nodes() == set()
    assert mailbox.join("c") == "rank 1: gone"
    assert mailbox.nodes() == {"c"}
