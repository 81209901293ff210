"""sync: send what a tracker has not got of a run that is not running."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rayseg.config import Config, check_config, complete_config
from rayseg.core.errors import ConfigError, Problem, RaysegError, did_you_mean
from rayseg.engine.build import store_of
from rayseg.engine.stored_checkpoints import StoredCheckpoints
from rayseg.orchestration.results import SyncResult
from rayseg.orchestration.source import Overrides, read_source
from rayseg.orchestration.trackers import build_trackers
from rayseg.tracking.follower import Follower
from rayseg.tracking.lock import lock_run
from rayseg.tracking.recorder import LOG_FILE
from rayseg.tracking.run_file import RUN_FILE, RunFile, read_run
from rayseg.tracking.tracker import RunInfo

TYPES = {"mlflow": "MLflow", "wandb": "WandB", "tensorboard": "TensorBoard"}


class SyncError(RaysegError):
    """The destination did not take what was sent; what had arrived is noted, and the next sync goes on there."""


def sync(
    run_dir: str | os.PathLike[str],
    to: str,
    *,
    overrides: Overrides = (),
    again: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> SyncResult:
    """Send what is missing of a run to a tracker's destination.

    Args:
        run_dir: a run directory that no process writes to.
        to: ``mlflow``, ``wandb`` or ``tensorboard``; the config's tracker of that name, or one with its defaults.
        overrides: as in ``train``, such as ``trackers.mlflow.tracking_uri=http://...`` for another server.
        again: send all of it, whatever was noted as arrived.
        say: called with a line for people.

    Raises:
        ConfigError: no run there, the run is still running, or its config or the overrides are wrong.
        SyncError: the destination failed.
    """
    if to not in TYPES:
        raise ConfigError(f"--to {to}: expected {', '.join(TYPES)}{did_you_mean(to, TYPES)}")
    path = Path(run_dir).absolute()
    if not (path / RUN_FILE).is_file():
        raise ConfigError(Problem(f"no run directory: it has no {RUN_FILE}", file=str(run_dir)))
    if not read_run(path):
        damaged = f"{RUN_FILE} is damaged: which run it is and how it ended cannot be read"
        raise ConfigError(Problem(damaged, file=str(run_dir)))
    config = _config(path, to, overrides)
    with _locked(path):
        run = RunFile(path / RUN_FILE)
        follower = _follower(config, to)
        follower.begin(_info(config, run, path, say))
        if again:
            follower.delivery.clear()
        lines, pictures = follower.missing()
        status = run.data["status"]
        try:
            follower.deliver_ended("interrupted" if status == "running" else status, run.data["error"])
        except RaysegError:
            raise
        except Exception as error:
            raise SyncError(f"{follower.delivery.destination}: {follower.cause(error)}") from error
    return SyncResult(path, follower.delivery.destination, lines, pictures, follower.delivery.run_id)


def _config(run_dir: Path, to: str, overrides: Overrides) -> Config:
    """The run's config with a tracker of the wanted kind in it."""
    config, _ = read_source(run_dir)
    trackers = config.get("trackers") or {}
    if not isinstance(trackers.get(to), Mapping):
        config, _ = read_source(config, {f"trackers.{to}": {"type": TYPES[to]}})
    config, _ = read_source(config, overrides)
    config = complete_config(config)
    check_config(config)
    return config


def _follower(config: Config, to: str) -> Follower:
    """The tracker named ``to``; another of that kind where its name says something else."""
    only = Config({"trackers": {to: config["trackers"][to]}}, config.provenance)
    (tracker,) = build_trackers(only)
    if not isinstance(tracker, Follower) or tracker.kind != to:
        raise ConfigError(f"trackers.{to}: {type(tracker).__name__} does not send to {to}")
    return tracker


def _info(config: Config, run: RunFile, run_dir: Path, say: Callable[[str], None]) -> RunInfo:
    def remember(key: str, value: str) -> None:
        if run.data["tracking"].get(key) is None:  # the first destination's stays
            run.data["tracking"] = {**run.data["tracking"], key: value}
            run.write()

    checkpoints = StoredCheckpoints(store_of(config, run_dir))
    return RunInfo(run_dir, lambda: run.data, remember, warn=say, say=say, checkpoints=checkpoints)


@contextmanager
def _locked(run_dir: Path) -> Iterator[Any]:
    """Hold the lock of the process that records the run."""
    try:
        with (run_dir / LOG_FILE).open("ab") as log:
            lock_run(log.fileno(), run_dir)
            yield
    except OSError as error:
        raise ConfigError(f"{run_dir}: cannot be written, and what has arrived is noted there: {error}") from None
