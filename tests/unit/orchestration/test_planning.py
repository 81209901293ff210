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
