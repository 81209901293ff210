"""A run goes on with fewer or more ranks: no sample skipped or repeated, the same loss within float tolerance."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.engine.killing import KillServer
from tests.integration.engine.test_kill_and_resume import numbers_of

OPTIONS: dict[str, Any] = {
    "net": "GroupNormNet",
    "loop": "iter",
    "accumulate": 1,
    "ema": True,
    "amp": False,
    "loader_workers": 0,
}


@pytest.fixture(scope="module")
def server() -> Iterator[KillServer]:
    server = KillServer()
    yield server
    server.close()


def losses(run: Path) -> dict[tuple[str, int], float]:
    return {(line["mode"], line["iter"]): line["loss"] for line in numbers_of(run)}


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 3), (3, 2)])
def test_goes_on_in_another_world(server: KillServer, tmp_path: Path, before: int, after: int) -> None:
    began = {**OPTIONS, "world": before}
    assert server.run(tmp_path / "whole", began)["statuses"] == [0] * before
    assert server.run(tmp_path / "run", began, "committed", seed=3)["stopped"]
    said = server.run(tmp_path / "run", {**OPTIONS, "world": after, "began_with": before})
    assert said["statuses"] == [0] * after, said["errors"]
    assert losses(tmp_path / "run") == pytest.approx(losses(tmp_path / "whole"), rel=1e-4)


def test_a_world_that_does_not_divide_the_global_batch_is_refused_with_those_that_do(
    server: KillServer, tmp_path: Path
) -> None:
    said = server.run(tmp_path / "run", {**OPTIONS, "world": 4, "began_with": 2})
    assert set(said["statuses"]) == {1}
    assert "4 workers do not divide the run's global batch of 6; possible are 1, 2, 3, 6" in said["errors"][0]
