"""What goes wrong while a run is recorded: trackers that fail, full disks, a second process."""

from __future__ import annotations

import errno
import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rayseg.core.record import Record
from rayseg.tracking.files import RecordingError
from rayseg.tracking.recorder import RunRecorder
from rayseg.tracking.tracker import RunInfo, Tracker
from tests.unit.tracking.listening import Listener, resume
from tests.unit.tracking.runs import read, train


@pytest.mark.parametrize("stage", ["start", "write", "flush", "finish"])
def test_a_failing_tracker_is_left_out_and_the_run_goes_on(tmp_path: Path, stage: str):
    listener, broken = Listener(), Listener(fail_in=stage)
    recorder = resume(tmp_path, listener, broken)
    recorder.record(train(10))
    recorder.record(train(20))
    recorder.finish("finished")
    assert len(read(tmp_path / "metrics.jsonl")) == 2
    assert [call[0] for call in broken.calls].count(stage) == 1
    warnings = [record for record in listener.records if record.name == "warning"]
    assert len(warnings) == 1
    assert "Listener failed and is left out" in warnings[0].data["message"]
    assert "abcdefgh" not in warnings[0].data["message"]
    assert json.loads((tmp_path / "run.json").read_text())["status"] == "finished"


def test_the_first_tracker_is_finished_last(tmp_path: Path):
    listener = Listener()

    class Late(Tracker):
        def start(self, run: RunInfo) -> None:
            self.run = run

        def finish(self, status: str, error: str | None) -> None:
            self.run.warn("3 lines were not sent")

    recorder = resume(tmp_path, listener, Late())
    recorder.finish("finished")
    assert [call[0] for call in listener.calls] == ["start", "flush", "write", "finish"]


def test_a_tracker_that_logs_each_record_does_not_go_round_for_ever(tmp_path: Path):
    class Chatty(Tracker):
        def write(self, record: Record) -> None:
            logging.getLogger("chatty").warning("got %s", record.kind)

    listener = Listener()
    recorder = resume(tmp_path, Chatty(), listener)
    recorder.record(train(10))
    recorder.finish("finished")
    assert [record.kind for record in listener.records] == ["scalars", "log"]


def fill_disk(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Every file takes only so many bytes of a write from now on."""
    real = os.write

    def write(fd: int, data: Any) -> int:
        if fd <= 2:
            return real(fd, data)
        if len(data) > after:
            if after and len(data) > 1:
                monkeypatch.setattr(os, "write", refuse)
                return real(fd, bytes(data)[:after])
            return refuse(fd, data)
        return real(fd, data)

    def refuse(fd: int, data: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", write)


@pytest.mark.parametrize("after", [0, 7])
def test_a_full_disk_is_one_clear_error_and_harms_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int):
    recorder = resume(tmp_path)
    recorder.record(train(10))
    before = (tmp_path / "metrics.jsonl").read_bytes()
    with monkeypatch.context() as patched:
        fill_disk(patched, after)
        with pytest.raises(RecordingError, match=r"metrics\.jsonl: cannot be written: No space left on device"):
            recorder.record(train(20))
        recorder.finish("failed", "disk")
    assert (tmp_path / "metrics.jsonl").read_bytes() == before
    json.loads((tmp_path / "run.json").read_text())
    again = resume(tmp_path)
    again.record(train(20))
    again.finish("finished")
    assert [line["iter"] for line in read(tmp_path / "metrics.jsonl")] == [10, 20]


def test_a_tracker_warns_people_though_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    listener = Listener()
    recorder = resume(tmp_path, listener)
    with monkeypatch.context() as patched:
        fill_disk(patched, 0)
        listener.run.warn("3 lines were not delivered, token=abcdefgh12345678")
    (warning,) = listener.records
    assert warning.data == {"message": "3 lines were not delivered, token=***"}
    recorder.finish("failed", "disk")


def test_a_read_only_directory_is_one_clear_error(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordingError, match="file/run: cannot be written: Not a directory"):
        RunRecorder(tmp_path / "file" / "run").start({})


def test_a_failure_at_the_end_is_told_when_it_is_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    recorder = resume(tmp_path)
    with monkeypatch.context() as patched:
        fill_disk(patched, 0)
        with pytest.raises(RecordingError, match=r"log\.txt: cannot be written"):
            recorder.finish("finished")


def test_a_run_that_another_process_records_is_refused(tmp_path: Path):
    recorder = resume(tmp_path)
    code = (
        "import sys, pathlib\n"
        "from rayseg.tracking.recorder import RunRecorder\n"
        "RunRecorder(pathlib.Path(sys.argv[1])).start({})\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "ConfigError" in done.stderr
    assert "another process is still running this run" in done.stderr
    recorder.finish("finished")
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_importing_tracking_imports_no_torch():
    heavy = ("torch", "ray", "mlflow", "wandb", "rich")
    code = f"import sys, rayseg.tracking; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
