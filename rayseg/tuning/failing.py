"""NoteTrialFailures: writes down why a trial failed, and whether it is started again."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ray.tune import Callback

from rayseg.core.errors import RaysegError
from rayseg.orchestration.failures import OUT_OF_MEMORY, death
from rayseg.tracking.run_file import read_run
from rayseg.tuning.trial_dir import trial_dir

MARK = "Failure # "  # begins each entry of Ray Tune's file
RAYS_WORDS = "running low on memory"


class NoteTrialFailures(Callback):
    """Runs in the driver, called by Ray Tune.

    Args:
        note: writes an event of the journal.
        sweep_dir: where the iteration stands that a trial had reached.
    """

    def __init__(self, note: Callable[..., Any], sweep_dir: Path) -> None:
        self._note = note
        self._sweep_dir = sweep_dir

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """It failed and is started again."""
        self._note("retried", trial=trial.trial_id, reason=why(trial))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """It failed for good."""
        at = int(read_run(trial_dir(self._sweep_dir, trial.trial_id)).get("iter") or 0)
        self._note("ended", trial=trial.trial_id, status="failed", iter=at, reason=why(trial))


def why(trial: Any) -> str:
    """The reason of a trial's last failure, on one line."""
    error = last_error(trial)
    if error is None:
        return "it failed without a word"
    if isinstance(error, str):
        lines = error.splitlines()
        return OUT_OF_MEMORY if RAYS_WORDS in error else lines[-1 if lines[0].startswith("ray::") else 0]
    if (raised := getattr(error, "cause", None)) is not None:
        lines = [line.strip() for line in str(raised).splitlines() if line.strip()]
        return "; ".join(lines) if lines and isinstance(raised, RaysegError) else death(raised)
    return death(error)


def last_error(trial: Any) -> BaseException | str | None:
    """What ended it: the exception, its text where Ray Tune keeps no more (want of memory), None without either.

    Ray Tune has written both on this machine when it tells of a failure; what it answers itself is a copy of later.
    """
    try:
        *_, last = Path(trial.error_file).read_text().split(MARK)
    except (OSError, TypeError):
        return None
    text = last.partition("\n")[2].strip()
    with suppress(Exception):  # an exception of the user's that this process cannot load
        error: BaseException = pickle.loads(Path(trial.pickled_error_file).read_bytes())
        if str(error).strip() == text:  # not that of an earlier failure
            return error
    return text or None
