"""MLflow: a real server gets every number once, whatever becomes of the server or of the run."""

from __future__ import annotations

import json
import re
import shutil
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from rayseg.core.errors import ConfigError
from rayseg.tracking import recorder as recorder_module
from rayseg.tracking.mlflow import MLflow
from tests.integration.tracking.mlflow_server import (
    Server,
    begun,
    let_go,
    points,
    record,
    run_of,
    state,
    sync,
    wanted,
)  # fmt: skip
from tests.processes import wait_until
from tests.unit.tracking.runs import attempt, train

SECRET = "s3cretPassw0rd"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory):
    with Server(tmp_path_factory.mktemp("mlflow")) as running:
        yield running


@pytest.fixture
def client(server: Server) -> MlflowClient:
    return MlflowClient(server.uri)


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A run directory of an experiment that no other test has."""
    run_dir = tmp_path / tmp_path.name / "run"
    run_dir.mkdir(parents=True)
    (run_dir / "config.py").write_text("train_cfg = dict(max_iters=300)\n")
    return run_dir


def cursor(run_dir: Path) -> dict[str, int]:
    """What has been noted as arrived."""
    found: dict[str, int] = {}
    for path in (run_dir / "trackers").glob("*.json"):
        found |= json.loads(path.read_text())["cursor"]
    return found


def test_ten_thousand_points_arrive_once_and_sending_again_changes_nothing(
    server: Server, client: MlflowClient, run_dir: Path
):
    recorder = begun(run_dir, MLflow(server.uri))
    for at in range(1, 3401):
        recorder.record(train(at, 1e9 + at / 7, lr=0.1 / 3 * at))
    recorder.finish("finished")
    before = state(client, run_dir)
    assert len(before["points"]) > 10_000
    assert before["points"] == wanted(run_dir)
    assert before["info"]["status"] == "FINISHED"
    assert before["info"]["end_time"] == int(1000 * json.loads((run_dir / "run.json").read_text())["finished"])
    sync(run_dir, MLflow(server.uri))
    assert state(client, run_dir) == before
    shutil.rmtree(run_dir / "trackers")  # nothing is known of what has arrived
    sync(run_dir, MLflow(server.uri))
    assert state(client, run_dir) == before


PICTURES = "confusion/val/iter_{0}:visuals/val/iter_{0}/tile 1"


def test_what_a_run_has(server: Server, client: MlflowClient, run_dir: Path):
    recorder = begun(run_dir, MLflow(server.uri, tags={"team": "maps"}))
    record(recorder, 1, 40)
    recorder.finish("finished")
    found = state(client, run_dir)
    assert found["points"] == wanted(run_dir)
    assert found["params"] == {"train_cfg.max_iters": "300"}
    assert found["tags"]["team"] == "maps"
    assert found["tags"]["seed"] == "7"
    facts = json.loads((run_dir / "run.json").read_text())
    assert found["info"]["start_time"] == int(1000 * facts["started"])
    assert facts["tracking"]["mlflow_run_id"] == found["info"]["run_id"]
    pictures = [
        f"{name}.png" for at in (20, 40) for name in (f"confusion/val/iter_{at}", f"visuals/val/iter_{at}/tile 1")
    ]
    sent = {"classes/val.json", "config.py", "log.txt", "run.json", *pictures}
    assert set(found["artifacts"]) - {"code/git.diff"} == sent
    assert json.loads(found["tags"]["mlflow.loggedArtifacts"]) == [{"path": "classes/val.json", "type": "table"}]
    table = json.loads(Path(client.download_artifacts(found["info"]["run_id"], "classes/val.json")).read_text())
    assert table["columns"] == ["iter", "class", "IoU"]
    assert table["data"] == [[40, "land", 0.1 + 40e-9], [40, "water", None]]


@pytest.mark.parametrize(
    ("status", "error", "expected"),
    [("finished", None, "FINISHED"), ("failed", "OSError: no disk\n  more", "FAILED"), ("interrupted", None, "KILLED")],
)
def test_statuses(server: Server, client: MlflowClient, run_dir: Path, status: str, error: str | None, expected: str):
    recorder = begun(run_dir, MLflow(server.uri))
    record(recorder, 1, 3)
    recorder.finish(status, error)
    run = run_of(client, run_dir)
    assert run.info.status == expected
    assert run.data.tags.get("rayseg.error") == error
    assert run.data.tags.get("mlflow.note.content") == error
    again = begun(run_dir, MLflow(server.uri), number=2)
    wait_until(lambda: run_of(client, run_dir).info.status == "RUNNING", 20, "the resumed run is running")
    again.finish("finished")
    run = run_of(client, run_dir)
    assert run.info.status == "FINISHED"
    assert "rayseg.error" not in run.data.tags
    assert "mlflow.note.content" not in run.data.tags


def test_a_killed_run_goes_on_in_the_same_run(server: Server, client: MlflowClient, run_dir: Path):
    killed = MLflow(server.uri)
    recorder = begun(run_dir, killed)
    record(recorder, 1, 30)
    wait_until(lambda: cursor(run_dir) == {"train": 30, "val": 20}, 30, "30 iterations have arrived")
    recorder._handler.detach()
    let_go(killed)
    sent = points(client, run_of(client, run_dir).info.run_id)
    (run_dir / "config.py").write_text("train_cfg = dict(max_iters=400)\n")
    for path in (run_dir / "trackers").iterdir():  # killed before it was noted what had arrived
        path.unlink()

    again = begun(run_dir, MLflow(server.uri), number=2, start_from="iter_20")
    again.restore(20, "train", [])
    record(again, 21, 40)
    again.finish("finished")
    run = run_of(client, run_dir)
    found = points(client, run.info.run_id)
    assert set(sent) <= set(found), "what was there stays"
    assert [p[:2] for p in found] == [p[:2] for p in wanted(run_dir)], "each iteration once"
    assert run.data.tags["rayseg.changed_params"] == "train_cfg.max_iters: 300 -> 400"
    assert run.data.params == {"train_cfg.max_iters": "300"}
    assert run.data.tags["attempt"] == "2"


def test_a_server_that_hangs_and_dies_holds_up_nobody_and_gets_all_later(
    tmp_path: Path, run_dir: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    monkeypatch.setattr(recorder_module, "FLUSH_TIMEOUT_S", 3.0)
    with Server(tmp_path / "server") as server:
        tracker = MLflow(server.uri)
        recorder = begun(run_dir, tracker)
        record(recorder, 1, 50)
        wait_until(lambda: cursor(run_dir) == {"train": 50, "val": 40}, 30, "50 iterations have arrived")
        server.freeze()
        longest = 0.0
        for at in range(51, 451):
            began = time.monotonic()
            recorder.record(train(at, 1e9 + at, lr=0.1))
            longest = max(longest, time.monotonic() - began)
        assert longest < 1.0, "a record waits for no server"
        began = time.monotonic()
        recorder.finish("finished")
        assert time.monotonic() - began < 6.0
        log = (run_dir / "log.txt").read_text()
        assert re.search(r"400 lines of metrics.jsonl and \d pictures were not delivered", log)
        assert f"rayseg sync {run_dir} --to mlflow" in log
        server.kill()
        let_go(tracker)
        server.start()
        sync(run_dir, MLflow(server.uri))
        found = state(MlflowClient(server.uri), run_dir)
        assert found["points"] == wanted(run_dir)
        assert found["info"]["status"] == "FINISHED"
        sync(run_dir, MLflow(server.uri))
        assert state(MlflowClient(server.uri), run_dir) == found


def test_a_server_that_hangs_for_a_while(server: Server, client: MlflowClient, run_dir: Path, monkeypatch):
    """It does later what it was asked before: the run is not made twice, its numbers neither."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    tracker = MLflow(server.uri)
    server.freeze()
    try:
        recorder = begun(run_dir, tracker)
        record(recorder, 1, 30)
        wait_until(lambda: "training goes on" in (run_dir / "log.txt").read_text(), 30, "the outage is told")
    finally:
        server.thaw()
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    wait_until(lambda: cursor(run_dir).get("train") == 30, 30, "all has arrived")
    recorder.finish("finished")
    log = (run_dir / "log.txt").read_text()
    assert log.count("training goes on") == 1
    assert log.count("answers again") == 1
    assert state(client, run_dir)["points"] == wanted(run_dir)


