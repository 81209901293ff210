"""rayseg migrate: the list on stdout, JSON, and exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rayseg.cli.main import main

CONFIGS = Path(__file__).parents[1] / "migration" / "configs"


def test_the_list_is_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.py"
    assert main(["migrate", str(CONFIGS / "ocrnet_hr18.py"), "-o", str(out)]) == 0
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert lines[0].startswith("missing: model: 'CascadeEncoderDecoder, HRNet + OCRHead': nothing here stands for this")
    assert lines[-1] == f"{out}: CascadeEncoderDecoder, HRNet + OCRHead; 1 missing, 3 dropped"
    assert printed.err == ""
    assert out.read_text().count("# MISSING") == 2  # the legend, and the line


def test_the_list_is_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.py"
    assert main(["migrate", str(CONFIGS / "upernet_swin.py"), "-o", str(out), "--json", "--quiet"]) == 0
    printed = capsys.readouterr()
    answer = json.loads(printed.out)
    assert (answer["path"], answer["family"], answer["whole"]) == (str(out), "UPerNet", True)
    assert {line["kind"] for line in answer["lines"]} == {"differs", "dropped"}
    assert set(answer["lines"][0]) == {"kind", "key", "was", "why", "do"}
    assert printed.err == ""


@pytest.mark.parametrize(
    ("source", "message"),
    [("answer = 42", "no config: it sets answer"), ("model = dict(", "syntax error"), ("1 / 0", "ZeroDivisionError")],
)
def test_no_config_is_exit_code_2(
    source: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mm.py").write_text(source)
    out = tmp_path / "out.py"
    assert main(["migrate", str(tmp_path / "mm.py"), "-o", str(out)]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize("out", ["file/out.py", "directory.py"])
def test_a_place_that_cannot_be_written_is_exit_code_2(
    out: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "directory.py").mkdir()
    assert main(["migrate", str(CONFIGS / "unet.py"), "-o", str(tmp_path / out), "--force"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {tmp_path / out}: cannot be written: ")
    assert error.count("\n") == 1


def test_what_is_there_stays_without_force(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.py"
    out.write_text("mine")
    command = ["migrate", str(CONFIGS / "unet.py"), "-o", str(out)]
    assert main(command) == 2
    assert capsys.readouterr().err == f"error: {out}: the file is there already; --force replaces it\n"
    assert out.read_text() == "mine"
    assert main([*command, "--force"]) == 0
    assert out.read_text() != "mine"
