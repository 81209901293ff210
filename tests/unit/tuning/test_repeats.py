"""Repeats of the best trials and of a baseline, and what they come to."""

from __future__ import annotations

from typing import Any

import pytest

from rayseg.config import Config
from rayseg.core.errors import ConfigError
from rayseg.search import choice, loguniform
from rayseg.tuning.repeats import baseline_draw, seed_table, wanted_repeats
from rayseg.tuning.space import Space
from rayseg.tuning.standing import Standing

SPACE = Space(
    Config(
        {"optim_wrapper": choice(sgd={"lr": loguniform(1e-4, 1e-2), "n": choice([2, 1])}, adam={"x": choice([1.5, 3])})}
    )
)


def lines(scores: dict[str, float | None], repeats: dict[tuple[str, int], float] | None = None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    named = {name: (score, {}) for name, score in scores.items()}
    for (of, seed), score in (repeats or {}).items():
        named[f"{of}_seed{seed}"] = (score, {"repeat_of": of, "seed": seed})
    for number, (name, (score, facts)) in enumerate(named.items()):
        found.append({"event": "proposed", "trial": name, "number": number, "draw": {"a": number}, **facts})
        if score is not None:
            found.append({"event": "result", "trial": name, "iter": 10, "values": {"mIoU": score}})
        found.append({"event": "ended", "trial": name, "status": "finished", "iter": 10, "reason": "", "time": 1.0})
    return found


def test_the_baseline_is_the_first_option_and_the_middle() -> None:
    draw = baseline_draw(SPACE, None)
    assert draw == {"optim_wrapper": "sgd", "optim_wrapper[sgd].lr": pytest.approx(1e-3), "optim_wrapper[sgd].n": 2}
    assert baseline_draw(SPACE, {"optim_wrapper": "adam", "optim_wrapper[adam].x": 3}) == {
        "optim_wrapper": "adam",
        "optim_wrapper[adam].x": 3,
    }


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"optim_wraper": "sgd"}, r"tune\.baseline: no dimension 'optim_wraper'; did you mean 'optim_wrapper'\?"),
        ({"optim_wrapper": "lamb"}, r"tune\.baseline\.optim_wrapper: expected one of \['sgd', 'adam'\], found 'lamb'"),
        ({"optim_wrapper[sgd].n": 2.0}, r"expected one of \[2, 1\], found 2\.0"),
    ],
)
def test_a_wrong_baseline(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        baseline_draw(SPACE, given)


def test_the_best_are_repeated_and_the_baseline() -> None:
    standing = Standing(lines({"0000": 0.5, "0001": 0.7, "0002": None, "0003": 0.6}))
    wanted = wanted_repeats(SPACE, standing, "mIoU", "max", seeds=[1, 2], best_k=2, baseline={"b": 0})
    assert [(repeat.name, repeat.draw) for repeat in wanted] == [
        ("0001_seed1", {"a": 1}), ("0001_seed2", {"a": 1}), ("0003_seed1", {"a": 3}), ("0003_seed2", {"a": 3}),
        ("baseline_seed1", {"b": 0}), ("baseline_seed2", {"b": 0}),
    ]  # fmt: skip


def test_means_and_deviations() -> None:
    repeats = {("0000", 0): 0.5, ("0000", 1): 0.7, ("baseline", 0): 0.4}
    standing = Standing(lines({"0000": 0.9}, repeats))
    table = seed_table(standing, "mIoU", "max")
    assert table == {
        "0000": {"values": {"0": 0.5, "1": 0.7}, "mean": pytest.approx(0.6), "std": pytest.approx(0.2 / 2**0.5)},
        "baseline": {"values": {"0": 0.4}, "mean": 0.4, "std": None},
    }
    assert [trial.name for trial in standing.ranked("mIoU", "max")] == ["0000"]
    assert standing.counts()["finished"] == 1
    assert seed_table(Standing(lines({"0000": 0.9})), "mIoU", "max") is None
