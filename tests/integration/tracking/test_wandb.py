"""W&B offline with the real SDK: what is in its files is what is in the run directory, once."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from rayseg.tracking.confusion import write_confusion
from rayseg.tracking.metrics_file import METRICS_FILE
from rayseg.tracking.recorder import RunRecorder
from rayseg.tracking.run_file import read_run
from rayseg.tracking.tail import read_metrics
from rayseg.tracking.tracker import RunInfo
from rayseg.tracking.wandb import WandB, history_row
from tests.integration.tracking.wandb_files import OfflineRun, offline_runs
from tests.unit.tracking.runs import attempt, event, train, val

UID = "0123456789abcdef"


@pytest.fixture(autouse=True)
def _no_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("NETRC", raising=False)


@pytest.fixture(scope="module", autouse=True)
def _service():
    """The SDK's service process ends with the module."""
    yield
    import wandb

    wandb.teardown()


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return tmp_path / "experiment" / "first"


class Stored:
    """Checkpoints of a run."""

    def names(self, policy: str) -> list[str]:
        return {"none": [], "last": ["iter_40"], "best": ["iter_20"], "all": ["iter_20", "iter_40"]}[policy]

    def fetch(self, name: str, folder: Path) -> None:
        (folder / "model.safetensors").write_text(f"weights of {name}")


def sync(run_dir: Path, status: str = "finished", error: str | None = None, **arguments: Any) -> None:
    """What ``rayseg sync`` does."""
    follower = WandB(**arguments)
    info = RunInfo(run_dir, lambda: read_run(run_dir), lambda *_: None, pytest.fail, checkpoints=Stored())
    follower.begin(info)
    follower.deliver_ended(status, error)


def record_run(
    run_dir: Path, *, start: int = 0, to: int = 40, status: str = "finished", error: str | None = None, **arguments: Any
) -> None:
    """A run, or its next attempt from the checkpoint of iteration ``start``."""
    recorder = RunRecorder(run_dir, [WandB(**arguments)])
    recorder.start({"name": "demo", "seed": 7, "uid": UID})
    recorder.restore(start, "train", [])
    recorder.record(attempt(1, f"iter_{start}" if start else None))
    for at in range(start + 1, to + 1):
        recorder.record(train(at, 1000.0 + at, lr=0.1 / at))
        if at % 10 == 0:
            recorder.record(val(at, 1000.5 + at))
    recorder.record(event("best", to, metric="mIoU", value=0.75, iter=10))
    recorder.finish(status, error)


def line_rows(run: OfflineRun) -> list[dict[str, Any]]:
    """The rows that are lines of metrics.jsonl, without what the SDK adds."""
    rows = [row for row in run.rows if "epoch" in row]
    return [{key: value for key, value in row.items() if key not in ("_step", "_runtime")} for row in rows]


def check(run_dir: Path) -> OfflineRun:
    """There is one offline run, it came to its end, and its history is metrics.jsonl, key by key."""
    (run,) = offline_runs(run_dir)
    expected = [history_row(line) for line in read_metrics(run_dir)]
    assert expected
    rows = line_rows(run)
    assert [(sorted(row), str(sorted(row.items()))) for row in rows] == [
        (sorted(row), str(sorted(row.items()))) for row in map(as_json, expected)
    ]
    assert [row["_step"] for row in run.rows] == list(range(len(run.rows)))
    assert len(run.exits) == 1
    return run


def as_json(row: dict[str, Any]) -> dict[str, Any]:
    """A row as W&B's own JSON gives it back: whole floats are integers there."""
    return {
        key: int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 1e6 else value
        for key, value in row.items()
    }


