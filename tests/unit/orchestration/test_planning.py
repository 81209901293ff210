"""What ``--dry-run`` says of several workers."""

from __future__ import annotations

from pathlib import Path

import pytest

from rayseg.orchestration.planning import plan
from tests.toys import ToyNet, toy_config


@pytest.mark.parametrize(("workers", "local"), [(1, False), (2, False), (2, True)])
def test_the_gradients_that_workers_exchange(tmp_path: Path, workers: int, local: bool) -> None:
    found = plan(toy_config(), work_dir=tmp_path / "run", workers=workers, local=local)
    together = workers > 1 and not local
    trained = sum(value.numel() for value in ToyNet().parameters())
    assert found.facts["workers"]["gradient_bytes"] == (4 * trained if together else 0)
    assert any(line.startswith("gradients  ") for line in found.lines()) == together


def test_a_schedule_that_does_not_fit_is_a_note(tmp_path: Path) -> None:
    schedules = [{"type": "PolyLR"}, {"type": "MultiStepLR", "milestones": [40]}]
    notes = plan(toy_config(param_scheduler=schedules), work_dir=tmp_path / "run", local=True).facts["notes"]
    assert [note for note in notes if note.startswith("param_scheduler")] == [
        "param_scheduler: MultiStepLR has milestones=[40] in a window of 12 iterations, so it never changes the lr"
    ]
