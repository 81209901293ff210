"""A worker learns of a wish with its next question, and does not wait for a mailbox that is stuck."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from rayseg.orchestration import wishes
from rayseg.orchestration.cluster import actor_here
from rayseg.orchestration.mailbox import Mailbox
from rayseg.orchestration.wishes import Wish, Wishes
from tests.processes import wait_until


class StuckMailbox(Mailbox):
    """Answers nothing before a file is there."""

    def __init__(self, go_on: Path) -> None:
        super().__init__()
        self.go_on = go_on
        self.questions = 0

    def wishes(self) -> tuple[str | None, str | None, int]:
        self.questions += 1
        while not self.go_on.exists():
            time.sleep(0.01)
        return "SIGTERM", None, 0

    def asked(self) -> int:
        return self.questions


def test_what_was_wished_since_the_last_question_is_known_with_the_next(
    cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wishes, "SECONDS_FOR_AN_ANSWER", 30.0)
    mailbox = actor_here(Mailbox)
    asking = Wishes(mailbox, world_size=1)
    asking.pause = 3600.0
    assert asking.known() == Wish()
    mailbox.request_checkpoint.remote("node a was taken away")
    assert asking.known() == Wish()  # asked lately
    asking.pause = 0.0
    assert asking.known() == Wish(checkpoints=1)
    mailbox.request_stop.remote("SIGTERM")
    assert asking.known() == Wish("SIGTERM", checkpoints=1)


def test_a_mailbox_that_is_stuck_has_one_question_and_holds_nobody_up(cluster: str, tmp_path: Path) -> None:
    import ray

    mailbox = ray.remote(num_cpus=0)(StuckMailbox).remote(tmp_path / "go_on")
    asking = Wishes(mailbox, world_size=1)
    asking.pause = 0.0
    assert [asking.known() for _ in range(50)] == [Wish()] * 50
    (tmp_path / "go_on").touch()
    wait_until(lambda: asking.known().stop == "SIGTERM", 30, "the answer has come")
    assert ray.get(mailbox.asked.remote()) == 1


def test_many_workers_ask_more_rarely() -> None:
    assert [Wishes(None, world_size).pause for world_size in (1, 128, 512)] == [0.5, 0.5, 2.0]
