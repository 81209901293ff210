"""Reading: what the files say besides their sections."""

from __future__ import annotations

from pathlib import Path

import pytest

from rayseg.migration import migrate
from rayseg.migration.read import environment_of


def test_variables_of_the_environment_are_found_in_every_file(tmp_path: Path) -> None:
    (tmp_path / "base.py").write_text("work_dir = '{{$OUT:runs}}'\nlog_level = '{{ $LEVEL:INFO }}'\n")
    (tmp_path / "mm.py").write_text("data_root = '{{ fileDirname }}/{{_base_.x}}/{{$OUT:}}'\nbatch = {{'$BATCH:2'}}\n")
    files = [str(tmp_path / "base.py"), "command line", str(tmp_path / "base.py")]
    assert environment_of(tmp_path / "mm.py", files) == ("OUT", "BATCH", "LEVEL")


def test_a_variable_is_filled_in_with_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUT", "runs/b")
    (tmp_path / "mm.py").write_text("train_cfg = dict(max_iters={{'$ITERS:10'}})\nwork_dir = '{{$OUT:runs/a}}'\n")
    migration = migrate(tmp_path / "mm.py")
    assert migration.sections == {"train_cfg": {"max_iters": 10}, "work_dir": "runs/b"}
    assert [(line.kind, line.key) for line in migration.lines] == [("differs", "ITERS"), ("differs", "OUT")]
