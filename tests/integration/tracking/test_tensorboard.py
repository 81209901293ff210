"""TensorBoard's files, read with its own reader: every number of metrics.jsonl once, whatever was killed when."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator as PluginAccumulator

from rayseg.core.record import Record
from rayseg.tracking.confusion import write_confusion
from rayseg.tracking.metrics_file import METRICS_FILE
from rayseg.tracking.recorder import RunRecorder
from rayseg.tracking.run_file import read_run
from rayseg.tracking.tail import read_metrics
from rayseg.tracking.tensorboard import TensorBoard
from rayseg.tracking.tracker import RunInfo
from tests.unit.tracking.runs import attempt, train, val

ALL = {"scalars": 0, "images": 0, "tensors": 0}
HEAD = ("mode", "iter", "epoch", "time")


def points(folder: Path) -> dict[str, list[tuple[int, float, float]]]:
    """Tag → (step, wall time, value) as TensorBoard finds them."""
    found = EventAccumulator(str(folder), size_guidance=ALL)
    found.Reload()
    return {
        tag: [(event.step, event.wall_time, event.value) for event in found.Scalars(tag)]
        for tag in found.Tags()["scalars"]
    }


def wanted(run_dir: Path) -> dict[str, list[tuple[int, float, float]]]:
    tags = defaultdict(list)
    for line in read_metrics(run_dir):
        for name, value in line.items():
            if name not in HEAD:
                tags[f"{line['mode']}/{name}"].append((line["iter"], line["time"], value))
    return tags


def check(run_dir: Path, folder: str = "tensorboard") -> None:
    """The files hold the numbers of metrics.jsonl, once each, in order, in single precision."""
    found = points(run_dir / folder)
    expected = wanted(run_dir)
    assert expected
    assert set(found) == set(expected)
    for tag, entries in expected.items():
        assert [entry[:2] for entry in found[tag]] == [entry[:2] for entry in entries], tag
        for (*_, value), (*_, original) in zip(found[tag], entries, strict=True):
            assert value == pytest.approx(original, rel=1e-6, nan_ok=True)


def texts(run_dir: Path, tag: str) -> list[str]:
    found = PluginAccumulator(str(run_dir / "tensorboard"), size_guidance=ALL)
    found.Reload()
    if tag not in found.Tags()["tensors"]:
        return []
    return [event.tensor_proto.string_val[0].decode() for event in found.Tensors(tag)]


def files(run_dir: Path) -> list[Path]:
    return sorted((run_dir / "tensorboard").iterdir())


def info(run_dir: Path, warnings: list[str] | None = None) -> RunInfo:
    warnings = [] if warnings is None else warnings
    return RunInfo(run_dir, lambda: read_run(run_dir), lambda key, value: None, warnings.append)


def sync(run_dir: Path, status: str = "finished", error: str | None = None, **arguments: Any) -> list[str]:
    """What ``rayseg sync`` does; returns the warnings."""
    warnings: list[str] = []
    follower = TensorBoard(**arguments)
    follower.begin(info(run_dir, warnings))
    follower.deliver_ended(status, error)
    return warnings


def record_run(run_dir: Path, *, start: int = 0, to: int = 40, status: str = "finished") -> None:
    """A run, or its next attempt from the checkpoint of iteration ``start``."""
    recorder = RunRecorder(run_dir, [TensorBoard()])
    recorder.start({"name": "demo", "seed": 7})
    recorder.restore(start, "train", [])
    recorder.record(attempt(1, f"iter_{start}" if start else None))
    for at in range(start + 1, to + 1):
        recorder.record(train(at, 1000.0 + at, lr=0.1 / at))
        if at % 10 == 0:
            recorder.record(val(at, 1000.5 + at))
    recorder.finish(status, "out of memory" if status == "failed" else None)


def write_lines(run_dir: Path, iters: int) -> None:
    run_dir.mkdir(parents=True, exist_ok=True)
    with open(run_dir / METRICS_FILE, "w") as file:
        for at in range(1, iters + 1):
            file.write(json.dumps({"mode": "train", "iter": at, "epoch": 0, "time": 1e9 + at, "loss": 1 / at}) + "\n")


def test_a_run_is_read_back_point_by_point(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    record_run(tmp_path)
    check(tmp_path)
    assert points(tmp_path / "tensorboard")["val/IoU.land"][0][0] == 10
    assert math.isnan(points(tmp_path / "tensorboard")["val/IoU.water"][0][2])
    assert capfd.readouterr() == ("", "")
    assert "warning" not in (tmp_path / "log.txt").read_text().lower()


def test_what_the_run_is_and_how_it_ended_are_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SOME_API_KEY", "correct-horse-battery")
    (tmp_path / "config.py").write_text("model = dict(type='Seg', token='correct-horse-battery', depth=3)\n")
    record_run(tmp_path, status="failed")
    (config,) = texts(tmp_path, "config")
    assert "| model.depth | 3 |" in config
    assert "| model.type | Seg |" in config
    assert "| seed | 7 |" in texts(tmp_path, "environment")[0]
    assert texts(tmp_path, "status") == ["failed: out of memory"]
    assert texts(tmp_path, "val/classes")[0].splitlines()[2].startswith("| land | 10.00 % |")
    assert all(b"correct-horse" not in path.read_bytes() for path in files(tmp_path))


def test_ten_thousand_points_once_each_and_sent_twice(tmp_path: Path):
    write_lines(tmp_path, 10_000)
    assert sync(tmp_path) == []
    check(tmp_path)
    before = [(path.name, path.read_bytes()) for path in files(tmp_path)]
    sync(tmp_path)
    assert [(path.name, path.read_bytes()) for path in files(tmp_path)] == before


def test_a_resumed_run_goes_on_in_a_new_file_and_keeps_what_was_sent(tmp_path: Path):
    record_run(tmp_path, to=25, status="interrupted")
    first = points(tmp_path / "tensorboard")
    record_run(tmp_path, start=20, to=40)
    assert len(files(tmp_path)) == 2
    check(tmp_path)
    again = points(tmp_path / "tensorboard")
    assert all(str(again[tag][: len(entries)]) == str(entries) for tag, entries in first.items())
    assert texts(tmp_path, "status") == ["interrupted", "finished"]


KILLED = """
import os, signal, sys
from pathlib import Path
from rayseg.tracking import follower
from rayseg.tracking.delivery import Delivery
from tests.integration.tracking.test_tensorboard import info, TensorBoard

