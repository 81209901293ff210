"""Trackers through crashes and outages: one run with one curve in each place, and weights that they do not touch."""

from __future__ import annotations

import math
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from rayseg.engine.checkpoint_store import CheckpointStore
from rayseg.orchestration import sync, train
from rayseg.orchestration.results import RunResult
from rayseg.tracking import recorder
from rayseg.tracking.run_file import read_run

from tests.integration.orchestration.conftest import TIMES, Workspace, apart_from_times  # isort: skip
from tests.integration.tracking.mlflow_server import Server, points, run_of, wanted  # isort: skip
from tests.integration.tracking.wandb_files import offline_runs  # isort: skip
from tests.processes import numbers, rayseg, wait_until  # isort: skip

pytestmark = pytest.mark.timeout(600)
TRACKERS = {
    "mlflow": {"type": "MLflow", "tracking_uri": "sqlite:///mlflow.db"},
    "tensorboard": {"type": "TensorBoard"},
    "wandb": {"type": "WandB", "mode": "offline"},
}
Point = tuple[str, int, str]


def expected(run_dir: Path) -> list[Point]:
    """Every number of ``metrics.jsonl`` that is no time: ``<mode>/<name>``, iteration, value."""
    return sorted(
        (f"{line['mode']}/{name}", line["iter"], as_text(value))
        for line in numbers(run_dir)
        for name, value in line.items()
        if name not in {*TIMES, "mode", "iter", "epoch"}
    )


def as_text(value: float | None) -> str:
    """A number as every tracker keeps it: in single precision at least."""
    return repr(float(torch.tensor(math.nan if value is None else value, dtype=torch.float32)))


def without_times(found: list[tuple[str, int, float]]) -> list[Point]:
    """The points of a tracker that are in ``expected``; each once."""
    names = {*TIMES, "epoch", "iter"}
    return sorted((key, step, as_text(value)) for key, step, value in found if key.partition("/")[2] not in names)


def in_mlflow(run_dir: Path) -> list[Point]:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{run_dir.parent}/mlflow.db")
    found = points(client, run_of(client, run_dir).info.run_id)
    return without_times([(key, step, float(value)) for key, step, _, value in found])


def in_tensorboard(run_dir: Path) -> list[Point]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run_dir / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    return without_times([(tag, e.step, e.value) for tag in events.Tags()["scalars"] for e in events.Scalars(tag)])


def in_wandb(run_dir: Path) -> list[Point]:
    (run,) = offline_runs(run_dir)
    found = []
    for row in run.rows:
        for mode in ("train", "val"):
            if (at := row.get(f"{mode}/iter")) is None:
                continue
            values = {key: value for key, value in row.items() if key.startswith(f"{mode}/")}
            found += [
                (key, at, float(v)) for key, v in values.items() if isinstance(v, int | float | str) and is_number(v)
            ]
    return without_times(found)


def is_number(value: Any) -> bool:
    """W&B keeps NaN as a text; pictures are dicts."""
    return isinstance(value, int | float) or value in ("NaN", "Infinity", "-Infinity")


