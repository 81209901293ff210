"""A tracker that keeps every call, and a recorder that begins or goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rayseg.core.record import Record
from rayseg.tracking.recorder import RunRecorder
from rayseg.tracking.tracker import RunInfo, Tracker


class Listener(Tracker):
    """Keeps every call."""

    def __init__(self, fail_in: str = "") -> None:
        self.calls: list[Any] = []
        self.fail_in = fail_in

    def _call(self, name: str, *arguments: Any) -> None:
        self.calls.append((name, *arguments))
        if name == self.fail_in:
            raise OSError("the server is away, token=abcdefgh12345678")

    def start(self, run: RunInfo) -> None:
        self.run = run
        self._call("start")

    def write(self, record: Record) -> None:
        self._call("write", record)

    def flush(self, timeout_s: float) -> None:
        self._call("flush")

    def finish(self, status: str, error: str | None) -> None:
        self._call("finish", status, error)

    @property
    def records(self) -> list[Record]:
        return [call[1] for call in self.calls if call[0] == "write"]


def resume(run_dir: Path, *trackers: Tracker) -> RunRecorder:
    recorder = RunRecorder(run_dir, trackers)
    recorder.start({"name": "demo"})
    return recorder
