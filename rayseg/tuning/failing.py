"""NoteTrialFailures: writes down why a trial failed, and whether it is started again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray.tune import Callback

from rayseg.orchestration.failures import death
from rayseg.tracking.run_file import RunFile, read_run
from rayseg.tuning.trial_dir import trial_dir


class NoteTrialFailures(Callback):
    """Runs in the driver, called by Ray Tune.

    Args:
        note: writes an event of the journal.
        sweep_dir: where a trial that was killed could not say of itself that it failed.
    """

    def __init__(self, note: Callable[..., Any], sweep_dir: Path) -> None:
        self._note = note
        self._sweep_dir = sweep_dir

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """It failed and is started again."""
        self._note("retried", trial=trial.trial_id, reason=why(trial))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """It failed for good."""
        reason = why(trial)
        self._note(
            "ended", trial=trial.trial_id, status="failed", iter=self._finish(trial.trial_id, reason), reason=reason
        )

    def _finish(self, name: str, reason: str) -> int:
        """Say so in the trial's ``run.json``, where its process could not; gives its iteration."""
        path = trial_dir(self._sweep_dir, name)
        facts = read_run(path)
        if facts.get("status") == "running":
            run = RunFile(path / "run.json")
            run.data.update(status="failed", error=reason)
            run.write()
        return int(facts.get("iter") or 0)


def why(trial: Any) -> str:
    """The reason of a trial's last failure, on one line."""
    error = trial.get_pickled_error()
    if error is None:
        return "it failed without a word"
    if (raised := getattr(error, "cause", None)) is not None:
        lines = [line.strip() for line in str(raised).splitlines() if line.strip()]
        return lines[0] if lines else type(raised).__name__
    return death(error)