def test_a_run_that_a_hung_server_made_twice_is_one(server: Server, client: MlflowClient, run_dir: Path):
    recorder = begun(run_dir)
    record(recorder, 1, 3)
    recorder.finish("finished")
    experiment = client.create_experiment(run_dir.parent.name)
    for _ in range(3):
        client.create_run(experiment, tags={"rayseg.uid": recorder.facts["uid"]})
    sync(run_dir, MLflow(server.uri))
    assert state(client, run_dir)["points"] == wanted(run_dir)


def test_a_second_server_gets_all_and_the_first_keeps_all(
    server: Server, client: MlflowClient, tmp_path: Path, run_dir: Path
):
    recorder = begun(run_dir, MLflow(server.uri))
    record(recorder, 1, 20)
    recorder.finish("finished")
    before = state(client, run_dir)
    second = f"sqlite:///{tmp_path}/second.db"
    sync(run_dir, MLflow(second))
    found = state(MlflowClient(second), run_dir)
    assert found["points"] == wanted(run_dir)
    assert found["artifacts"].keys() == before["artifacts"].keys()
    assert state(client, run_dir) == before
    assert len(list((run_dir / "trackers").iterdir())) == 2


def test_a_deleted_run_is_made_anew_and_a_deleted_experiment_is_told(
    server: Server, client: MlflowClient, run_dir: Path
):
    recorder = begun(run_dir, MLflow(server.uri))
    record(recorder, 1, 20)
    recorder.finish("finished")
    first = run_of(client, run_dir)
    client.delete_run(first.info.run_id)
    sync(run_dir, MLflow(server.uri))
    found = state(client, run_dir)
    assert found["info"]["run_id"] != first.info.run_id
    assert found["points"] == wanted(run_dir)
    client.delete_experiment(first.info.experiment_id)
    with pytest.raises(ConfigError, match=rf"the experiment '{run_dir.parent.name}' was deleted there"):
        sync(run_dir, MLflow(server.uri))


def test_a_password_in_the_uri_is_nowhere(server: Server, client: MlflowClient, run_dir: Path, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t0kenOfTheServer")
    monkeypatch.setattr(recorder_module, "FLUSH_TIMEOUT_S", 3.0)
    uri = server.uri.replace("http://", f"http://ana:{SECRET}@")
    away = MLflow(f"http://ana:{SECRET}@127.0.0.1:9", experiment_name="away")
    recorder = begun(run_dir, MLflow(uri, tags={"from": uri}), away)
    recorder.record(attempt(1))
    record(recorder, 1, 20)
    wait_until(lambda: "http://ana:***@127.0.0.1:9" in (run_dir / "log.txt").read_text(), 30, "one is away")
    recorder.finish("failed", f"cannot reach {uri}")
    let_go(away)
    assert state(client, run_dir)["points"] == wanted(run_dir)
    assert len(list((run_dir / "trackers").iterdir())) == 1
    files = [path for top in (run_dir, server.root) for path in top.rglob("*") if path.is_file()]
    assert len(files) > 10
    for path in files:
        data = path.read_bytes()
        assert SECRET.encode() not in data, path
        assert b"t0kenOfTheServer" not in data, path
