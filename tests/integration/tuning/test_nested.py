"""Trials of two workers each, on Ray Train: what is stopped or killed gives its CPUs back."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from rayseg.search import grid
from rayseg.tuning import SweepResult

from tests.integration.tuning.conftest import Workspace, events, run_facts, trial_processes_gone  # isort: skip
from tests.processes import numbers, wait_until  # isort: skip

NESTED = {
    "scaling.num_workers": 2,
    "tune.searcher": {"type": "Grid", "_delete_": True},
    "tune.num_samples": 1,
    "tune.scheduler": {"type": "ASHA", "grace_iters": 4, "reduction_factor": 100},  # whatever is not the best
}


def losers(count: int) -> dict[str, Any]:
    """A trial that learns, then ``count`` that do not and are stopped; each fills a machine of two CPUs."""
    rates = [0.05, *(1e-9 * (n + 1) for n in range(count))]
    waiting = {"type": "user_code.UntilJudged", "trials": [f"{n + 1:04d}" for n in range(count)], "at": 6}
    return {**NESTED, "optim_wrapper.optimizer.lr": grid(rates), "custom_hooks": [waiting]}


def all_given_back(sweep_dir: Path) -> None:
    """No placement group, no process and no CPU is held by the sweep."""
    import ray
    from ray.util import placement_group_table

    trial_processes_gone(sweep_dir)
    states = [group["state"] for group in placement_group_table().values()]
    assert set(states) <= {"REMOVED"}, states
    wait_until(
        lambda: ray.available_resources().get("CPU") == ray.cluster_resources()["CPU"], 30, "every CPU is free again"
    )


def check(result: SweepResult, stopped: int) -> None:
    """One has finished, the others were stopped after their first validation."""
    assert [row["status"] for row in result.trials] == ["finished", *["stopped"] * stopped]
    assert result.trials[0]["iter"] == 12
    assert [row["iter"] for row in result.trials[1:]] == [6] * stopped
    for row in result.trials:
        assert run_facts(result.sweep_dir, row["trial"])["status"] == "finished"
        assert run_facts(result.sweep_dir, row["trial"])["world_size"] == 2
        workers = list((result.sweep_dir / "trials" / row["trial"] / "logs").glob("rank_*.log"))
        assert len(workers) == 2
    all_given_back(result.sweep_dir)


def test_stopped_trials_make_room_for_the_next(workspace: Workspace, cluster: str) -> None:
    check(workspace.tune("nested", losers(2)), stopped=2)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_six_stopped_trials_do_not_hang_the_seventh(workspace: Workspace, cluster: str) -> None:
    check(workspace.tune("nested_seven", losers(6)), stopped=6)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_killed_trial_gives_its_workers_back_and_goes_on(workspace: Workspace, cluster: str) -> None:
    sweep_dir = workspace.path / "nested_killed"
    trial = sweep_dir / "trials" / "0000"

    def kill() -> None:
        wait_until(lambda: [line for line in numbers(trial) if line["iter"] >= 6], 200, "the first trial trains")
        os.kill(events(sweep_dir, "started", trial="0000")[0]["pid"], signal.SIGKILL)
        (sweep_dir / "go_on").touch()

    killing = threading.Thread(target=kill)
    killing.start()
    changes = {**losers(1), "tune.max_failures": 1}
    changes["custom_hooks"] += [{"type": "user_code.Hold", "trials": ["0000"], "at": 7}]
    result = workspace.tune("nested_killed", changes)
    killing.join()
    assert [row["status"] for row in result.trials] == ["finished", "stopped"]
    assert [row["failures"] for row in result.trials] == [1, 0]
    assert events(sweep_dir, "retried")[0]["reason"] == "its process was killed or crashed, perhaps for want of memory"
    assert run_facts(sweep_dir, "0000")["attempt"] == 2
    all_given_back(sweep_dir)
