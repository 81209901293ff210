"""What is kept of trials: pinned checkpoints of all, the newest one of the best; and trials on fractions of a CPU."""

from __future__ import annotations

import threading
from pathlib import Path

from rayseg.engine.checkpoint_store import CheckpointStore
from rayseg.tuning import SweepResult

from tests.integration.tuning.conftest import Workspace, events, held  # isort: skip
from tests.integration.tuning.test_killed_driver import hold, let_go  # isort: skip
from tests.processes import wait_until  # isort: skip

TRIALS = [f"{n:04d}" for n in range(4)]


def kept(sweep_dir: Path, trial: str) -> set[str]:
    """Names of the checkpoints of a trial."""
    return {found.name for found in CheckpointStore(sweep_dir / "trials" / trial / "checkpoints").list()}


def test_losers_keep_nothing_the_best_its_newest(undisturbed: SweepResult) -> None:
    assert undisturbed.best is not None
    best = undisturbed.best["trial"]
    assert {trial: kept(undisturbed.sweep_dir, trial) for trial in TRIALS if trial != best} == {
        trial: set() for trial in TRIALS if trial != best
    }
    assert "iter_12" in kept(undisturbed.sweep_dir, best)


def test_four_halves_of_a_cpu_and_pinned_checkpoints(workspace: Workspace, cluster: str) -> None:
    import ray

    sweep_dir = workspace.path / "halves"
    at_once = int(ray.cluster_resources()["CPU"] * 2)
    names = [f"{n:04d}" for n in range(min(at_once, 4))]
    letting_go = threading.Thread(
        target=lambda: (wait_until(lambda: held(sweep_dir, *names), 110, "all at once"), let_go(sweep_dir))
    )
    letting_go.start()
    changes = {
        **hold(*names),
        "tune.max_concurrent": len(names),
        "scaling.resources_per_worker": {"CPU": 0.5},
        "default_hooks.checkpoint.save_best": "mIoU",
    }
    result = workspace.tune("halves", changes)
    letting_go.join()
    assert result.status == "finished"
    assert (sweep_dir / "go_on").exists(), "each held trial waited for the others"
    assert {row["status"] for row in result.trials} == {"finished"}
    assert result.best is not None
    for row in result.trials:
        best = f"iter_{row['best_iter']}"
        store = CheckpointStore(sweep_dir / "trials" / row["trial"] / "checkpoints")
        assert store.load("best").name == best
        newest = {"iter_12"} if row["trial"] == result.best["trial"] else set()
        assert {best} | newest <= kept(sweep_dir, row["trial"])
        if not newest:
            assert kept(sweep_dir, row["trial"]) == {best}, "pinned"
    begun = {line["trial"]: line["time"] for line in events(sweep_dir, "started")}
    first_end = min(line["time"] for line in events(sweep_dir, "ended"))
    assert all(begun[name] < first_end for name in names)
