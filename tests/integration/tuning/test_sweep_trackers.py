"""A sweep at its trackers: one run above, its trials below, also one that is killed, whatever else does not answer."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from rayseg.tracking.tensorboard import HPARAMS
from rayseg.tuning import sync_sweep
from tests.integration.tracking.mlflow_server import Server, artifacts, free_port, points, run_of, state, wanted
from tests.integration.tracking.wandb_files import OfflineRun, offline_runs
from tests.processes import rayseg

pytestmark = pytest.mark.timeout(400)
LRS = (0.1, 0.05, 0.01)
TRIALS = ("0000", "0001", "0002")
KILLED = "0002"
CONFIG = """
from rayseg.search import choice

model = dict(type="Segmentor", net=dict(type="tests.toys.ToyNet", width=4), loss=dict(type="CrossEntropyLoss"))
train_dataloader = dict(batch_size=4, dataset=dict(type="tests.toys.ToyDataset"))
val_dataloader = dict(batch_size=4, dataset=dict(type="tests.toys.ToyDataset", first=100, augment=False))
train_cfg = dict(type="IterBasedTrainLoop", max_iters=6, val_interval=3)
optim_wrapper = choice(
    sgd=dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=choice({lrs}), momentum=0.9)),
)
default_hooks = dict(checkpoint=None, visualization=None, logger=dict(interval=1))
custom_hooks = [dict(type="deadly.KilledOnceKnown", lr={killed_lr})]
env_cfg = dict(control_interval=1)
experiment_name = "toys"
trackers = dict(
    away=dict(type="MLflow", tracking_uri="http://127.0.0.1:{port}"),
    mlflow=dict(type="MLflow"),
    wandb=dict(type="WandB"),
    tensorboard=dict(type="TensorBoard", log_dir={log_dir!r}),
    report=None,
)
tune = dict(metric="mIoU", searcher=dict(type="Grid"), max_failures=0)
"""
DEADLY = """
import os, signal, time
from rayseg.engine.hook import Hook

class KilledOnceKnown(Hook):
    def __init__(self, lr):
        self.lr = lr

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter + 1 == 5 and runner.optim_wrapper.get_lr()["lr"][0] == self.lr:
            deadline = time.monotonic() + 120
            while time.monotonic() < deadline and not self.is_known(runner):
                time.sleep(0.05)
            os.kill(os.getpid(), signal.SIGKILL)

    def is_known(self, runner):
        notes = [path.read_text() for path in (runner.work_dir / "trackers").glob("mlflow-*.json")]
        return any('"run_id": "' in note for note in notes)
