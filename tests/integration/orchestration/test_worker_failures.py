"""Workers that die or raise: restarts from the store are exact, and a run that is lost says why on one line."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from rayseg.cli.main import main
from rayseg.engine.checkpoint_store import CheckpointStore
from rayseg.orchestration.results import RunResult

from tests.integration.orchestration.conftest import Workspace, apart_from_times  # isort: skip
from tests.processes import numbers  # isort: skip


def test_a_killed_worker_is_started_again_and_nothing_shows(workspace: Workspace, undisturbed: RunResult) -> None:
    died = workspace.path / "died"
    die = {"type": "user_code.Die", "at": 11, "done": str(died)}
    run = workspace.train("restarted", die, overrides={"failure.max_failures": 1})
    assert (run.status, run.error, died.exists()) == ("finished", None, True)

    assert apart_from_times(numbers(run.run_dir)) == apart_from_times(numbers(undisturbed.run_dir))
    assert run.metrics == undisturbed.metrics
    log = (run.run_dir / "log.txt").read_text()
    begins = [line for line in log.splitlines() if "attempt 2" in line]
    assert len(begins) == 1
    assert "goes on from iter_8" in begins[0]
    restarted = [line for line in log.splitlines() if "WARNING" in line]
    assert len(restarted) == 1
    assert "the workers were started again: rank 1's worker died: " in restarted[0]
    assert json.loads((run.run_dir / "run.json").read_text())["attempt"] == 2

    ends = [CheckpointStore(found.run_dir / "checkpoints").load("last").path for found in (run, undisturbed)]
    assert_equal(*(load_file(f"{end}/model.safetensors") for end in ends))
    for name in ("training_state.pt", "rank_0000.pt", "rank_0001.pt"):
        states = [torch.load(f"{end}/{name}", weights_only=True) for end in ends]
        for part in {"raw_weights", "buffers", "rng"} & set(states[0]):
            assert_equal(*(state[part] for state in states))


def assert_equal(one: object, other: object) -> None:
    """Bitwise, tensors and all."""
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert set(one) == set(other)
        for key, value in one.items():
            assert_equal(value, other[key])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for pair in zip(one, other, strict=True):
            assert_equal(*pair)
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    else:
        assert one == other


@pytest.mark.parametrize(
    ("kind", "message"), [pytest.param("Die", "died", marks=pytest.mark.slow), ("Raise", "this hook has had enough")]
)
def test_a_lost_run_says_why(
    workspace: Workspace, cluster: str, capfd: pytest.CaptureFixture[str], kind: str, message: str
) -> None:
    hook = {"type": f"user_code.{kind}", "at": 11, "done": str(workspace.path / f"never_{kind}")}
    run_dir = workspace.path / f"lost_{kind}"
    code = main([*workspace.command(f"lost_{kind}", hook), "-q"])
    printed = capfd.readouterr()
    assert (code, printed.out) == (1, "")
    assert "Traceback" not in printed.err
    errors = [line for line in printed.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, printed.err
    assert message in errors[0]
    assert "gloo" not in errors[0].lower()
    if kind == "Raise":
        assert all(part in errors[0] for part in ("ValueError", "Raise", "after_train_iter", "iter"))
    assert len(errors[0]) < 400 + len(str(run_dir)), "not the whole text of Ray"
    assert errors[0].endswith(f"; more in {run_dir / 'log.txt'}")
    facts = json.loads((run_dir / "run.json").read_text())
    assert (facts["status"], facts["last_checkpoint"], facts["attempt"]) == ("failed", "iter_8", 1)
    assert message in facts["error"]
    assert message in (run_dir / "log.txt").read_text()
