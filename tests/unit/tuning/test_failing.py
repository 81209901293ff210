"""Why a trial failed, out of what Ray Tune keeps of it: one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import ray.exceptions as rays
from ray import cloudpickle

from rayseg.tracking.run_file import RunFile
from rayseg.tuning.failing import NoteTrialFailures, why
from rayseg.tuning.trial import TrialFailedError


class Trial:
    """As Ray Tune has them, with the two files that it writes at each failure."""

    trial_id = "0003"

    def __init__(self, folder: Path, *errors: Exception) -> None:
        self.error_file = str(folder / "error.txt")
        self.pickled_error_file = str(folder / "error.pkl")
        for number, error in enumerate(errors, 1):
            if isinstance(error, rays.RayTaskError | rays.RayActorError):
                Path(self.pickled_error_file).write_bytes(cloudpickle.dumps(error))
            with open(self.error_file, "a+") as file:
                file.write(f"Failure # {number} (occurred at 2026-01-01_00-00-00)\n{error}\n")


class Lost(rays.RayActorError):
    """With words of its own."""

    def __init__(self, words: str) -> None:
        super().__init__()
        self.words = words

    def __str__(self) -> str:
        return self.words

    def __reduce__(self) -> Any:
        return Lost, (self.words,)


def task_error(cause: Exception) -> Exception:
    """What Ray makes of an exception in a trial's process."""
    return rays.RayTaskError("TrialActor.step", "a traceback\nof many lines", cause).as_instanceof_cause()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (task_error(TrialFailedError("MemoryError (in a hook)")), "MemoryError (in a hook)"),
        (task_error(ValueError("\n\nfirst line\nsecond")), "ValueError: first line"),
        (task_error(KeyError()), "KeyError"),
        (
            rays.OutOfMemoryError("Task was killed due to the node running low on memory.\nMemory on the node ..."),
            "Ray ended it since its machine ran out of memory",
        ),
        (Lost("The actor died because its node has died."), "its machine was lost"),
        (RuntimeError("something\nelse"), "something"),
    ],
)
def test_why(tmp_path: Path, error: Exception, reason: str) -> None:
    assert why(Trial(tmp_path, error)) == reason
    assert why(Trial(tmp_path, task_error(TrialFailedError("earlier")), error)) == reason


def test_an_exception_that_cannot_be_loaded(tmp_path: Path) -> None:
    trial = Trial(tmp_path, task_error(TrialFailedError("its reason")))
    Path(trial.pickled_error_file).write_bytes(b"no pickle")
    text = "Failure # 1 (occurred at ...)\nray::TrialActor.step() (pid=1)\n  File ...\nmy.Error: its reason\n"
    Path(trial.error_file).write_text(text)
    assert why(trial) == "my.Error: its reason"


def test_nothing_is_known(tmp_path: Path) -> None:
    assert why(Trial(tmp_path)) == "it failed without a word"


def test_what_is_noted(tmp_path: Path) -> None:
    path = tmp_path / "trials" / "0003"
    path.mkdir(parents=True)
    run = RunFile(path / "run.json")
    run.data.update(iter=7)
    run.write()
    for name in "ab":
        (tmp_path / name).mkdir()
    noted: list[Any] = []
    noting = NoteTrialFailures(lambda event, **facts: noted.append((event, facts)), tmp_path)
    noting.on_trial_recover(0, [], Trial(tmp_path / "a", task_error(TrialFailedError("a"))))
    noting.on_trial_error(0, [], Trial(tmp_path / "b", task_error(TrialFailedError("b"))))
    assert noted == [
        ("retried", {"trial": "0003", "reason": "a"}),
        ("ended", {"trial": "0003", "status": "failed", "iter": 7, "reason": "b"}),
    ]
