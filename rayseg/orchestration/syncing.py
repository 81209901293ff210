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


Away = dict[tuple[str, str], str]
"""Kind and destination → why it does not take anything."""


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
    require_kind(to)
    path = Path(run_dir).absolute()
    if not (path / RUN_FILE).is_file():
        raise ConfigError(Problem(f"no run directory: it has no {RUN_FILE}", file=str(run_dir)))
    if not read_run(path):
        damaged = f"{RUN_FILE} is damaged: which run it is and how it ended cannot be read"
        raise ConfigError(Problem(damaged, file=str(run_dir)))
    config = with_tracker(read_source(path)[0], to, overrides)
    with _locked(path):
        run = RunFile(path / RUN_FILE)
        follower = follower_of(config, to)
        follower.begin(_info(config, run, path, say))
        lines, pictures = send_ended(follower, run.data["status"], run.data["error"], again=again)
    return SyncResult(path, follower.delivery.destination, lines, pictures, follower.delivery.run_id)


def sync_all(run_dir: Path, away: Away) -> bool:
    """Send what is missing of a run to every tracker of its config.

    Args:
        run_dir: the run directory.
        away: destinations that are not tried; one that fails is added.

    Returns:
        Whether all have got everything.

    Raises:
        ConfigError: the run is still running, or its config is wrong.
    """
    config = complete_config(read_source(run_dir)[0])
    all_sent = True
    with _locked(run_dir):
        run = RunFile(run_dir / RUN_FILE)
        for tracker in build_trackers(config):
            if not isinstance(tracker, Follower):
                continue
            tracker.begin(_info(config, run, run_dir, lambda _: None))
            destination = tracker.kind, tracker.delivery.destination
            if destination not in away:
                try:
                    send_ended(tracker, run.data["status"], run.data["error"])
                except RaysegError as error:
                    away[destination] = str(error)
            all_sent = all_sent and destination not in away
    return all_sent


def send_ended(follower: Follower, status: str, error: str | None, *, again: bool = False) -> tuple[int, int]:
    """Send all that is missing of a run that does not run. Gives how many lines and pictures that were.

    Raises:
        SyncError: the destination failed.
    """
    if again:
        follower.delivery.clear()
    missing = follower.missing()
    try:
        follower.deliver_ended(ended_as(status), error)
    except RaysegError:
        raise
    except Exception as failure:
        raise SyncError(f"{follower.delivery.destination}: {follower.cause(failure)}") from failure
    return missing


def ended_as(status: str) -> str:
    """How what does not run has ended: what never said so was interrupted."""
    return "interrupted" if status == "running" else status


def require_kind(to: str) -> None:
    """Refuse a destination that there is not.

    Raises:
        ConfigError: it is none.
    """
    if to not in TYPES:
        raise ConfigError(f"--to {to}: expected {', '.join(TYPES)}{did_you_mean(to, TYPES)}")


def with_tracker(config: Config, to: str, overrides: Overrides) -> Config:
    """A config, checked and completed, with a tracker of the wanted kind in it.

    Raises:
        ConfigError: it or an override is wrong.
    """
    trackers = config.get("trackers") or {}
    if not isinstance(trackers.get(to), Mapping):
        config, _ = read_source(config, {f"trackers.{to}": {"type": TYPES[to]}})
    config, _ = read_source(config, overrides)
    config = complete_config(config)
    check_config(config)
    return config


def follower_of(config: Config, to: str) -> Follower:
    """The tracker named ``to``.

    Raises:
        ConfigError: it cannot be made, or sends somewhere else.
    """
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
