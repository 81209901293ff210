"""Launch: Ray Tune over the trials of a sweep, in a thread of its own."""

from __future__ import annotations

import logging
import os
import shutil
import threading
from dataclasses import dataclass
from typing import Any

from rayseg.core.errors import RaysegError
from rayseg.tuning.life import SweepArguments

SCRATCH = ".ray"
QUIET = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
}
# The head's own resource: a trial that only waits for its workers takes no CPU that they need.
ON_HEAD = {"CPU": 0, "node:__internal_head__": 0.001}


@dataclass(frozen=True)
class TuneArguments:
    """What Ray Tune is given.

    Attributes:
        proposals: where it gets its trials from.
        judge: its scheduler.
        failures: told of trials that fail.
        arguments: what each trial is given.
        resources: what a worker of a trial asks for.
        max_failures: how often a trial that failed is started again.
    """

    proposals: Any
    judge: Any
    failures: Any
    arguments: SweepArguments
    resources: dict[str, float]
    max_failures: int


class Launch:
    """Ray Tune at work; on the main thread its own Ctrl-C would not let trials save.

    Attributes:
        error: what it failed with, if it did.
    """

    def __init__(self, tune: TuneArguments) -> None:
        self.error: BaseException | None = None
        self._tune = tune
        self._thread = threading.Thread(target=self._go, name="rayseg-tune", daemon=True)
        self._thread.start()

    def wait(self, seconds: float) -> bool:
        """Whether it ended within so many seconds."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def clear(self) -> None:
        """Remove what Ray Tune has written: nothing reads it."""
        shutil.rmtree(self._tune.arguments.sweep_dir / SCRATCH, ignore_errors=True)

    def _go(self) -> None:
        try:
            _run(self._tune)
        except BaseException as error:
            self.error = error


def _run(given: TuneArguments) -> None:
    os.environ.update({name: os.environ.get(name, value) for name, value in QUIET.items()})
    for logger in ("ray.tune", "ray.air", "ray.train"):
        logging.getLogger(logger).setLevel(logging.CRITICAL)
    from ray import tune

    from rayseg.tuning.trial import TrialActor

    is_nested = given.arguments.worker_resources is not None
    trainable = tune.with_parameters(TrialActor, arguments=given.arguments)
    tune.run(
        tune.with_resources(trainable, ON_HEAD if is_nested else {"CPU": 0, **given.resources}),
        name="sweep",
        storage_path=str(given.arguments.sweep_dir / SCRATCH),
        search_alg=given.proposals,
        scheduler=given.judge,
        max_failures=given.max_failures,
        callbacks=[given.failures],
        reuse_actors=True,
        raise_on_failed_trial=False,
        verbose=0,
    )


def one_line(error: BaseException) -> str:
    """What ended Ray Tune: our own error below whatever it was wrapped in, else the last line, which of a traceback
    says what was raised."""
    below: BaseException | None = error
    while below is not None:
        if isinstance(below, RaysegError):
            return str(below).replace("\n", "; ")
        below = below.__cause__ or below.__context__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1]}" if lines else type(error).__name__
