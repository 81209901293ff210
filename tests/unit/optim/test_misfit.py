"""What a schedule says of itself when it does not fit the run."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.optim.schedule_run import LR, Run


@pytest.mark.parametrize(
    ("cfg", "found"),
    [
        ({"type": "LinearLR", "end": 20}, None),
        ({"type": "LinearLR", "end": 21}, "ends at iteration 21, so it is cut off: the run has 20"),
        ({"type": "LinearLR", "begin": 20}, "begins at iteration 20, so it never acts: the run has 20"),
        ({"type": "WSDLR"}, None),
        ({"type": "WSDLR", "end": 10, "decay": 15, "end_factor": 1.0}, None),
        (
            {"type": "WSDLR", "warmup": 12, "decay": 10},
            "has warmup=12 and a decay of 10 in a window of 20 iterations, so it never reaches the full lr",
        ),
        (
            {"type": "WSDLR", "warmup": 30, "decay_ratio": 0.1},
            "has warmup=30 and a decay of 2 in a window of 20 iterations, so it never reaches the full lr",
        ),
        ({"type": "OneCycleLR", "eta_max": 0.1, "total_steps": 20}, None),
        ({"type": "OneCycleLR", "eta_max": 0.1}, None),
        (
            {"type": "OneCycleLR", "eta_max": 0.1, "total_steps": 30},
            "has total_steps=30 in a window of 20 iterations, so it is cut off",
        ),
        (
            {"type": "OneCycleLR", "eta_max": 0.1, "total_steps": 8, "begin": 10},
            "has total_steps=8 in a window of 10 iterations, so it ends early",
        ),
        ({"type": "MultiStepLR", "milestones": [19, 90]}, None),
        (
            {"type": "MultiStepLR", "milestones": [10, 90], "begin": 10},
            "has milestones=[10, 90] in a window of 10 iterations, so it never changes the lr",
        ),
        (
            {"type": "MultiStepLR", "milestones": [4], "by_epoch": True},
            "has milestones=[4] in a window of 4 epochs, so it never changes the lr",
        ),
    ],
)
def test_misfits(cfg: dict[str, Any], found: str | None) -> None:
    run = Run(cfg, 20, by_epoch_loop=bool(cfg.get("by_epoch")))
    assert [schedule.misfit() for schedule in run.schedulers] == [found]


@pytest.mark.parametrize("warmup", range(24))
@pytest.mark.parametrize("decay", [0, 5, 20, 25])
def test_wsd_says_so_exactly_when_it_never_reaches_its_lr(warmup: int, decay: int) -> None:
    run = Run({"type": "WSDLR", "warmup": warmup, "decay": decay}, 20)
    is_misfit = run.schedulers[0].misfit() is not None
    assert is_misfit == (max(run.curve(20)) < LR)
