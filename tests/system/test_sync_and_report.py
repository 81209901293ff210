"""Trackers, ``rayseg sync`` and ``rayseg report`` as a user meets them, in this process, without Ray."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from rayseg.tracking import recorder

from tests.integration.tracking.wandb_files import offline_runs  # isort: skip
from tests.system.conftest import Rayseg  # isort: skip
from tests.system.test_verbs import finished  # isort: skip

ALL = (
    "trackers.mlflow=dict(type='MLflow')",
    "trackers.tensorboard=dict(type='TensorBoard')",
    "trackers.wandb=dict(type='WandB', mode='offline')",
)


def contents(directory: Path) -> dict[str, bytes]:
    """Every file but the lock of SQLite's."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_one_run_in_four_places(rayseg: Rayseg, config: Path, tmp_path: Path) -> None:
    answer = rayseg("train", config, *ALL, "--local", "--work-dir", "runs/a")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.splitlines()[-1].endswith("everything is in runs/a")
    for word in ("mlflow", "wandb", "alembic", "WARNING"):
        assert word not in answer.out, "no library speaks"
    run_dir = tmp_path / "runs/a"
    assert (tmp_path / "runs/mlflow.db").is_file(), "beside the runs"
    assert list(run_dir.glob("tensorboard/events.out.tfevents.*"))
    (offline,) = offline_runs(run_dir)
    assert offline.exits == [0]
    facts = json.loads((run_dir / "run.json").read_text())
    assert set(facts["tracking"]) == {"mlflow_run_id", "wandb_run_id"}
    assert facts["data"]["val"]["images"] == 3
    assert facts["hardware"]["cores"] >= 1
    assert facts["config"]["changed"]["trackers.mlflow.type"] == "command line"
    assert sum(facts["times"].values()) > 0
    assert "<html" in (run_dir / "report.html").read_text()


def test_sync_sends_what_is_missing_once(rayseg: Rayseg, config: Path, tmp_path: Path) -> None:
    assert rayseg("train", config, "--local", "--work-dir", "runs/a", "-q").code == 0
    run_dir = tmp_path / "runs/a"
    for to in ("mlflow", "tensorboard", "wandb"):
        options = ["trackers.wandb.mode=offline"] if to == "wandb" else []
        first = finished(rayseg("sync", run_dir, "--to", to, *options, "--json"))
        assert first["lines"] == len((run_dir / "metrics.jsonl").read_text().splitlines())
        assert first["pictures"] > 0
        before = contents(run_dir)
        again = finished(rayseg("sync", run_dir, "--to", to, *options, "--json"))
        assert (again["lines"], again["pictures"]) == (0, 0)
        assert again["run_id"] == first["run_id"]
        assert contents(run_dir) == before, "twice changes nothing"
    elsewhere = f"trackers.mlflow.tracking_uri=sqlite:///{tmp_path}/second.db"
    assert finished(rayseg("sync", run_dir, "--to", "mlflow", elsewhere, "--json"))["lines"] == first["lines"]
    assert "second.db" in rayseg("sync", run_dir, "--to", "mlflow", elsewhere).out


def test_bad_input_of_sync_and_report(rayseg: Rayseg, config: Path, tmp_path: Path) -> None:
    for arguments, error in (
        (("sync", "nowhere", "--to", "mlflow"), "nowhere: no run directory: it has no run.json"),
        (("sync", "."), "Missing option '--to'"),
        (("sync", ".", "--to", "mlflo"), "Invalid value for '--to'"),
        (("report", "nowhere"), "nowhere"),
        (("report",), "Missing argument 'RUN_OR_SWEEP_DIR...'"),
    ):
        answer = rayseg(*arguments)
        assert (answer.code, answer.out) == (2, "")
        assert len(answer.errors) == len(answer.err.splitlines()) == 1
        assert error in answer.errors[0]
    assert rayseg("train", config, "--local", "--work-dir", "a", "-q").code == 0
    answer = rayseg("sync", "a", "--to", "mlflow", "trackers.mlflow.tracking_url=http://x")
    assert (answer.code, len(answer.errors)) == (2, 1)
    assert "did you mean 'tracking_uri'?" in answer.errors[0]


