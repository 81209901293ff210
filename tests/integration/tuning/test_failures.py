"""Trials that fail, each in its way: a row with its reason on one line, and nothing else stops."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rayseg.tuning import SweepResult

from tests.integration.tuning.conftest import Workspace, events, run_facts, trial_processes_gone  # isort: skip
from tests.processes import numbers  # isort: skip

FAULTS = {
    "fine": {},
    "raises": {"model.net.fault": "raise"},
    "diverges": {"optim_wrapper.optimizer.lr": 1e38},
    "no_memory": {"model.net.fault": "memory"},
    "no_gpu_memory": {"model.net.fault": "cuda_memory"},
    "killed": {"model.net.fault": "kill"},
    "fine_too": {"model.net.width": 6},
}
CLOSED = {
    "optim_wrapper.optimizer.lr": 0.05,
    "tune.searcher": {"type": "Grid", "_delete_": True},
    "tune.num_samples": 1,
}


def choice(**options: Any) -> Any:
    """A leaf."""
    from rayseg import search

    return search.choice(**options)


@pytest.fixture(scope="module")
def failed(workspace: Workspace, cluster: str) -> SweepResult:
    """A sweep of which five trials of seven fail, none of them tried again."""
    result = workspace.tune("failed", {**CLOSED, "variants": {"fault": choice(**FAULTS)}})
    trial_processes_gone(result.sweep_dir)
    return result


def reasons(result: SweepResult) -> dict[str, str]:
    """By fault."""
    return {row["variants.fault"]: row["reason"] for row in result.trials}


def test_each_failure_is_a_row_and_stops_nothing_else(failed: SweepResult) -> None:
    assert {row["variants.fault"]: row["status"] for row in failed.trials} == {
        name: "finished" if name.startswith("fine") else "failed" for name in FAULTS
    }
    assert (failed.status, failed.error) == ("finished", None)
    assert failed.best is not None
    assert failed.best["draw"]["variants.fault"].startswith("fine")
    found = reasons(failed)
    assert found["fine"] == found["fine_too"] == ""
    assert found["raises"] == "ValueError: this network has had enough; of everything"
    assert found["diverges"] == "diverged: loss is nan at iteration 4"
    assert found["no_memory"] == "MemoryError"
    assert found["no_gpu_memory"] == "OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB."
    assert found["killed"] == "its process was killed or crashed, perhaps for want of memory"
    at = {row["variants.fault"]: row["iter"] for row in failed.trials}
    assert at == {name: {"fine": 12, "fine_too": 12, "diverges": 4}.get(name, 6) for name in FAULTS}
    assert not events(failed.sweep_dir, "retried")


def test_a_failed_trial_says_so_itself(failed: SweepResult) -> None:
    for row in failed.trials:
        facts = run_facts(failed.sweep_dir, row["trial"])
        assert facts["status"] == row["status"], row
        if row["status"] == "failed":
            assert facts["error"], row


def test_what_failed_is_not_run_again(workspace: Workspace, failed: SweepResult) -> None:
    before = events(failed.sweep_dir)
    again = workspace.tune("failed", {**CLOSED, "variants": {"fault": choice(**FAULTS)}}, resume=True)
    assert [line["event"] for line in events(failed.sweep_dir)[len(before) :]] == ["launch"]
    assert again.trials == failed.trials


def test_a_killed_and_a_raising_trial_go_on_from_their_checkpoints(
    workspace: Workspace, undisturbed: SweepResult, tmp_path: Path
) -> None:
    once = {
        "undisturbed": {},
        "killed": {"model.net.fault": "kill", "model.net.once": str(tmp_path / "killed")},
        "raises": {"model.net.fault": "raise", "model.net.once": str(tmp_path / "raised")},
        "diverges": {"optim_wrapper.optimizer.lr": 1e38},
        "always": {"model.net.fault": "raise", "model.net.at": 2},
    }
    overrides = {**CLOSED, "variants": {"fault": choice(**once)}, "tune.max_failures": 1}
    result = workspace.tune("retried", overrides)
    rows = {row["variants.fault"]: row for row in result.trials}
    assert [rows[name]["status"] for name in once] == ["finished", "finished", "finished", "failed", "failed"]
    assert [rows[name]["failures"] for name in once] == [0, 1, 1, 0, 1]
    retried = {line["trial"]: line["reason"] for line in events(result.sweep_dir, "retried")}
    assert retried == {
        rows["killed"]["trial"]: "its process was killed or crashed, perhaps for want of memory",
        rows["raises"]["trial"]: rows["always"]["reason"],
        rows["always"]["trial"]: rows["always"]["reason"],
    }
    assert rows["killed"]["mIoU"] == rows["raises"]["mIoU"] == rows["undisturbed"]["mIoU"], "bitwise"
    for name in ("killed", "raises"):
        trial = rows[name]["trial"]
        assert run_facts(result.sweep_dir, trial)["attempt"] == 2
        assert "goes on from iter_6" in (result.sweep_dir / "trials" / trial / "log.txt").read_text()
        lines = [(line["mode"], line["iter"]) for line in numbers(result.sweep_dir / "trials" / trial)]
        assert len(lines) == len(set(lines))
        assert [line["iter"] for line in events(result.sweep_dir, "result", trial=trial)] == [4, 8, 12]
        told = events(result.sweep_dir, "started", "retried", "ended", trial=trial)
        assert [line["event"] for line in told] == ["started", "retried", "started", "ended"]


def test_no_trial_has_a_score(workspace: Workspace, cluster: str, capfd: pytest.CaptureFixture[str]) -> None:
    from rayseg.cli.main import main

    overrides = {"model.net.fault": "raise", "model.net.at": 1, "tune.num_samples": 2}
    code = main([*workspace.command("no_score", overrides), "-q"])
    printed = capfd.readouterr()
    assert (code, printed.out) == (1, "")
    errors = [line for line in printed.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert errors[0].startswith("error: no trial gave a mIoU; the first one: ValueError: this network has had enough")
    assert errors[0].endswith(f"; more in {workspace.path / 'no_score'}")
    facts = json.loads((workspace.path / "no_score" / "sweep.json").read_text())
    assert (facts["status"], facts["best"], facts["trials"]["failed"]) == ("failed", None, 2)
    assert not (workspace.path / "no_score" / "best_config.py").exists()
