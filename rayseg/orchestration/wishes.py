"""Wishes: what a worker knows of the owner's wishes, without ever waiting long for the mailbox."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

SECONDS_BETWEEN_QUESTIONS = 0.5
QUESTIONS_PER_SECOND = 256  # of all workers together; a mailbox answers about 3,000
SECONDS_FOR_AN_ANSWER = 0.02


class Wish(NamedTuple):
    """As ``Mailbox.wishes`` answers: why to stop, why to end as finished, how often a checkpoint was asked for."""

    stop: str | None = None
    end: str | None = None
    checkpoints: int = 0


class Wishes:
    """Asks a mailbox now and then.

    An answer is as old as its question. So a question is asked when somebody wants to know, and waited for, but no
    longer than 20 ms; one that takes longer is taken up when it has come.

    Args:
        mailbox: handle of the Mailbox actor.
        world_size: workers that ask it; the more, the more rarely each does.
    """

    def __init__(self, mailbox: Any, world_size: int) -> None:
        self.pause = max(SECONDS_BETWEEN_QUESTIONS, world_size / QUESTIONS_PER_SECOND)
        self._mailbox = mailbox
        self._known = Wish()
        self._question: Any = None
        self._asked = float("-inf")

    def known(self) -> Wish:
        """The newest that is known; asks unless that was done lately."""
        import ray

        if self._known.stop is None and (self._question is not None or time.monotonic() - self._asked >= self.pause):
            patience = 0.0
            if self._question is None:
                self._question, self._asked = self._mailbox.wishes.remote(), time.monotonic()
                patience = SECONDS_FOR_AN_ANSWER
            if ray.wait([self._question], timeout=patience)[0]:
                self._known, self._question = Wish(*ray.get(self._question)), None
        return self._known