"""


@dataclass(frozen=True)
class Sweep:
    """A sweep that has ended; what it was asked to print and what it printed besides."""

    path: Path
    answer: dict[str, Any]
    err: str

    @property
    def facts(self) -> dict[str, Any]:
        return json.loads((self.path / "sweep.json").read_text())

    def trial(self, name: str) -> Path:
        return self.path / "trials" / name

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(f"sqlite:///{self.path.parent}/mlflow.db")


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sweep]:
    """Three trials of a grid, the last of which is killed once MLflow knows it; a second server is always away."""
    path = tmp_path_factory.mktemp("user")
    log_dir = str(path / "events")
    (path / "toys.py").write_text(
        CONFIG.format(lrs=list(LRS), killed_lr=LRS[-1], port=free_port(), log_dir=log_dir).lstrip()
    )
    (path / "deadly.py").write_text(DEADLY)
    named = ("MLFLOW", "WANDB", "DO_NOT", "RAY_")
    before = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith(named)}
    environment = {"WANDB_MODE": "offline", "HOME": str(path / "home"), "OMP_NUM_THREADS": "1"}
    try:
        with rayseg("tune", "toys.py", "--work-dir", "runs/first", "--json", cwd=path, environment=environment) as run:
            code, out, err = run.finish(300)
        assert code == 0, err
        yield Sweep(path / "runs" / "first", json.loads(out), err)
    finally:
        os.environ.update(before)


def children(client: MlflowClient, sweep: Sweep) -> dict[str, Any]:
    return {name: state(client, sweep.trial(name)) for name in TRIALS}


def test_mlflow_has_the_trials_below_the_sweep(sweep: Sweep):
    client = sweep.client
    found = children(client, sweep)
    parent = state(client, sweep.path)
    assert parent["info"]["run_name"] == "first"
    assert parent["info"]["status"] == "FINISHED"
    assert parent["tags"]["rayseg.best_trial"] == sweep.answer["best"]["trial"]
    assert parent["params"]["optim_wrapper"].startswith("choice(sgd=")
    assert {"config.py", "sweep.json", "trials.csv", "best_config.py"} <= set(parent["artifacts"])
    history = client.get_metric_history(run_of(client, sweep.path).info.run_id, "best/mIoU")
    assert [metric.step for metric in history] == sorted({metric.step for metric in history})
    assert history[-1].value == sweep.answer["best"]["value"]
    for name, lr in zip(TRIALS, LRS, strict=True):
        assert found[name]["tags"]["mlflow.parentRunId"] == parent["info"]["run_id"]
        assert found[name]["info"]["run_name"] == f"first/{name}"
        drawn = {key: value for key, value in found[name]["params"].items() if key.startswith("sampled/")}
        assert drawn == {"sampled/optim_wrapper": "sgd", "sampled/optim_wrapper.sgd.optimizer.lr": str(lr)}
        assert found[name]["points"] == wanted(sweep.trial(name))
    (experiment,) = [found for found in client.search_experiments() if found.name != "Default"]
    assert experiment.name == "toys"
    assert len(client.search_runs([experiment.experiment_id])) == 4, "no run is there twice"
    assert not list(sweep.path.glob("trials/mlflow*"))


def test_a_killed_trial_has_failed_everywhere(sweep: Sweep):
    found = children(sweep.client, sweep)
    assert [found[name]["info"]["status"] for name in TRIALS] == ["FINISHED", "FINISHED", "FAILED"]
    reason = json.loads((sweep.trial(KILLED) / "run.json").read_text())["error"]
    assert found[KILLED]["tags"]["rayseg.error"] == reason != ""
    assert [wandb_run(sweep, name).exits for name in TRIALS] == [[0], [0], [1]]
    assert f"failed: {reason}" in events_of(sweep, KILLED).Tensors("status")[-1].tensor_proto.string_val[0].decode()


def test_wandb_has_one_group(sweep: Sweep):
    for name, lr in zip(TRIALS, LRS, strict=True):
        run = wandb_run(sweep, name)
        assert (run.run.run_group, run.run.job_type) == ("first", "trial")
        assert (run.run.project, run.run.display_name) == ("toys", f"first/{name}")
        assert run.config["sampled"] == {"optim_wrapper": "sgd", "optim_wrapper[sgd].optimizer.lr": lr}


def test_tensorboard_has_a_folder_for_each_trial(sweep: Sweep):
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    for name, lr in zip(TRIALS, LRS, strict=True):
        losses = {event.step for event in events_of(sweep, name).Scalars("train/loss")}
        assert losses == {step for key, step, _, _ in wanted(sweep.trial(name)) if key == "train/loss"}
        shown = HParamsPluginData.FromString(events_of(sweep, name).SummaryMetadata(HPARAMS).plugin_data.content)
        assert shown.session_start_info.hparams["optim_wrapper[sgd].optimizer.lr"].number_value == lr


def test_the_terminal_tells_only_of_the_sweep_and_of_the_server_that_is_away(sweep: Sweep):
    ours = ("MLflow at http://127.0.0.1:", "not all of 3 trials has been sent (http://127.0.0.1:")
    assert len([line for line in sweep.err.splitlines() if line.startswith(ours)]) == 3, sweep.err
    rest = [line for line in sweep.err.splitlines() if not line.startswith(ours)]
    words = ("mlflow", "alembic", "wandb", "tensorboard", "sqlite", "warning", "traceback")
    assert not [line for line in rest if any(word in line.lower() for word in words)], sweep.err
    assert "rayseg sync runs/first --to mlflow" in sweep.err
    assert sweep.facts["warnings"]


def test_syncing_again_changes_nothing(sweep: Sweep, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    client = sweep.client
    for kind in ("mlflow", "wandb", "tensorboard"):  # the warnings of the server that is away came after the rest
        result = sync_sweep(sweep.path, kind)
        assert (result.lines, result.pictures) == (0, 0), kind
    before = [state(client, sweep.path), *children(client, sweep).values()]
    runs = [run.folder for run in offline_runs(sweep.path)]
    for kind in ("mlflow", "wandb", "tensorboard"):
        sync_sweep(sweep.path, kind)
    assert [state(client, sweep.path), *children(client, sweep).values()] == before
    assert [run.folder for run in offline_runs(sweep.path)] == runs


def test_sync_sends_all_to_a_server_also_where_children_came_first(sweep: Sweep, tmp_path: Path):
    from rayseg.orchestration import sync

    with Server(tmp_path / "server") as server:
        to_it = {"trackers.mlflow.tracking_uri": server.uri}
        client = MlflowClient(server.uri)
        early = sync(sweep.trial("0001"), "mlflow", overrides=to_it)
        assert "mlflow.parentRunId" not in state(client, sweep.trial("0001"))["tags"]
        result = sync_sweep(sweep.path, "mlflow", overrides=to_it)
        lines = [wanted(sweep.trial(name)) for name in TRIALS]
        parent = run_of(client, sweep.path)
        ended = [metric.step for metric in client.get_metric_history(parent.info.run_id, "best/trial")]
        assert early.lines + result.lines == len(ended) + sum(
            len({(k.split("/")[0], s) for k, s, *_ in own}) for own in lines
        )
        for name, own in zip(TRIALS, lines, strict=True):
            child = run_of(client, sweep.trial(name))
            assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
            assert points(client, child.info.run_id) == own
        assert "trials.csv" in artifacts(client, parent.info.run_id)
        assert sync_sweep(sweep.path, "mlflow", overrides=to_it).lines == 0


def wandb_run(sweep: Sweep, name: str) -> OfflineRun:
    (run,) = offline_runs(sweep.trial(name))
    return run


def events_of(sweep: Sweep, name: str) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = sweep.path.parents[1] / "events" / "first" / name
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0})
    return events.Reload()
