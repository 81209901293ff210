"""Console: plain lines when piped, a bar on a terminal, quiet, stdout left alone with json."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from rayseg.core.record import Record
from rayseg.tracking.console import Console
from rayseg.tracking.recorder import RunRecorder
from tests.unit.tracking.runs import attempt, event, train, val


class Terminal(io.StringIO):
    """A stream that says someone is watching."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def play(run_dir: Path, console: Console, status: str = "finished") -> None:
    """A short run with everything in it."""
    recorder = RunRecorder(run_dir, [console], clock=lambda: 100.0)
    recorder.start({})
    recorder.restore(0, "train", [])
    recorder.record(attempt(1))
    recorder.record(event("hooks", table=[["before_run", [[10, "RuntimeInfoHook"]]]]))
    recorder.record(train(100, lr=0.002, eta_s=10.0, iter_time=0.5, data_time=0.1, host_memory_mb=800.0))
    recorder.record(event("val_start", 100))
    recorder.record(val(100))
    recorder.record(event("best", 100, metric="mIoU", value=0.97, iter=100))
    recorder.record(event("checkpoint", 100, name="iter_100", iter=100, bytes=1, seconds=0.1))
    recorder.record(event("warning", 100, message="loss is NaN"))
    recorder.restore(100, "train", [])
    recorder.record(attempt(2, "iter_100", reason="worker 1 died"))
    recorder.record(Record("image", 100, 0, 0.0, mode="val", data={"path": "visuals/a.png", "tag": "a"}))
    recorder.record(event("ended", 100, status=status, iter=100))
    recorder.finish(status, "ValueError: x" if status == "failed" else None)


def texts(output: str) -> list[str]:
    """Lines without their time, which has the form of MM's."""
    lines = output.splitlines()
    assert all(line[2] == "/" and line[5] == " " and line[8] == ":" for line in lines)
    return [line[16:] for line in lines]


def test_piped_output_is_plain_lines(tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    play(tmp_path / "run", Console())
    captured = capsys.readouterr()
    assert captured.err == ""
    assert "\x1b" not in captured.out
    assert "\r" not in captured.out
    lines = texts(captured.out)
    assert lines[0] == "the run is written to run"
    assert lines[1].startswith("training begins (attempt 1, 2 workers")
    assert lines[2].startswith("Iter(train) [100/300]  lr: 2.0000e-03  eta: 0:00:10  time: 0.5000  data_time: 0.1000")
    assert lines[3].split() == ["class", "IoU"]
    assert "land   10.00 %" in lines
    assert any(line.startswith("Iter(val) [100/300]  mIoU: 99.02 %") for line in lines)
    assert lines[-6:] == [
        "saved iter_100 (0.0 MB, 0.10 s)",
        "WARNING: loss is NaN",
        "WARNING: the workers were started again: worker 1 died",
        "training goes on from iter_100 (attempt 2, 2 workers, threads 1, seed 7)",
        "finished: 100 iterations, 0:00:00; best mIoU 97.00 % at iteration 100",
        "everything is in run",
    ]
    assert not any("RuntimeInfoHook" in line for line in lines)
    assert "RuntimeInfoHook" in (tmp_path / "run" / "log.txt").read_text()


def test_with_json_everything_for_people_goes_to_stderr(tmp_path: Path, capsys: pytest.CaptureFixture):
    play(tmp_path, Console(json=True))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Iter(train)" in captured.err
    assert "everything is in" in captured.err


def test_quiet_shows_warnings_only(tmp_path: Path, capsys: pytest.CaptureFixture):
    play(tmp_path, Console(quiet=True))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert texts(captured.err) == ["WARNING: loss is NaN", "WARNING: the workers were started again: worker 1 died"]


def test_quiet_shows_that_a_run_failed(tmp_path: Path, capsys: pytest.CaptureFixture):
    play(tmp_path, Console(quiet=True), status="failed")
    assert texts(capsys.readouterr().err)[-1] == "ERROR: failed at iteration 100, saved as iter_100"


@pytest.mark.parametrize("status", ["finished", "failed"])
def test_a_terminal_has_a_bar_and_keeps_the_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: str):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("NO_COLOR", raising=False)
    play(tmp_path, Console(), status)
    output = terminal.getvalue()
    assert "100/300" in output
    assert "eta 0:00:10" in output
    assert "━" in output
    assert "land" in output
    assert "everything is in" in output
    assert output.count("\x1b[?25l") == output.count("\x1b[?25h"), "the cursor is shown again"
    assert sys.stdout is terminal, "rich's redirection has ended"


def test_a_resumed_runs_bar_begins_where_the_run_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    play(tmp_path, Console(quiet=True))
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("TERM", "xterm-256color")
    recorder = RunRecorder(tmp_path, [Console()])
    recorder.start({})
    recorder.restore(100, "train", [])
    recorder.record(attempt(3, "iter_100"))
    recorder.finish("interrupted")
    assert "100/300" in terminal.getvalue()
    assert "  0/300" not in terminal.getvalue()


def test_a_closed_pipe_does_not_end_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Closed())
    play(tmp_path, Console())
    assert (tmp_path / "metrics.jsonl").read_text().count("\n") == 2
    assert "Console failed and is left out" in (tmp_path / "log.txt").read_text()
