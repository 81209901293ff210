"""What follows ``submit`` is read by the verb's own command, and its options are those that a job may have."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer

import rayseg.submission
from rayseg.cli.main import app, main
from rayseg.orchestration.results import JobResult
from rayseg.submission.config import VERBS


def test_a_job_knows_the_options_of_its_verb() -> None:
    commands: Any = typer.main.get_command(app)
    for verb, known in VERBS.items():
        names = {parameter.name for parameter in commands.commands[verb].params}
        assert names == {"source", "overrides", "cfg_options", *known.options}


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What ``submit`` is called with; the job fails with exit code 7."""
    seen: dict[str, Any] = {}

    def submit(verb: str, source: str, **arguments: Any) -> JobResult:
        seen.update(arguments, verb=verb, source=source)
        return JobResult("j", "http://a:1", "pending", None, "rayseg train")

    def follow_job(job: str, address: str | None, write: Any) -> JobResult:
        write("line\n")
        return JobResult(job, "http://a:1", "failed", 7, "rayseg train")

    fakes = SimpleNamespace(submit=submit, follow_job=follow_job)
    for name in ("submit", "follow_job"):
        monkeypatch.setattr(rayseg.submission, name, getattr(fakes, name), raising=False)
    return seen


@pytest.mark.parametrize("dashes", [["--"], []])
def test_arguments_are_told_apart(dashes: list[str], sent: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    own = ["submit", "--address", "http://a:1", "--working-dir", "w", "--env", "A", "--env", "B", "--max-size", "5"]
    job = ["train", "c.py", "a=1", "--work-dir", "d", "--cfg-options", "b=2", "--workers", "3", "--quiet"]
    assert main([*own, *dashes, *job]) == 7
    assert (sent["verb"], sent["source"], sent["overrides"]) == ("train", "c.py", ["a=1", "b=2"])
    options = {name: value for name, value in sent["options"].items() if value}
    assert options == {"work_dir": Path("d"), "workers": 3, "quiet": True}
    assert (sent["address"], sent["working_dir"], sent["env"], sent["max_size_mib"]) == (
        "http://a:1",
        Path("w"),
        ["A", "B"],
        5,
    )
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("line\n", "error: job j failed, exit code 7\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing argument '-- COMMAND'; see 'rayseg submit --help'"),
        (["--", "train"], "Missing argument 'CONFIG|RUN_DIR'; see 'rayseg train --help'"),
        (["--", "train", "c.py", "--address", "x"], "No such option: --address; see 'rayseg train --help'"),
        (["--", "train", "c.py", "--workers", "x"], "Invalid value for '--workers': "),
        (["--", "train", "c.py", "--resume", "--auto-resume"], "--resume and --auto-resume: give one of them"),
        (["--", "tune", "c.py", "--num-samples", "0"], "Invalid value for '--num-samples': "),
        (["--", "test", "c.py"], "rayseg submit: a job runs train or tune, not 'test'"),
        (["--stop-wait", "0", "--", "train", "c.py"], "Invalid value for '--stop-wait': "),
    ],
)
def test_arguments_that_are_wrong(
    arguments: list[str], message: str, sent: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["submit", *arguments]) == 2
    assert capsys.readouterr().err.startswith(f"error: {message}")
    assert not sent


@pytest.mark.parametrize("verb", ["submit", "status", "logs", "stop"])
def test_every_option_is_on_the_page(verb: str) -> None:
    commands: Any = typer.main.get_command(app)
    page = (Path(__file__).parents[3] / "docs" / "submit.md").read_text()
    for parameter in commands.commands[verb].params:
        for option in parameter.opts:
            assert not option.startswith("-") or f"`{option}" in page, option
