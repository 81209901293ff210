"""A sweep that is asked to stop, or whose time is spent: trials save and end, and a resume goes on with them."""

from __future__ import annotations

import json
import signal
import time

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
from tests.integration.tuning.test_killed_driver import hold, let_go, once_each  # isort: skip
from tests.processes import Command, rayseg  # isort: skip


def interrupted(workspace: Workspace, name: str, driver: Command, number: int, *, group: bool) -> None:
    """Send a signal while two trials wait after iteration 7, and see that both save and end."""
    sweep_dir = workspace.path / name
    driver.wait_for(lambda: held(sweep_dir, "0000", "0001"), 150, "both trials are under way")
    driver.send(number, group=group)
    code, out, err = driver.finish(90)
    assert (code, err) == (130, ""), out
    assert "the sweep was interrupted, its state is saved: 2 interrupted" in out
    assert "Traceback" not in out
    facts = json.loads((sweep_dir / "sweep.json").read_text())
    assert (facts["status"], facts["stopping"]) == ("interrupted", signal.Signals(number).name)
    for trial in ("0000", "0001"):
        ended = [(line["status"], line["iter"]) for line in events(sweep_dir, "ended", trial=trial)]
        assert ended == [("interrupted", 7)]
        found = run_facts(sweep_dir, trial)
        assert (found["status"], found["last_checkpoint"]) == ("interrupted", "iter_7")


def test_ctrl_c_and_resume(workspace: Workspace, undisturbed: SweepResult) -> None:
    """With a Ray of its own, in the same process group, as in a terminal."""
    sweep_dir, changes = workspace.path / "ctrl_c", hold("0000", "0001")
    with rayseg(*workspace.command("ctrl_c", changes), cwd=workspace.path) as driver:
        interrupted(workspace, "ctrl_c", driver, signal.SIGINT, group=True)
        driver.all_gone(60)
    let_go(sweep_dir)
    assert rows(workspace.tune("ctrl_c", changes, resume=True)) == rows(undisturbed), "bitwise"
    once_each(sweep_dir)
    assert [run_facts(sweep_dir, name)["attempt"] for name in ("0000", "0001", "0002")] == [2, 2, 1]


def test_sigterm_and_a_second_driver(workspace: Workspace, cluster: str) -> None:
    sweep_dir, changes = workspace.path / "sigterm", hold("0000", "0001")
    environment = {"RAY_ADDRESS": cluster}
    with rayseg(*workspace.command("sigterm", changes), cwd=workspace.path, environment=environment) as driver:
        driver.wait_for(lambda: held(sweep_dir, "0000", "0001"), 150, "both trials are under way")
        before = sorted(path.name for path in sweep_dir.iterdir())
        more = ["--resume", "--num-samples", "9"]
        with rayseg(*workspace.command("sigterm", changes), *more, cwd=workspace.path) as second:
            code, out, err = second.finish(90)
        assert (code, out) == (2, "")
        assert err == f"error: {sweep_dir}: another process runs this sweep; stop it first\n"
        assert sorted(path.name for path in sweep_dir.iterdir()) == before
        interrupted(workspace, "sigterm", driver, signal.SIGTERM, group=False)
    trial_processes_gone(sweep_dir)


def test_a_second_ctrl_c_ends_at_once(workspace: Workspace, cluster: str) -> None:
    sweep_dir = workspace.path / "ctrl_c_twice"
    changes = {"custom_hooks": [{"type": "user_code.Deaf", "trials": ["0000"], "at": 7}], "tune.max_concurrent": 1}
    environment = {"RAY_ADDRESS": cluster}
    with rayseg(*workspace.command("ctrl_c_twice", changes), cwd=workspace.path, environment=environment) as driver:
        driver.wait_for(lambda: held(sweep_dir, "0000"), 150, "the trial hears nothing")
        driver.send(signal.SIGINT)
        time.sleep(0.5)  # two that come at once are one to the system
        driver.send(signal.SIGINT)
        code, out, err = driver.finish(30)
    assert (code, err) == (130, "")
    assert "Traceback" not in out
    assert "the sweep was interrupted, its state is saved: 1 interrupted" in out
    assert json.loads((sweep_dir / "sweep.json").read_text())["status"] == "interrupted"
    assert [line["status"] for line in events(sweep_dir, "ended")] == ["interrupted"]
    assert run_facts(sweep_dir, "0000")["status"] == "interrupted"
    trial_processes_gone(sweep_dir)


def test_a_time_budget_that_is_spent(workspace: Workspace, undisturbed: SweepResult) -> None:
    """The first two trials wait for ever: without the budget the sweep would not end."""
    sweep_dir, changes = workspace.path / "budget", hold("0000", "0001")
    result = workspace.tune("budget", {**changes, "tune.time_budget": 8.0})
    assert {row["trial"]: row["status"] for row in result.trials} == dict.fromkeys(("0000", "0001"), "interrupted")
    facts = json.loads((sweep_dir / "sweep.json").read_text())
    assert result.status == facts["status"] == ("finished" if result.best else "failed")
    assert facts["stopping"] == "the time budget of 8 s is spent"
    let_go(sweep_dir)
    whole = workspace.tune("budget", {**changes, "tune.time_budget": 500.0}, resume=True)
    assert (whole.status, rows(whole)) == ("finished", rows(undisturbed))
    once_each(sweep_dir)


@pytest.mark.parametrize("command", [["--json"], ["-q"]])
def test_a_finished_sweep_is_resumed_without_a_trial(
    workspace: Workspace, undisturbed: SweepResult, capfd: pytest.CaptureFixture[str], command: list[str]
) -> None:
    from rayseg.cli.main import main

    before = len(events(undisturbed.sweep_dir))
    assert main(["tune", str(undisturbed.sweep_dir), "--resume", *command]) == 0
    assert [line["event"] for line in events(undisturbed.sweep_dir)[before:]] == ["launch"]
    printed = capfd.readouterr()
    if command == ["--json"]:
        assert json.loads(printed.out)["best"] == undisturbed.best
    else:
        assert (printed.out, printed.err) == ("", "")
