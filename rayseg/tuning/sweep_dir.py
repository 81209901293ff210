"""The sweep directory: which one a sweep gets, and what must be true of it before the sweep begins or goes on."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

from rayseg.config import Config, load_config
from rayseg.core.errors import ConfigError, Problem
from rayseg.orchestration.changes import refused_changes
from rayseg.orchestration.run_dir import RunDir, chosen_path
from rayseg.orchestration.source import CONFIG_FILE, with_saved_code
from rayseg.tracking.lock import lock_run
from rayseg.tracking.metrics_file import METRICS_FILE
from rayseg.tuning.journal import JOURNAL_FILE

ALLOWED = (
    "tune.num_samples",
    "tune.max_concurrent",
    "tune.time_budget",
    "tune.max_failures",
    "tune.seeds*",
    "tune.best_k",
    "tune.baseline*",
    "trackers*",
    "failure*",
    "*_dataloader.num_workers",
    "*_dataloader.prefetch_factor",
    "*_dataloader.persistent_workers",
    "*_dataloader.pin_memory",
    "log_level",
    "work_dir",
)


def is_sweep_dir(path: Path) -> bool:
    """Whether there is a sweep in it."""
    return (path / JOURNAL_FILE).is_file()


def choose_sweep_dir(
    config: Config, work_dir: str | os.PathLike[str] | None, *, resume: bool, auto_resume: bool = False
) -> RunDir:
    """The directory of a sweep, looked at and not yet touched.

    Raises:
        ConfigError: it holds a sweep and nothing was said of resuming; there is none to resume; the config differs
            from the sweep's in what a resume may not change; it holds a run.
    """
    chosen = chosen_path(config, work_dir, resume=resume, auto_resume=auto_resume)
    path = chosen.path
    _require_writable(path)
    if not is_sweep_dir(path):
        if resume:
            raise ConfigError(f"{path} holds no sweep to resume; start one without --resume")
        if (path / METRICS_FILE).exists():
            raise ConfigError(f"{path} holds a run; name another --work-dir for the sweep")
        return chosen
    if not (resume or auto_resume):
        raise ConfigError(f"{path} already holds a sweep: go on with --resume, or name another --work-dir")
    saved = with_saved_code(load_config(path / CONFIG_FILE), path)
    if changes := refused_changes(saved, config, ALLOWED):
        raise ConfigError(
            Problem(f"a resumed sweep may not change it: the sweep has {before}, now {after}", key, config.origin(key))
            for key, before, after in changes
        )
    return chosen


def _require_writable(path: Path) -> None:
    there = next(parent for parent in (path, *path.parents) if parent.exists())
    if not os.access(there, os.W_OK | os.X_OK):
        raise ConfigError(f"--work-dir {path}: cannot be written: {there} is read-only for this user")


class SweepLock:
    """While it is held, no other process runs the sweep of a directory, which is made if it is not there.

    Raises:
        ConfigError: another one does, or the directory cannot be made.
    """

    def __init__(self, sweep_dir: Path) -> None:
        try:
            sweep_dir.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(sweep_dir / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise ConfigError(f"--work-dir {sweep_dir}: cannot be written: {error.strerror or error}") from None
        try:
            lock_run(self._fd, sweep_dir)
        except ConfigError:
            self.release()
            raise ConfigError(f"{sweep_dir}: another process runs this sweep; stop it first") from None

    def __enter__(self) -> SweepLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()

    def release(self) -> None:
        """Let others in."""
        os.close(self._fd)
