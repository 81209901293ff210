"""kill -9 of the process that owns a run: its workers go too, and a resume leaves no trace of it in the numbers."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from rayseg.cli.main import main
from rayseg.orchestration import train
from rayseg.orchestration.results import RunResult

from tests.integration.orchestration.conftest import Workspace, apart_from_times  # isort: skip
from tests.processes import numbers, rayseg, wait_until  # isort: skip


def test_kill_the_driver_and_resume(workspace: Workspace, cluster: str, undisturbed: RunResult) -> None:
    run_dir, go_on = workspace.path / "driver_killed", workspace.path / "go_on"
    wait = {"type": "user_code.Wait", "at": 11, "done": str(go_on)}
    with rayseg(
        *workspace.command("driver_killed", wait), cwd=workspace.path, environment={"RAY_ADDRESS": cluster}
    ) as driver:
        driver.wait_for(lambda: counts(numbers(run_dir))[-1:] == [("train", 10)], 120, "iteration 10")
        driver.send(signal.SIGKILL)
        driver.finish(10)
        wait_until(lambda: not workers_of(run_dir), 30, "the workers are gone")
    go_on.touch()
    run = train(run_dir, resume=True)
    assert (run.status, run.iter) == ("finished", 12)
    assert apart_from_times(numbers(run_dir)) == apart_from_times(numbers(undisturbed.run_dir))
    assert run.metrics == undisturbed.metrics
    assert counts(numbers(run_dir, "metrics.attempt_1.jsonl")) == [("train", 10)]
    assert "goes on from iter_8 (attempt 2" in (run_dir / "log.txt").read_text()


def counts(lines: list[dict[str, Any]]) -> list[tuple[str, int]]:
    """What each line is about."""
    return [(line["mode"], line["iter"]) for line in lines]


def workers_of(run_dir: Path) -> list[str]:
    """Processes that print into the run's directory."""
    found = []
    for link in Path("/proc").glob("[0-9]*/fd/1"):
        try:
            target = os.readlink(link)
        except OSError:
            continue
        if target.startswith(str(run_dir / "logs")):
            found.append(str(link))
    return found


def test_a_named_cluster_that_is_too_small(
    workspace: Workspace, cluster: str, capfd: pytest.CaptureFixture[str]
) -> None:
    run_dir = workspace.path / "too_many"
    code = main(["train", str(workspace.config), "--workers", "50", "--work-dir", str(run_dir)])
    printed = capfd.readouterr()
    assert (code, printed.out) == (2, "")
    assert printed.err.startswith("error: scaling.num_workers: 50 workers of 1 CPU each cannot be placed: the cluster")
    assert len(printed.err.splitlines()) == 1
    assert not run_dir.exists()