def test_a_damaged_run_is_not_sent_as_another_one(rayseg: Rayseg, config: Path, tmp_path: Path) -> None:
    assert rayseg("train", config, "--local", "--work-dir", "a", "-q").code == 0
    facts = (tmp_path / "a/run.json").read_bytes()
    (tmp_path / "a/run.json").write_bytes(facts[:100])
    answer = rayseg("sync", "a", "--to", "tensorboard")
    assert (answer.code, len(answer.errors)) == (2, 1)
    assert answer.errors[0].startswith("a: run.json is damaged: ")
    assert not (tmp_path / "a/tensorboard").exists()
    (tmp_path / "a/run.json").write_bytes(facts)
    with (tmp_path / "a/metrics.jsonl").open("ab") as numbers:
        numbers.write(b'\x00\xff{]\n{"mode": "train", "iter": 9, "time": "noon", "epoch": 0, "loss": 1.0}\n')
    assert rayseg("sync", "a", "--to", "tensorboard").code == 0
    (tmp_path / "a/log.txt").unlink()
    (tmp_path / "a/log.txt").mkdir()
    answer = rayseg("sync", "a", "--to", "tensorboard")
    assert (answer.code, len(answer.errors)) == (2, 1)
    assert "a: cannot be written, and what has arrived is noted there" in answer.errors[0]


def test_a_server_that_is_away_is_a_failure_on_one_line(
    rayseg: Rayseg, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr(recorder, "FLUSH_TIMEOUT_S", 2.0)
    uri = "trackers.mlflow=dict(type='MLflow', tracking_uri='http://127.0.0.1:9')"
    run = rayseg("train", config, uri, "--local", "--work-dir", "a")
    assert run.code == 0, "a tracker never fails a run"
    said = [line for line in run.out.splitlines() if "WARNING" in line]
    assert len(said) == 2
    assert "training goes on" in said[0]
    assert said[1].endswith("send them with: rayseg sync a --to mlflow")
    answer = rayseg("sync", "a", "--to", "mlflow")
    assert (answer.code, answer.out, len(answer.errors)) == (1, "", 1)
    assert answer.errors[0].startswith("http://127.0.0.1:9, experiment ")


def test_reports(rayseg: Rayseg, config: Path, tmp_path: Path) -> None:
    assert rayseg("train", config, "trackers.report=None", "--local", "--work-dir", "a", "-q").code == 0
    assert not (tmp_path / "a/report.html").exists(), "it was turned off"
    assert finished(rayseg("report", "a", "--json"))["path"] == str(tmp_path / "a/report.html")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    compared = finished(rayseg("report", "a", "b", "--out", "both.html", "--json"))
    assert compared["path"] == str(tmp_path / "both.html")


SECRETS = {
    "WANDB_API_KEY": "0123456789abcdef0123456789abcdef01234567",
    "MLFLOW_TRACKING_PASSWORD": "correct-horse-battery",
    "MY_SERVER": "http://someone:hunter2hunter2@127.0.0.1:9",
}


def test_secrets_are_in_no_file_and_on_no_terminal(
    rayseg: Rayseg, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "someone")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(recorder, "FLUSH_TIMEOUT_S", 2.0)
    trackers = (
        "trackers.mlflow=dict(type='MLflow', tracking_uri='${env:MY_SERVER}')",
        "trackers.tensorboard=dict(type='TensorBoard')",
        "trackers.wandb=dict(type='WandB', mode='offline')",
    )
    run = rayseg("train", config, *trackers, "--local", "--work-dir", "runs/a")
    assert run.code == 0
    assert "MLflow at http://someone:***@127.0.0.1:9" in run.out
    sync = rayseg("sync", "runs/a", "--to", "mlflow")
    assert sync.code == 1
    everything = contents(tmp_path) | {"terminal": (run.out + run.err + sync.out + sync.err).encode()}
    for secret in (*SECRETS.values(), "hunter2hunter2"):
        assert [name for name, data in everything.items() if secret.encode() in data] == []
