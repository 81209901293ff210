"""Who is compared with whom, who waits, and what a restart makes of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from rayseg.tuning.pbt import PBT


class Trial:
    def __init__(self, trial_id: str) -> None:
        self.trial_id = trial_id


class Notes:
    """Exploits that are only written down."""

    def __init__(self, total: int = 2) -> None:
        self.total = total
        self.done: list[Any] = []

    def is_whole(self, names: Iterable[str]) -> bool:
        return len(list(names)) == self.total

    def hold(self, trial: str, at: int) -> bool:
        self.done.append(("hold", trial, at))
        return True

    def exploit(self, trial: str, donors: list[tuple[str, int]]) -> int | None:
        self.done.append(("exploit", trial, donors))
        return donors[0][1]

    def release(self, trials: list[str]) -> None:
        self.done.append(("release", sorted(trials)))


def judged(total: int = 2, **arguments: Any) -> tuple[Any, Notes, list[dict[str, Any]]]:
    """A judge, what it had done, and its journal."""
    from rayseg.tuning.population import PopulationJudge

    notes, journal = Notes(total), []

    def write(event: str, **facts: Any) -> None:
        journal.append({"event": event, **facts})

    rule = PBT(10, **arguments).build("mIoU", "max", 40)
    return PopulationJudge("mIoU", rule, write, None, "PBT", 40, exploits=notes), notes, journal


def report(judge: Any, name: str, at: int, score: float) -> None:
    assert judge.on_trial_result(None, Trial(name), {"iter": at, "values/mIoU": score}) == "CONTINUE"


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_who_takes_over_does_not_depend_on_who_was_first(order: tuple[str, str]) -> None:
    judge, notes, _ = judged()
    for name in order:
        judge.on_trial_add(None, Trial(name))
        report(judge, name, 10, {"a": 0.9, "b": 0.2}[name])
    assert notes.done == [
        ("hold", order[0], 10),
        ("hold", order[1], 10),
        ("exploit", "b", [("a", 10)]),
        ("release", ["a", "b"]),
    ]


def test_the_same_iteration_counts_again_after_a_takeover_and_only_then() -> None:
    judge, notes, journal = judged()
    for name, score in (("a", 0.9), ("b", 0.2)):
        judge.on_trial_add(None, Trial(name))
        report(judge, name, 10, score)
    notes.done.clear()
    report(judge, "a", 10, 0.9)
    report(judge, "b", 10, 0.9)
    assert [(line["trial"], line["iter"]) for line in journal] == [("a", 10), ("b", 10), ("b", 10)]
    assert notes.done == [], "it was just compared"


def test_nobody_waits_for_a_trial_that_has_failed() -> None:
    judge, notes, _ = judged(3)
    for name in "abc":
        judge.on_trial_add(None, Trial(name))
    report(judge, "a", 10, 0.9)
    report(judge, "b", 10, 0.2)
    assert ("release", ["a", "b"]) not in notes.done
    judge.on_trial_error(None, Trial("c"))
    assert notes.done[-2:] == [("exploit", "b", [("a", 10)]), ("release", ["a", "b"])]


def test_nothing_is_decided_at_the_last_iteration() -> None:
    judge, notes, _ = judged(burn_in=30)
    for name, score in (("a", 0.9), ("b", 0.2)):
        judge.on_trial_add(None, Trial(name))
        for at in (10, 20, 40):
            report(judge, name, at, score)
    assert notes.done == []


def lines_of(*trials: str) -> list[dict[str, Any]]:
    return [{"event": "proposed", "trial": name} for name in trials]


def result(name: str, at: int, score: float) -> dict[str, Any]:
    return {"event": "result", "trial": name, "iter": at, "values": {"mIoU": score}}


EXPLOITED = {"event": "exploited", "trial": "b", "donor": "a", "iter": 10}


def test_after_a_restart_who_waited_waits() -> None:
    judge, notes, _ = judged()
    judge.replay([*lines_of("a", "b"), result("a", 10, 0.9)])
    assert notes.done == [("hold", "a", 10)]
    report(judge, "b", 10, 0.2)
    assert notes.done[-2:] == [("exploit", "b", [("a", 10)]), ("release", ["a", "b"])]


def test_after_a_restart_what_was_decided_is_done_once() -> None:
    both = [*lines_of("a", "b"), result("a", 10, 0.9), result("b", 10, 0.2)]
    judge, notes, _ = judged()
    judge.replay(both)
    assert ("exploit", "b", [("a", 10)]) in notes.done
    judge, notes, journal = judged()
    judge.replay([*both, EXPLOITED])
    assert [each for each in notes.done if each[0] == "exploit"] == []
    report(judge, "b", 10, 0.9)
    assert len(journal) == 1, "the new model's"
    report(judge, "b", 20, 0.1)
    report(judge, "a", 20, 0.3)
    assert notes.done[-2] == ("exploit", "b", [("a", 20)])