follower.BATCH = 7
lives, save = int(sys.argv[2]), Delivery.save

def killed_instead(self):
    global lives
    if (lives := lives - 1) < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    save(self)

Delivery.save = killed_instead
tracker = TensorBoard()
tracker.begin(info(Path(sys.argv[1])))
tracker.deliver_ended("finished", None)
"""


def test_killed_between_writing_and_noting(tmp_path: Path):
    """Each process writes more, dies before it can say so, and the next one finds it in the files."""
    run_dir = tmp_path / "run"
    write_lines(run_dir, 40)
    for lives in (1, 2, 0, 3):
        command = [sys.executable, "-c", KILLED, str(run_dir), str(lives)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == -9, done.stderr
        assert done.stderr == ""
    held = len(points(run_dir / "tensorboard")["train/loss"])
    noted = max(json.loads(path.read_text())["cursor"]["train"] for path in (run_dir / "trackers").glob("*.json"))
    assert 0 < noted < held < 40
    sync(run_dir)
    check(run_dir)


@pytest.mark.parametrize("lost", [1, 5, 20])
def test_a_torn_last_record_is_written_again(tmp_path: Path, lost: int):
    write_lines(tmp_path, 30)
    sync(tmp_path)
    (path,) = files(tmp_path)
    path.write_bytes(path.read_bytes()[: -200 - lost])  # the status and the last points
    before = len(points(tmp_path / "tensorboard")["train/loss"])
    assert before < 30
    for note in (tmp_path / "trackers").iterdir():
        note.unlink()  # what was noted never gets ahead of the files
    sync(tmp_path)
    assert len(files(tmp_path)) == 2
    check(tmp_path)


def test_files_that_were_deleted_are_made_again(tmp_path: Path):
    record_run(tmp_path)
    for path in files(tmp_path):
        path.unlink()
    sync(tmp_path)
    check(tmp_path)


def test_pictures_are_shown_once_at_their_iteration(tmp_path: Path):
    for at in (10, 20):
        overlay = tmp_path / f"visuals/val/iter_{at}/r04.png"
        overlay.parent.mkdir(parents=True)
        Image.new("RGB", (32, 16), (at, 0, 0)).save(overlay)
        write_confusion(tmp_path, "val", at, ["land", "water"], [[3, 1], [0, 4]])
    record_run(tmp_path)
    for note in (tmp_path / "trackers").iterdir():
        note.unlink()
    sync(tmp_path)
    found = EventAccumulator(str(tmp_path / "tensorboard"), size_guidance=ALL)
    found.Reload()
    assert sorted(found.Tags()["images"]) == ["val/confusion_matrix.png", "val/r04.png"]
    for tag in found.Tags()["images"]:
        assert [image.step for image in found.Images(tag)] == [10, 20]
    first = found.Images("val/r04.png")[0]
    assert (first.width, first.height) == (32, 16)
    assert first.encoded_image_string == (tmp_path / "visuals/val/iter_10/r04.png").read_bytes()


def test_another_directory(tmp_path: Path):
    write_lines(tmp_path / "run", 3)
    sync(tmp_path / "run", log_dir="../elsewhere")
    check(tmp_path / "run", "../elsewhere")
    sync(tmp_path / "run", log_dir=str(tmp_path / "absolute"))
    check(tmp_path / "run", str(tmp_path / "absolute"))


def test_a_directory_that_cannot_be_written_is_told_once_and_the_run_goes_on(tmp_path: Path):
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    (run_dir / "tensorboard").write_text("a file")
    recorder = RunRecorder(run_dir, [tracker := TensorBoard()])
    recorder.start({"name": "demo"})
    recorder.record(Record("scalars", 1, 0, 5.0, mode="train", data={"loss": 1.0}))
    tracker.flush(0.5)
    (run_dir / "tensorboard").unlink()
    recorder.finish("finished")
    log = (run_dir / "log.txt").read_text()
    assert log.count("training goes on") == 1
    assert "cannot be written" in log
    assert "answers again" in log
    check(run_dir)


def test_it_imports_neither_torch_nor_tensorflow(tmp_path: Path):
    write_lines(tmp_path, 3)
    code = (
        "import sys; from pathlib import Path; from tests.integration.tracking.test_tensorboard import sync\n"
        "before = 'torch' in sys.modules; sync(Path(sys.argv[1])); print(before, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("False False\n", "")
