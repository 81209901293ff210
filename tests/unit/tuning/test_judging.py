"""Judge: what it writes down, whom it asks to end, and that a replayed journal leads to the same decisions."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ray.tune.schedulers import TrialScheduler

from rayseg.tracking.json_lines import encode
from rayseg.tuning.judging import Judge
from rayseg.tuning.schedulers import ASHA, MedianStopping

MAX_ITERS, INTERVAL, TRIALS = 80, 10, 9
SLOW = "0003"
RULES = {"ASHA": ASHA(10, 2), "MedianStopping": MedianStopping(20, 2)}


@dataclass
class Trial:
    """As Ray Tune has them."""

    trial_id: str


class Desk:
    """A judge and what it writes, as a journal on disk would hold it."""

    def __init__(self, rule: str, lines: list[dict[str, Any]], mode: str = "max") -> None:
        self.lines = list(lines)
        self.ended: list[str] = []
        scheduler = RULES[rule].build("mIoU", mode, MAX_ITERS)
        self.judge = Judge("mIoU", scheduler, self.write, lambda name, _: self.ended.append(name), rule, MAX_ITERS)
        self.judge.replay(lines)

    def write(self, event: str, **facts: Any) -> None:
        """A line; it goes through JSON, as on disk."""
        self.lines.append(json.loads(encode({"event": event, **facts})))

    def propose(self, name: str) -> None:
        """A trial begins."""
        self.write("proposed", trial=name, number=int(name), draw={})
        self.judge.on_trial_add(None, Trial(name))

    def report(self, name: str, at: int, score: float) -> None:
        """A validation."""
        decision = self.judge.on_trial_result(None, Trial(name), {"iter": at, "values/mIoU": score, "done": False})
        assert decision == TrialScheduler.CONTINUE, "Ray Tune would kill the trial"

    def judged(self) -> list[dict[str, Any]]:
        """The decisions."""
        return [line for line in self.lines if line["event"] == "judged"]


Step = tuple[str, int, float]


def steps(seed: int, nans: bool) -> list[Step]:
    """Validations of trials that run side by side, in some order."""
    rng = Random(seed)
    left = {f"{n:04d}": list(range(INTERVAL, MAX_ITERS + 1, INTERVAL)) for n in range(TRIALS)}
    found = []
    while left:
        name = rng.choice(list(left)[:3])
        score = rng.choice([math.nan, math.inf]) if nans and rng.random() < 0.2 else rng.random()
        found.append((name, left[name].pop(0), score))
        if not left[name]:
            del left[name]
    return found


def carry_on(desk: Desk, todo: list[Step]) -> Desk:
    """Let the trials report; of those that were judged one reports once more, the others end at once."""
    begun = {line["trial"] for line in desk.lines if line["event"] == "proposed"}
    for name, at, score in todo:
        judged = {line["trial"]: line["iter"] for line in desk.judged()}
        if name in judged and (name != SLOW or at > judged[name] + INTERVAL):
            continue
        if name not in begun:
            begun.add(name)
            desk.propose(name)
        desk.report(name, at, score)
    return desk


@pytest.mark.parametrize("rule", RULES)
@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), cut=st.floats(0, 1), nans=st.booleans())
def test_cut_anywhere_and_replayed_it_decides_the_same(rule: str, seed: int, cut: float, nans: bool) -> None:
    todo = steps(seed, nans)
    whole = carry_on(Desk(rule, []), todo)
    kept = whole.lines[: round(cut * len(whole.lines))]
    reported = {(line["trial"], line["iter"]) for line in kept if line["event"] == "result"}
    again = carry_on(Desk(rule, kept), [step for step in todo if step[:2] not in reported])
    assert json.dumps(again.lines) == json.dumps(whole.lines)


@pytest.mark.parametrize("rule", RULES)
def test_the_rules_do_stop_something(rule: str) -> None:
    desk = carry_on(Desk(rule, []), steps(0, nans=False))
    assert 2 <= len(desk.judged()) < TRIALS
    assert [line["trial"] for line in desk.judged()] == desk.ended
    assert len(set(desk.ended)) == len(desk.ended), "each once"
    first = desk.judged()[0]
    assert first["reason"] == f"stopped by {rule} at iteration {first['iter']}"


def test_the_smaller_may_be_the_better() -> None:
    desk = Desk("ASHA", [], mode="min")
    for name, score in (("0000", 0.1), ("0001", 0.5), ("0002", 0.05)):
        desk.propose(name)
        desk.report(name, 10, score)
    assert desk.ended == ["0001"]


def test_each_result_counts_once() -> None:
    desk = Desk("ASHA", [])
    desk.propose("0000")
    for at in (10, 20, 10, 20, 30):
        desk.report("0000", at, 0.5)
    assert [line["iter"] for line in desk.lines if line["event"] == "result"] == [10, 20, 30]


def test_what_reaches_its_end_is_not_stopped_there() -> None:
    desk = Desk("MedianStopping", [])
    for name, score in (("0000", 0.9), ("0001", 0.8), ("0002", 0.1)):
        desk.propose(name)
        desk.report(name, MAX_ITERS, score)
    assert not desk.judged()


def test_without_a_rule_nothing_is_stopped() -> None:
    lines: list[Any] = []
    judge = Judge("mIoU", None, lambda event, **facts: lines.append((event, facts)), pytest.fail, "", MAX_ITERS)
    judge.on_trial_add(None, Trial("0000"))
    judge.on_trial_result(None, Trial("0000"), {"iter": 10, "values/mIoU": 0.5, "values/aAcc": 0.6, "time_total_s": 1})
    judge.on_trial_complete(None, Trial("0000"), {"iter": 10, "status": "finished", "reason": "", "done": True})
    assert lines == [
        ("result", {"trial": "0000", "iter": 10, "values": {"mIoU": 0.5, "aAcc": 0.6}}),
        ("ended", {"trial": "0000", "status": "finished", "iter": 10, "reason": ""}),
    ]


def test_repeats_are_not_before_the_rule() -> None:
    """They run after the search, with other seeds; a resume of them knows what they have given."""
    lines = [
        {"event": "proposed", "trial": "0000", "number": 0, "draw": {}},
        {"event": "result", "trial": "0000", "iter": 10, "values": {"mIoU": 0.9}},
        {"event": "proposed", "trial": "0000_seed_1", "number": 1, "draw": {}, "repeat_of": "0000", "seed": 1},
        {"event": "result", "trial": "0000_seed_1", "iter": 10, "values": {"mIoU": 0.1}},
    ]
    desk = Desk("ASHA", lines)
    assert not desk.judged()
    desk.report("0000_seed_1", 10, 0.1)
    assert desk.lines == lines
    desk.propose("0001")
    desk.report("0001", 10, 0.89)
    assert desk.ended == ["0001"], "compared with the search alone"
