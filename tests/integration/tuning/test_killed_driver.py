"""kill -9 of the driver in mid-sweep: a resume runs nothing twice, loses nothing, and comes to the same."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from rayseg.tuning import SweepResult

from tests.integration.tuning.conftest import (  # isort: skip
    Workspace,
    events,
    held,
    rows,
    run_facts,
    trial_processes_gone,
)
from tests.processes import Command, rayseg  # isort: skip

OPTUNA = {
    "tune.searcher": {"type": "Optuna", "seed": 5, "n_startup_trials": 2, "_delete_": True},
    "tune.max_concurrent": 1,
}


def hold(*trials: str) -> dict[str, Any]:
    """These wait after iteration 7."""
    return {"custom_hooks": [{"type": "user_code.Hold", "trials": list(trials), "at": 7}]}


def let_go(sweep_dir: Path) -> None:
    """Trials that wait, or will, go on."""
    (sweep_dir / "go_on").touch()


def once_each(sweep_dir: Path, trials: int = 4) -> None:
    """No trial is proposed twice, none is missing, each ends once, each result counts once."""
    assert [line["trial"] for line in events(sweep_dir, "proposed")] == [f"{n:04d}" for n in range(trials)]
    ended = [line["trial"] for line in events(sweep_dir, "ended") if line["status"] != "interrupted"]
    assert sorted(ended) == [f"{n:04d}" for n in range(trials)]
    results = [(line["trial"], line["iter"]) for line in events(sweep_dir, "result")]
    assert len(results) == len(set(results)) == 3 * trials


def kill(driver: Command, sweep_dir: Path) -> None:
    """kill -9 of the driver alone; wait until its trials are gone."""
    driver.send(signal.SIGKILL)
    driver.finish(30)
    trial_processes_gone(sweep_dir)


def test_during_the_first_trials(workspace: Workspace, undisturbed: SweepResult) -> None:
    sweep_dir, changes = workspace.path / "first", hold("0000", "0001")
    with rayseg(*workspace.command("first", changes), cwd=workspace.path) as driver:
        driver.wait_for(lambda: held(sweep_dir, "0000", "0001"), 150, "both trials are under way")
        kill(driver, sweep_dir)
    assert not events(sweep_dir, "ended")
    assert run_facts(sweep_dir, "0000")["status"] == "running", "nobody could say otherwise"
    let_go(sweep_dir)
    assert rows(workspace.tune("first", changes, resume=True)) == rows(undisturbed), "draws and scores, bitwise"
    once_each(sweep_dir)
    assert [run_facts(sweep_dir, name)["attempt"] for name in ("0000", "0001", "0002")] == [2, 2, 1]
    assert "goes on from iter_6" in (sweep_dir / "trials" / "0000" / "log.txt").read_text()


@pytest.mark.parametrize(
    ("last", "removed"),
    [
        (("proposed", "0002"), {"trials/0002", "trials/0003"}),  # it has no directory yet
        (("proposed", "0003"), {"trials/0003/metrics.jsonl", "trials/0003/run.json", "trials/0003/checkpoints"}),
        (("result", "0003"), set()),  # it has ended, and the driver has not heard of it
    ],
    ids=["proposed", "not-begun", "ended-unheard"],
)
def test_between_two_lines_of_the_journal(
    workspace: Workspace, undisturbed: SweepResult, last: tuple[str, str], removed: set[str]
) -> None:
    """The sweep as a driver leaves it that dies right after it has written that line, and a torn one."""
    sweep_dir = workspace.path / f"cut_{last[0]}_{last[1]}"
    shutil.copytree(undisturbed.sweep_dir, sweep_dir)
    lines = (sweep_dir / "journal.jsonl").read_bytes().splitlines(keepends=True)
    cut = next(i for i, line in enumerate(map(json.loads, lines)) if (line["event"], line.get("trial")) == last)
    (sweep_dir / "journal.jsonl").write_bytes(b"".join(lines[: cut + 1]) + lines[cut][:20])
    for name in removed:
        path = sweep_dir / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    before, ended = len(events(sweep_dir)), {line["trial"] for line in events(sweep_dir, "ended")}
    result = workspace.tune(sweep_dir.name, hold(), resume=True)
    assert rows(result) == rows(undisturbed)
    once_each(sweep_dir)
    began = {line["trial"] for line in events(sweep_dir)[before:] if line["event"] == "started"}
    assert began == {"0000", "0001", "0002", "0003"} - ended, "what had ended is not run again"


@pytest.mark.slow
def test_after_some_have_ended_with_a_searcher_that_learns(workspace: Workspace, cluster: str) -> None:
    sweep_dir, changes = workspace.path / "later", {**OPTUNA, **hold("0002")}
    with rayseg(
        *workspace.command("later", changes), cwd=workspace.path, environment={"RAY_ADDRESS": cluster}
    ) as driver:
        driver.wait_for(lambda: held(sweep_dir, "0002"), 150, "the third trial is under way")
        kill(driver, sweep_dir)
    done = {line["trial"] for line in events(sweep_dir, "ended")}
    assert done == {"0000", "0001"}
    let_go(sweep_dir)
    result = workspace.tune("later", changes, resume=True)
    once_each(sweep_dir)
    assert [run_facts(sweep_dir, name)["attempt"] for name in ("0000", "0001", "0002", "0003")] == [1, 1, 2, 1]

    (workspace.path / "optuna").mkdir()
    let_go(workspace.path / "optuna")
    undisturbed = workspace.tune("optuna", changes)
    assert rows(result) == rows(undisturbed), "draws and scores"
    assert len({row["optim_wrapper.optimizer.lr"] for row in result.trials}) == 4
