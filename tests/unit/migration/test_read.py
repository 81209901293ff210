"""Reading: what the files say besides their sections."""

from __future__ import annotations

from pathlib import Path

from rayseg.migration.read import environment_of


def test_variables_of_the_environment_are_found_in_every_file(tmp_path: Path) -> None:
    (tmp_path / "base.py").write_text("work_dir = '{{$OUT:runs}}'\nlog_level = '{{ $LEVEL:INFO }}'\n")
    (tmp_path / "mm.py").write_text("data_root = '{{ fileDirname }}/{{_base_.x}}/{{$OUT:}}'\nbatch = {{'$BATCH:2'}}\n")
    files = [str(tmp_path / "base.py"), "command line", str(tmp_path / "base.py")]
    assert environment_of(tmp_path / "mm.py", files) == ("OUT", "BATCH", "LEVEL")
