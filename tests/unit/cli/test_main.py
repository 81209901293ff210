"""What an error becomes, where text goes, and how overrides are told from files."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import rayseg.orchestration
from rayseg.cli.main import main
from rayseg.cli.options import all_overrides, without_overrides
from rayseg.cli.output import Output
from rayseg.core.errors import CheckpointError, ConfigError, DataError, Problem
from rayseg.orchestration.results import RunResult


def raising(error: BaseException) -> Any:
    def verb(*args: Any, **kwargs: Any) -> Any:
        raise error

    return verb


@pytest.mark.parametrize(
    ("error", "code", "lines"),
    [
        (ConfigError([Problem("bad", "a.b", "c.py"), Problem("worse")]), 2, ["c.py: a.b: bad", "worse"]),
        (DataError("a.png: value 7"), 1, ["a.png: value 7"]),
        (CheckpointError("iter_4: damaged"), 1, ["iter_4: damaged"]),
        (OSError(28, "No space left on device", "x"), 1, ["[Errno 28] No space left on device: 'x'"]),
        (KeyboardInterrupt(), 130, []),
    ],
)
def test_an_error_is_lines_and_a_code(
    error: BaseException,
    code: int,
    lines: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(rayseg.orchestration, "train", raising(error), raising=False)
    assert main(["train", "a.py"]) == code
    printed = capsys.readouterr()
    assert printed.err.strip().splitlines() == [f"error: {line}" for line in lines]
    assert "Traceback" not in printed.err


def test_an_error_of_our_own_making_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rayseg.orchestration, "train", raising(ZeroDivisionError("a bug")), raising=False)
    with pytest.raises(ZeroDivisionError):
        main(["train", "a.py"])


def test_errors_as_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(rayseg.orchestration, "train", raising(ConfigError(Problem("bad", "a", "f"))), raising=False)
    main(["train", "a.py", "--json"])
    assert json.loads(capsys.readouterr().out) == {
        "exit_code": 2,
        "errors": [{"file": "f", "key": "a", "message": "bad"}],
    }


@pytest.mark.parametrize(("status", "code"), [("finished", 0), ("failed", 1), ("interrupted", 130)])
def test_a_run_decides_the_code(
    status: Any, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls: list[tuple[Any, dict[str, Any]]] = []

    def train(source: Any, **arguments: Any) -> RunResult:
        calls.append((source, arguments))
        return RunResult(Path("runs/a"), status, 4, {"mIoU": float("nan")}, {}, "it broke" if code == 1 else None)

    monkeypatch.setattr(rayseg.orchestration, "train", train, raising=False)
    assert main(["train", "a.py", "b=1", "--cfg-options", "c=2", "--workers", "2", "--local", "--json"]) == code
    (source, arguments), printed = calls[0], capsys.readouterr()
    assert source == "a.py"
    assert (arguments["overrides"], arguments["workers"], arguments["local"]) == (["b=1", "c=2"], 2, True)
    assert json.loads(printed.out)["metrics"] == {"mIoU": None}
    assert ("error: it broke" in printed.err) == (code == 1)


def test_text_goes_where_json_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    for json_wanted, quiet, expected in (
        (False, False, ("text\n", "")),
        (True, False, ('{\n  "a": 1\n}\n', "text\n")),
        (True, True, ('{\n  "a": 1\n}\n', "")),
        (False, True, ("", "")),
    ):
        out = Output(json_wanted, quiet)
        out.say("text")
        out.answer({"a": 1})
        assert tuple(capsys.readouterr()) == expected


def test_overrides_are_told_from_files(tmp_path: Path) -> None:
    odd = tmp_path / "a=b.png"
    odd.touch()
    assert without_overrides([str(odd), "c.png", "d.e=1"]) == ([str(odd), "c.png"], ["d.e=1"])
    assert all_overrides(None, ["a=1"], ["b=2"]) == ["a=1", "b=2"]


def test_predict_passes_images_and_overrides_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: dict[str, Any] = {}

    def predict(source: str, inputs: list[str], **arguments: Any) -> Any:
        seen.update(arguments, source=source, inputs=inputs)
        return SimpleNamespace(checkpoint="iter_4", masks=[1], out=Path("o"), as_dict=dict)

    monkeypatch.setattr(rayseg.orchestration, "predict", predict, raising=False)
    assert main(["predict", "run", "x.png", "model.test_cfg.flip=True", "--out", "o", "--checkpoint", "last"]) == 0
    assert seen == {
        "source": "run",
        "inputs": ["x.png"],
        "out": Path("o"),
        "checkpoint": "last",
        "force": False,
        "overrides": ["model.test_cfg.flip=True"],
    }
    assert capsys.readouterr().out == "iter_4: 1 image, masks and overlays in o\n"
