"""Life: a run in a thread that waits after each validation, hears wishes, and whose end is awaited."""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import rayseg.tuning.life as life
from rayseg.config import Config
from rayseg.core.errors import ConfigError
from rayseg.core.record import Record
from rayseg.orchestration.results import RunResult
from rayseg.orchestration.run_dir import RunDir, prepare
from rayseg.orchestration.source import resolved
from rayseg.orchestration.stop import StopRequest
from rayseg.tuning.journal import Journal
from rayseg.tuning.life import Life, SweepArguments, Validation

from tests.toys import toy_config  # isort: skip

Listen = Callable[[Record], None]
ENDED = RunResult(Path("run"), "finished", 12)


def scalars(mode: str, at: int, **data: float) -> Record:
    """A line of numbers."""
    return Record("scalars", at, 0, 0.0, mode=mode, data=data)


class Script:
    """A run that does what a function says, in place of a real one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        self.monkeypatch = monkeypatch
        self.wishes: tuple[str | None, str | None] = (None, None)
        self.arguments = SweepArguments(tmp_path, None, "mIoU", None, str(tmp_path), str(tmp_path), {})

    def live(self, run: Callable[[StopRequest, Listen], RunResult]) -> Life:
        """Begin it."""
        self.monkeypatch.setattr(life, "run_trial", lambda name, arguments, request, listen: run(request, listen))
        return Life("0000", self.arguments, lambda: self.wishes)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Script:
    """See it."""
    monkeypatch.setattr(life, "POLL_SECONDS", 0.01)
    return Script(monkeypatch, tmp_path)


def test_it_waits_after_each_validation(script: Script) -> None:
    done: list[int] = []

    def run(request: StopRequest, listen: Listen) -> RunResult:
        for at in (4, 8):
            listen(scalars("train", at, loss=0.5))
            listen(Record("log", at, 0, 0.0, data={"message": "no number"}))
            listen(scalars("val", at, mIoU=at / 10, **{"IoU.dark": 0.1}))
            done.append(at)
        return ENDED

    found = script.live(run)
    assert found.next() == Validation(4, {"mIoU": 0.4})
    assert done == []
    assert found.next() == Validation(8, {"mIoU": 0.8})
    assert done == [4]
    assert found.next() == ENDED
    assert done == [4, 8]


def test_a_wish_is_known_before_it_goes_on(script: Script) -> None:
    seen: list[Any] = []

    def run(request: StopRequest, listen: Listen) -> RunResult:
        for at in (4, 8):
            listen(scalars("val", at, mIoU=0.5))
            seen.append((request.reason, request.end_reason))
        return ENDED

    found = script.live(run)
    found.next()
    script.wishes = (None, "stopped by ASHA")
    found.next()
    script.wishes = ("SIGINT", "another reason")
    found.next()
    assert seen == [(None, "stopped by ASHA"), ("SIGINT", "stopped by ASHA")]


@pytest.mark.parametrize(
    ("numbers", "loss", "failure"),
    [
        ({"mIoU": 0.5}, math.nan, "diverged: loss is nan at iteration 4"),
        ({"mIoU": 0.5}, math.inf, "diverged: loss is inf at iteration 4"),
        ({"mIoU": math.nan}, 0.5, "diverged: mIoU is nan at iteration 4"),
        ({"aAcc": 0.5}, 0.5, "diverged: mIoU is nan at iteration 4"),
        ({"mIoU": 0.5, "aAcc": math.nan}, 0.5, None),
    ],
)
def test_divergence_ends_the_training(
    script: Script, numbers: dict[str, float], loss: float, failure: str | None
) -> None:
    def run(request: StopRequest, listen: Listen) -> RunResult:
        listen(scalars("train", 4, loss=loss))
        listen(scalars("val", 4, **numbers))
        return ENDED

    found = script.live(run)
    found.next()
    assert (found.request.failure, found.request.end_reason) == (failure, failure)
    assert found.next() == ENDED


def test_what_it_raises_is_raised(script: Script) -> None:
    def run(request: StopRequest, listen: Listen) -> RunResult:
        listen(scalars("val", 4, mIoU=0.5))
        raise ConfigError("this cannot be")

    found = script.live(run)
    found.next()
    with pytest.raises(ConfigError, match="this cannot be"):
        found.next()


def test_its_end_is_awaited(script: Script) -> None:
    """It waits after a validation when it is told, and has two more before it hears of it."""
    ended = threading.Event()

    def run(request: StopRequest, listen: Listen) -> RunResult:
        for at in (4, 8, 12):
            listen(scalars("val", at, mIoU=0.5))
        assert request.reason == "the trial was taken away"
        ended.set()
        return ENDED

    found = script.live(run)
    found.next()
    found.end("the trial was taken away")
    assert ended.is_set()


def test_validations_before_the_checkpoint_come_again(script: Script, tmp_path: Path) -> None:
    """An earlier driver may have died before it wrote them down."""
    folder = tmp_path / "trials" / "0000"
    folder.mkdir(parents=True)
    (folder / "metrics.jsonl").write_text(
        '{"mode": "train", "iter": 2, "epoch": 0, "time": 0.0, "loss": 1.0}\n'
        '{"mode": "val", "iter": 4, "epoch": 0, "time": 0.0, "mIoU": 0.25, "IoU.dark": 0.5}\n'
        '{"mode": "val", "iter": 8, "epoch": 0, "time": 0.0, "mIoU": 0.5}\n'
    )

    def run(request: StopRequest, listen: Listen) -> RunResult:
        listen(Record("event", 8, 0, 0.0, name="attempt", data={"start_from": "iter_8"}))
        listen(scalars("val", 12, mIoU=0.75))
        return ENDED

    found = script.live(run)
    given = [found.next() for _ in range(4)]
    assert given == [*(Validation(at, {"mIoU": at / 16}) for at in (4, 8, 12)), ENDED]


def test_a_trial_is_taken_over_when_its_process_has_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(life, "POLL_SECONDS", 0.01)
    answers: list[Any] = [ConfigError("another process is still running this run"), "owner"]

    def begin() -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert life._begun(begin) == "owner"
    monkeypatch.setattr(life, "TAKEOVER_SECONDS", 0.0)
    answers[:] = [ConfigError("another process is still running this run")] * 2
    with pytest.raises(ConfigError, match="another process"):
        life._begun(begin)


def test_a_trial_leaves_the_import_path_as_it_was(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A process runs many, one after the other."""
    monkeypatch.setenv("RAYSEG_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "trials").mkdir()
    (tmp_path / "own.py").write_text("from tests.toys import ToyNet\n\nclass Net(ToyNet): pass\n")
    trackers = {"report": None, "tensorboard": None}
    sections = toy_config(trackers=trackers, train_cfg={"type": "IterBasedTrainLoop", "max_iters": 2})
    sections["model"]["net"] = {"type": "own.Net"}
    config, _ = resolved(Config.from_dict(sections))
    prepare(config, RunDir(tmp_path / "trials" / "0000", named=True))
    journal = Journal(tmp_path)
    journal.write("proposed", trial="0000", number=0, draw={})
    journal.close()
    before = list(sys.path)
    arguments = SweepArguments(tmp_path, None, "mIoU", None, str(tmp_path), str(tmp_path), {})
    result = life.run_trial("0000", arguments, StopRequest(), lambda record: None)
    assert (result.status, result.iter) == ("finished", 2), result
    assert sys.path == before