@pytest.mark.parametrize("times", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_kills_of_a_worker_and_of_the_driver_leave_one_curve(
    workspace: Workspace, cluster: str, undisturbed: RunResult, times: int
) -> None:
    """Iterations 1 to 12, a checkpoint each 4: worker at 5, driver at 7; then worker at 9, driver at 11."""
    run_dir, marks = workspace.path / "runs" / f"killed_{times}", workspace.path / f"marks_{times}"
    marks.mkdir()
    kills = (("Die", 5), ("Wait", 7), ("Die", 9), ("Wait", 11))[: 2 * times]
    hooks = [{"type": f"user_code.{kind}", "at": at, "done": str(marks / f"{at}")} for kind, at in kills]
    changes = [f"trackers={TRACKERS!r}", "failure.max_failures=1"]
    command = [*workspace.command(f"runs/killed_{times}", *hooks), *changes]
    for at, options in ((7, []), (11, ["--resume"]))[:times]:
        with rayseg(*command, *options, cwd=workspace.path, environment={"RAY_ADDRESS": cluster}) as driver:
            driver.wait_for(lambda at=at: ("train", at - 1) in known(run_dir), 180, f"iteration {at - 1}")
            driver.send(signal.SIGKILL)
            driver.finish(20)
        (marks / f"{at}").touch()
    run = train(run_dir, resume=True)
    assert (run.status, run.iter) == ("finished", 12)
    assert {path.name for path in marks.iterdir()} == {str(at) for _, at in kills}, "everything happened"
    assert apart_from_times(numbers(run_dir)) == apart_from_times(numbers(undisturbed.run_dir))
    assert_equal_weights(run, undisturbed)

    assert in_mlflow(run_dir) == expected(run_dir)
    assert in_tensorboard(run_dir) == expected(run_dir)
    assert in_wandb(run_dir) == expected(run_dir)
    assert_restarts_are_told(run_dir, times)


def assert_restarts_are_told(run_dir: Path, times: int) -> None:
    """Of each attempt after the first, at MLflow and W&B, why it began and from where."""
    from mlflow import MlflowClient

    tags = run_of(MlflowClient(f"sqlite:///{run_dir.parent}/mlflow.db"), run_dir).data.tags
    (sent,) = offline_runs(run_dir)
    for text in (tags["rayseg.restarts"], sent.summary["rayseg/restarts"]):
        lines = text.splitlines()
        assert len(lines) == len(read_run(run_dir)["attempts"]) - 1 == 2 * times
        assert sum("died" in line for line in lines) == sum("resumed" in line for line in lines) == times
    for name in ("lost_iters", "idle_s"):
        assert float(tags[f"rayseg.{name}"]) == pytest.approx(sent.summary[f"rayseg/{name}"])
    assert sent.summary["rayseg/idle_s"] > 0


def known(run_dir: Path) -> list[tuple[str, int]]:
    """What each line is about; a validation's may follow the training's at once."""
    return [(line["mode"], line["iter"]) for line in numbers(run_dir)]


def assert_equal_weights(*runs: RunResult) -> None:
    ends = [CheckpointStore(run.run_dir / "checkpoints").load("last").path for run in runs]
    one, other = (load_file(f"{end}/model.safetensors") for end in ends)
    assert set(one) == set(other)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_server_that_freezes_and_dies_touches_nothing(
    workspace: Workspace, undisturbed: RunResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frozen when 2 iterations are known, killed when 8 are, started when the run has ended; then ``rayseg sync``."""
    monkeypatch.setattr(recorder, "FLUSH_TIMEOUT_S", 3.0)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    run_dir = workspace.path / "outage"
    marks = {at: tmp_path / f"{at}" for at in (3, 9)}
    hooks = [{"type": "user_code.Wait", "at": at, "done": str(mark)} for at, mark in marks.items()]

    with Server(tmp_path / "server") as server:

        def trouble() -> None:
            wait_until(lambda: ("train", 2) in known(run_dir), 120, "iteration 2")
            server.freeze()
            marks[3].touch()
            wait_until(lambda: ("train", 8) in known(run_dir), 120, "iteration 8")
            server.kill()
            marks[9].touch()

        troublemaker = threading.Thread(target=trouble)
        troublemaker.start()
        mlflow = {"trackers": {"mlflow": {"type": "MLflow", "tracking_uri": server.uri}}}
        run = workspace.train("outage", *hooks, overrides=mlflow)
        troublemaker.join()
        assert run.status == "finished"
        assert_equal_weights(run, undisturbed)
        assert apart_from_times(numbers(run_dir)) == apart_from_times(numbers(undisturbed.run_dir))
        log = (run_dir / "log.txt").read_text()
        assert log.count("training goes on") == 1, "an outage is told once"
        assert "--to mlflow" in log

        server.start()
        from mlflow import MlflowClient

        sync(run_dir, "mlflow")
        client = MlflowClient(server.uri)
        assert points(client, run_of(client, run_dir).info.run_id) == wanted(run_dir)
        assert run_of(client, run_dir).info.status == "FINISHED"
