"""A real ``mlflow server`` over SQLite on a loopback port, which can be frozen, killed and started again; and what it
has got of a run, beside what it should have got.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from rayseg.tracking.confusion import write_confusion
from rayseg.tracking.follower import Follower
from rayseg.tracking.recorder import RunRecorder
from rayseg.tracking.run_file import read_run
from rayseg.tracking.tracker import RunInfo, Tracker
from tests.processes import wait_until
from tests.unit.tracking.runs import attempt, train, val

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


def free_port() -> int:
    """A port of the loopback interface that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """The server of a directory, with a process group of its own; a context that leaves no process behind.

    Args:
        root: holds the database, the artifacts and what the server prints.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        """The tracking URI; the same after a restart."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.root.mkdir(parents=True, exist_ok=True)
        artifacts = (self.root / "artifacts").as_uri()
        options = ["--backend-store-uri", f"sqlite:///{self.root}/server.db", "--artifacts-destination", artifacts]
        address = ["--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"]
        environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        with (self.root / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mlflow", "server", *options, *address],
                cwd=self.root,
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_until(self._answers, 90, f"the server answers: {(self.root / 'server.log').read_text()}")

    def freeze(self) -> None:
        """It keeps its connections and answers nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on, with what has been asked in between."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """kill -9 of all its processes."""
        if self.process is not None:
            self._signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()

    def _signal(self, number: int) -> None:
        assert self.process is not None
        os.killpg(self.process.pid, number)

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.root / "server.log").read_text()
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=2) as answer:
                return answer.status == 200
        except OSError:
            return False


Points = list[tuple[str, int, int, str]]


def wanted(run_dir: Path) -> Points:
    """Every number of ``metrics.jsonl``, read without rayseg's code: name, iteration, milliseconds, value."""
    found = []
    for line in (run_dir / "metrics.jsonl").read_text().splitlines():
        head, numbers = {}, json.loads(line)
        for name in ("mode", "iter", "time"):
            head[name] = numbers.pop(name)
        for name, value in numbers.items():
            number = repr(math.nan if value is None else float(value))
            found.append((f"{head['mode']}/{name}", head["iter"], int(1000 * head["time"]), number))
    return sorted(found)


def points(client: MlflowClient, run_id: str) -> Points:
    """Every number that MLflow has of a run."""
    histories = (client.get_metric_history(run_id, key) for key in client.get_run(run_id).data.metrics)
    return sorted((m.key, m.step, m.timestamp, repr(float(m.value))) for history in histories for m in history)


def artifacts(client: MlflowClient, run_id: str, folder: str | None = None) -> dict[str, int]:
    """Path → size of every artifact of a run."""
    found: dict[str, int] = {}
    for entry in client.list_artifacts(run_id, folder):
        found |= artifacts(client, run_id, entry.path) if entry.is_dir else {entry.path: entry.file_size}
    return found


def run_of(client: MlflowClient, run_dir: Path) -> Run:
    """The one run of a run's or sweep's uid, in its experiment or one named after the directory's parent."""
    (file,) = (path for name in ("run.json", "sweep.json") if (path := run_dir / name).exists())
    facts = json.loads(file.read_text())
    experiment = client.get_experiment_by_name(facts.get("experiment") or run_dir.parent.name)
    runs = client.search_runs([experiment.experiment_id], f"tags.`rayseg.uid` = '{facts['uid']}'")
    assert len(runs) == 1
    return runs[0]


def state(client: MlflowClient, run_dir: Path) -> dict[str, Any]:
    """All that MLflow tells of a run."""
    run = run_of(client, run_dir)
    run_id = run.info.run_id
    return {
        "info": dict(run.info),
        "tags": run.data.tags,
        "params": run.data.params,
        "points": points(client, run_id),
        "artifacts": artifacts(client, run_id),
    }


def record(recorder: RunRecorder, first: int, last: int, **data: float) -> None:
    """Numbers of iterations; a validation with a picture and a confusion matrix at every 20th."""
    for at in range(first, last + 1):
        recorder.record(train(at, 1e9 + at, lr=0.1, **data))
        if at % 20 == 0:
            picture(recorder.run_dir, at)
            write_confusion(recorder.run_dir, "val", at, ["land", "water"], [[5, 1], [2, at]])
            recorder.record(val(at, 1e9 + at + 0.5))


def picture(run_dir: Path, at: int) -> None:
    """An overlay as the visualization hook writes it."""
    path = run_dir / "visuals" / "val" / f"iter_{at}" / "tile 1.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (64, 48), (at % 256, 80, 0)).save(path)


def begun(run_dir: Path, *trackers: Tracker, number: int = 1, **data: Any) -> RunRecorder:
    """A recorder of a run that has begun or goes on."""
    recorder = RunRecorder(run_dir, trackers)
    uid = hashlib.sha256(str(run_dir).encode()).hexdigest()
    recorder.start({"name": "demo", "uid": uid})
    recorder.record(attempt(number, **data))
    return recorder


def sync(run_dir: Path, tracker: Follower, status: str = "finished", error: str | None = None) -> Follower:
    """Send a run that has ended, as ``rayseg sync`` does."""
    warnings: list[str] = []
    tracker.begin(RunInfo(run_dir, lambda: read_run(run_dir), lambda key, value: None, warnings.append))
    tracker.deliver_ended(status, error)
    assert not warnings
    return tracker


def let_go(*trackers: Follower) -> None:
    """End the threads of trackers whose run was killed or given up."""
    for tracker in trackers:
        courier = tracker._courier
        assert courier is not None
        courier.stop()
        courier._thread.join(30)
        assert not courier._thread.is_alive()
