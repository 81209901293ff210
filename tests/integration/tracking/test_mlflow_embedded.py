"""MLflow without a server: an SQLite file beside the runs, in a process of which nobody asked anything else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from rayseg.core.errors import CheckpointError
from rayseg.tracking.mlflow import MLflow
from rayseg.tracking.recorder import RunRecorder
from rayseg.tracking.tracker import CheckpointPolicy
from tests.integration.tracking.mlflow_server import begun, record, run_of, state, sync, wanted
from tests.processes import REPOSITORY
from tests.unit.tracking.runs import attempt

OWNER = """
import os, sys
from pathlib import Path
from rayseg.tracking.mlflow import MLflow
from tests.integration.tracking.mlflow_server import begun, record

assert "mlflow" not in sys.modules, "imported before it is used"
recorder = begun(Path(sys.argv[1]), MLflow())
record(recorder, 1, 20)
recorder.finish("finished")
import mlflow
from mlflow.telemetry import get_telemetry_client
assert mlflow.active_run() is None
assert get_telemetry_client() is None
"""


def test_beside_the_runs_and_silent(tmp_path: Path):
    """Two runs of one experiment in one place; nothing is printed, nothing left where the process was started."""
    cwd = tmp_path / "cwd"
    cwd.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW", "DO_NOT"))}
    for name in ("first", "second"):
        done = subprocess.run(
            [sys.executable, "-c", OWNER, str(tmp_path / "demo" / name)],
            cwd=cwd,
            env={**environment, "PYTHONPATH": str(REPOSITORY)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(cwd.iterdir()) == []
    below = tmp_path / "demo"
    assert sorted(path.name for path in below.iterdir()) == ["first", "mlflow.db", "mlflow_artifacts", "second"]
    client = MlflowClient(f"sqlite:///{below}/mlflow.db")
    experiment = client.get_experiment_by_name("demo")
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    for name in ("first", "second"):
        found = state(client, below / name)
        assert found["points"] == wanted(below / name)
        assert found["info"]["run_name"] == name
        assert found["info"]["status"] == "FINISHED"
        assert len(found["artifacts"]) >= 5
        log = (below / name / "log.txt").read_text()
        assert "WARNING" not in log
        assert "mlflow" not in log.replace(f"{below}", "").lower()


def test_a_relative_uri_names_one_place_for_all_runs_beside_each_other(tmp_path: Path, monkeypatch):
    run_dir = tmp_path / "demo" / "run"
    recorder = begun(run_dir)
    record(recorder, 1, 3)
    recorder.finish("finished")
    tracker = MLflow("sqlite:///track/runs.db")
    (tmp_path / "demo" / "track").mkdir()
    monkeypatch.chdir(run_dir.parent)
    sync(Path("run"), tracker)
    assert tracker.local_store(Path("run")) == tmp_path / "demo" / "track" / "runs.db"
    monkeypatch.chdir(tmp_path)
    sync(Path("demo/run"), MLflow("sqlite:///track/runs.db"))
    client = MlflowClient(f"sqlite:///{tmp_path}/demo/track/runs.db")
    assert state(client, run_dir)["points"] == wanted(run_dir)
    assert (tmp_path / "demo" / "track" / "mlflow_artifacts").is_dir()
    assert len(list((run_dir / "trackers").iterdir())) == 1


class Store:
    """Two checkpoints, of which one has been pruned since it was named."""

    def names(self, policy: CheckpointPolicy) -> list[str]:
        return {"none": [], "best": ["iter_5"], "last": ["iter_9"], "all": ["iter_5", "iter_9"]}[policy]

    def fetch(self, name: str, folder: Path) -> None:
        if name == "iter_9":
            raise CheckpointError("iter_9 is gone")
        (folder / "model.safetensors").write_bytes(b"weights")


@pytest.mark.parametrize(("policy", "sent"), [("none", []), ("all", ["checkpoints/iter_5/model.safetensors"])])
def test_checkpoints_by_policy(tmp_path: Path, policy: CheckpointPolicy, sent: list[str]):
    run_dir = tmp_path / "demo" / "run"
    tracker = MLflow(checkpoints=policy)
    recorder = RunRecorder(run_dir, [tracker], checkpoints=Store())
    recorder.start({"name": "demo", "uid": "a1"})
    recorder.record(attempt(1))
    record(recorder, 1, 3)
    recorder.finish("finished")
    found = state(MlflowClient(tracker.uri(run_dir)), run_dir)
    assert [name for name in found["artifacts"] if name.startswith("checkpoints")] == sent
    assert ("iter_9 is gone" in (run_dir / "log.txt").read_text()) == bool(sent)


def test_odd_names_of_classes_are_kept_apart(tmp_path: Path):
    run_dir = tmp_path / "demo" / "run"
    recorder = begun(run_dir)
    names = ["IoU.a&b", "IoU.a%b", "IoU.a_b", "IoU.water / ice", "IoU.straße", "IoU./..//x", "IoU." + 300 * "x"]
    record(recorder, 1, 2, **{name: float(at) for at, name in enumerate(names)})
    recorder.finish("finished")
    tracker = MLflow()
    sync(run_dir, tracker)
    client = MlflowClient(tracker.uri(run_dir))
    metrics = run_of(client, run_dir).data.metrics
    assert sorted(value for name, value in metrics.items() if "IoU" in name) == list(range(len(names)))
    assert metrics["train/IoU.a_b"] == 2
    assert metrics["train/IoU.straße"] == 4


def test_infinities_and_missing_numbers_are_stored(tmp_path: Path):
    run_dir = tmp_path / "demo" / "run"
    recorder = begun(run_dir)
    record(recorder, 1, 2, up=float("inf"), none=float("nan"))
    recorder.finish("finished")
    tracker = MLflow()
    for _ in range(2):
        sync(run_dir, tracker)
    run_id = json.loads(next((run_dir / "trackers").iterdir()).read_text())["run_id"]
    client = MlflowClient(tracker.uri(run_dir))
    ups, nones = (client.get_metric_history(run_id, f"train/{name}") for name in ("up", "none"))
    assert [metric.value for metric in ups] == [sys.float_info.max] * 2
    assert [str(metric.value) for metric in nones] == ["nan"] * 2