def below(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_run_is_read_back_key_by_key_and_nothing_is_printed(run_dir: Path, capfd: pytest.CaptureFixture[str]):
    leave, hook, handler = sys.exit, sys.excepthook, signal.getsignal(signal.SIGINT)
    record_run(run_dir)
    run = check(run_dir)
    assert capfd.readouterr() == ("", "")
    assert (sys.exit, sys.excepthook, signal.getsignal(signal.SIGINT)) == (leave, hook, handler)
    assert not [name for name in os.environ if name.startswith("WANDB_")]
    assert run.exits == [0]
    assert run.run.run_id == UID
    assert (run.run.project, run.run.display_name) == ("experiment", "first")
    assert run.steps == {f"{mode}/*": f"{mode}/iter" for mode in ("train", "val", "test")}
    assert math.isnan(next(row for row in run.rows if "val/IoU.water" in row)["val/IoU.water"])
    assert run.summary["rayseg/status"] == "finished"
    assert run.summary["best/mIoU"] == 0.75
    assert read_run(run_dir)["tracking"] == {"wandb_run_id": UID}
    assert "WARNING" not in (run_dir / "log.txt").read_text()


def test_config_environment_files_pictures_and_tables(run_dir: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SOME_API_KEY", "correct-horse-battery")
    run_dir.mkdir(parents=True)
    config = "model = dict(type='Seg', token='correct-horse-battery', sizes=(3, 4), inner=dict(rate=0.5))\n"
    (run_dir / "config.py").write_text(config)
    overlay = run_dir / "visuals/val/iter_10/r04.png"
    overlay.parent.mkdir(parents=True)
    Image.new("RGB", (32, 16), (9, 0, 0)).save(overlay)
    write_confusion(run_dir, "val", 10, ["land", "water"], [[3, 1], [0, 4]])
    record_run(run_dir, project="maps", entity="team", group="g", name="shown", tags=["a", "b"], notes="why")
    run = check(run_dir)
    assert run.config["model"] == {"type": "Seg", "token": "***", "sizes": [3, 4], "inner": {"rate": 0.5}}
    assert run.config["environment"]["seed"] == 7
    assert run.config["environment"]["versions"]["python"]
    assert (run.run.project, run.run.entity, run.run.run_group) == ("maps", "team", "g")
    assert (run.run.display_name, list(run.run.tags), run.run.notes) == ("shown", ["a", "b"], "why")
    shown = {key: row for row in run.rows for key in row if key.endswith(".png")}
    assert sorted(shown) == ["val/confusion_matrix.png", "val/r04.png"]
    assert shown["val/r04.png"]["val/iter"] == 10
    stored = run.folder / "files" / shown["val/r04.png"]["val/r04.png"]["path"]
    with Image.open(stored) as image:
        assert image.size == (32, 16)
    (table,) = [row for row in run.rows if "val/classes" in row]
    assert table["val/iter"] == 40
    path = run.folder / "files" / table["val/classes"]["path"]
    content = json.loads(path.read_text())
    assert content["columns"] == ["class", "IoU (%)"]
    assert content["data"][0][0] == "land"
    for name in ("config.py", "run.json", "log.txt"):
        assert name in run.files
        assert (run.folder / "files" / name).is_file()
    held = below(run_dir / "wandb")
    assert [name for name, data in held.items() if b"correct-horse" in data and not name.endswith("config.py")] == []


@pytest.mark.parametrize(
    ("status", "code"), [("finished", 0), ("failed", 1), ("interrupted", 255)], ids=["finished", "failed", "stopped"]
)
def test_the_end_is_told(run_dir: Path, status: str, code: int):
    record_run(run_dir, to=2, status=status, error="out of memory" if status == "failed" else None)
    run = check(run_dir)
    assert run.exits == [code]
    assert run.summary["rayseg/status"] == status
    assert run.summary["rayseg/error"] == ("out of memory" if status == "failed" else "")


def test_a_run_without_numbers_is_there_too(run_dir: Path):
    recorder = RunRecorder(run_dir, [WandB()])
    recorder.start({"name": "demo", "uid": UID})
    recorder.finish("failed", "no data")
    (run,) = offline_runs(run_dir)
    assert (run.exits, run.summary["rayseg/error"]) == ([1], "no data")


def test_a_resumed_run_is_one_run_with_all_points(run_dir: Path):
    record_run(run_dir, to=25, status="interrupted")
    (first,) = offline_runs(run_dir)
    record_run(run_dir, start=20, to=40)
    run = check(run_dir)
    assert run.folder != first.folder
    assert run.run.run_id == UID
    assert run.exits == [0]


def test_syncing_twice_changes_nothing(run_dir: Path):
    record_run(run_dir)
    sync(run_dir)
    before = below(run_dir)
    sync(run_dir)
    assert below(run_dir) == before
    with open(run_dir / METRICS_FILE, "a") as file:
        file.write(json.dumps({"mode": "train", "iter": 41, "epoch": 4, "time": 1.5, "loss": 0.5}) + "\n")
    sync(run_dir)
    assert line_rows(check(run_dir))[-1]["train/iter"] == 41


KILLED = """
import os, signal, sys
from pathlib import Path
from rayseg.tracking import follower, wandb
from tests.integration.tracking.test_wandb import sync

follower.BATCH = 7
where = sys.argv[2]
kill = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
if where == "sending":
    calls = iter(range(3))
    send = wandb.WandB.send_lines
    wandb.WandB.send_lines = lambda self, lines: send(self, lines) if next(calls, None) is not None else kill()
elif where == "closing":
    wandb.WandB._send_tables = kill
elif where == "replacing":
    wandb.remove_others = kill
else:
    wandb.Delivery.save = kill
sync(Path(sys.argv[1]))
"""


def test_killed_anywhere_the_next_one_makes_it_whole(run_dir: Path):
    record_run(run_dir, to=25, status="interrupted")
    record_lines_only(run_dir)
    for where in ("sending", "closing", "replacing", "noting"):
        command = [sys.executable, "-c", KILLED, str(run_dir), where]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (-9, ""), where
    assert list(run_dir.glob("wandb/offline-run-*"))
    sync(run_dir)
    run = check(run_dir)
    assert line_rows(run)[-1]["train/iter"] == 40


def record_lines_only(run_dir: Path) -> None:
    recorder = RunRecorder(run_dir)
    recorder.start({"name": "demo"})
    for at in range(26, 41):
        recorder.record(train(at, 1000.0 + at))
    recorder.finish("finished")


def test_checkpoints_are_artifacts_that_lie_with_the_run(run_dir: Path, tmp_path: Path):
    record_run(run_dir, to=2)
    sync(run_dir, checkpoints="all", project="other")
    run = check(run_dir)
    models = {alias: paths for kind, aliases, paths in run.artifacts if kind == "model" for alias in aliases}
    assert sorted(models) == ["iter_20", "iter_40", "latest"]
    assert models["iter_20"][0].read_text() == "weights of iter_20"
    for _, _, paths in run.artifacts:
        assert all(path.is_relative_to(run.folder) for path in paths)
    assert not (tmp_path / "home").exists()


def test_ten_thousand_lines(run_dir: Path):
    run_dir.mkdir(parents=True)
    with open(run_dir / METRICS_FILE, "w") as file:
        for at in range(1, 10_001):
            file.write(
                json.dumps({"mode": "train", "iter": at, "epoch": 0, "time": 1e9 + at / 8, "loss": 1 / at}) + "\n"
            )
    sync(run_dir)
    check(run_dir)


def test_two_runs_in_one_process_and_another_directory(run_dir: Path, tmp_path: Path):
    first = RunRecorder(run_dir, [WandB()])
    second = RunRecorder(run_dir.with_name("second"), [WandB(dir="../kept")])
    for recorder in (first, second):
        recorder.start({"name": "demo"})
    for at in range(1, 4):
        first.record(train(at, 5.0))
        second.record(train(at, 6.0))
    for recorder in (second, first):
        recorder.finish("finished")
    check(run_dir)
    (run,) = offline_runs(tmp_path / "experiment" / "kept")
    assert len(line_rows(run)) == 3


def test_disabled_does_nothing(run_dir: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    record_run(run_dir, to=3)
    assert not (run_dir / "wandb").exists()
    assert not (run_dir / "trackers").exists()
    assert "not delivered" not in (run_dir / "log.txt").read_text()


ONLINE = """
import sys
from pathlib import Path
from rayseg.tracking import recorder, wandb_sdk
from rayseg.tracking.console import Console
from tests.integration.tracking.test_wandb import record_run, WandB

recorder.FLUSH_TIMEOUT_S = 5.0
wandb_sdk.INIT_TIMEOUT_S = float(sys.argv[2])
record_run(Path(sys.argv[1]), to=5)
"""


@pytest.mark.parametrize("init_timeout_s", [2, 12], ids=["gives up", "still waiting at the end"])
def test_a_server_that_is_away_holds_nothing_up_and_is_told_once(run_dir: Path, unused_port: int, init_timeout_s: int):
    key = "f0e1d2c3b4" * 4
    environment = {**os.environ, "WANDB_BASE_URL": f"http://127.0.0.1:{unused_port}", "WANDB_API_KEY": key}
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", ONLINE, str(run_dir), str(init_timeout_s)],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        timeout=60,
    )
    assert time.monotonic() - began < 40
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    log = (run_dir / "log.txt").read_text()
    assert log.count("training goes on") == (1 if init_timeout_s == 2 else 0)
    assert log.count("5 lines of metrics.jsonl and 0 pictures were not delivered") == 1
    assert "--to wandb" in log
    if init_timeout_s == 2:
        assert not list(run_dir.glob("wandb/run-*")), "each try would leave a directory"
    assert [name for name, data in below(run_dir).items() if key.encode() in data] == []


@pytest.fixture
def unused_port() -> int:
    import socket

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])
