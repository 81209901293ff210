"""A disk that is full: the sweep ends with one line, its journal is whole, and a resume goes on when there is room."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

import rayseg.tracking.files as files
from rayseg.cli.main import main
from rayseg.tuning import SweepResult

from tests.integration.tuning.conftest import Workspace, events, rows, trial_processes_gone  # isort: skip
from tests.integration.tuning.test_killed_driver import hold, once_each  # isort: skip


def fill_after(monkeypatch: pytest.MonkeyPatch, path: Path, size: int) -> None:
    """No file of that name grows beyond ``size`` bytes; what fits of a write is written."""
    whole = files.write_all

    def write(fd: int, data: bytes) -> None:
        room = size - os.fstat(fd).st_size
        if os.readlink(f"/proc/self/fd/{fd}") != str(path) or len(data) <= room:
            whole(fd, data)
            return
        whole(fd, data[: max(0, room)])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files, "write_all", write)


def test_the_journal_has_no_room(
    workspace: Workspace, undisturbed: SweepResult, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    sweep_dir = workspace.path / "full"
    size = (undisturbed.sweep_dir / "journal.jsonl").stat().st_size // 2
    with monkeypatch.context() as full:
        fill_after(full, sweep_dir / "journal.jsonl", size)
        code = main([*workspace.command("full", hold()), "-q"])
    printed = capfd.readouterr()
    assert (code, printed.out) == (1, "")
    error, *more = printed.err.splitlines()
    journal = sweep_dir / "journal.jsonl"
    assert error.startswith(f"error: {journal}: cannot be written: No space left on device; what was recorded")
    assert not more
    assert (sweep_dir / "journal.jsonl").read_bytes().endswith(b"}\n")
    assert len(events(sweep_dir, "result")) >= 2
    trial_processes_gone(sweep_dir)
    assert rows(workspace.tune("full", hold(), resume=True)) == rows(undisturbed)
    once_each(sweep_dir)
