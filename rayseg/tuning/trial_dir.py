"""A trial's directory: an ordinary run directory, made before the trial begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rayseg.config import load_config
from rayseg.core.errors import ConfigError, RaysegError
from rayseg.engine.build import store_of
from rayseg.orchestration.run_dir import RunDir, prepare
from rayseg.orchestration.source import CONFIG_FILE
from rayseg.tracking.run_file import RUN_FILE, RunFile, read_run
from rayseg.tracking.sweeps import TRIALS_DIR

if TYPE_CHECKING:
    from rayseg.tuning.problem import SweepProblem


class TrialDirError(RaysegError):
    """A trial's directory cannot be written: a matter of the disk, not of the trial."""


def trial_dir(sweep_dir: Path, name: str) -> Path:
    """Where a trial of that name lives."""
    return sweep_dir / TRIALS_DIR / name


def make_trial_dir(
    problem: SweepProblem,
    sweep_dir: Path,
    name: str,
    draw: Mapping[str, Any],
    seed: int | None = None,
    schedule: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Make it, with the trial's config in it. A checkpoint store that the sweep names has a folder for each trial.

    Args:
        seed: instead of the config's ``randomness.seed``.
        schedule: ``changes`` of a HyperparameterScheduleHook.

    Raises:
        ConfigError: the draw gives no valid config.
        TrialDirError: the directory cannot be written.
    """
    config = problem.trial_config(draw)
    if seed is not None:
        config["randomness"] = {**config["randomness"], "seed": seed}
    if schedule:
        hook = {"type": "HyperparameterScheduleHook", "changes": [dict(change) for change in schedule]}
        config["custom_hooks"] = [*(config.get("custom_hooks") or ()), hook]
    if url := (config.get("checkpoint_store") or {}).get("url"):
        config["checkpoint_store"] = {"url": f"{url.rstrip('/')}/{sweep_dir.name}/{name}"}
    path = trial_dir(sweep_dir, name)
    try:
        path.parent.mkdir(exist_ok=True)
        prepare(config, RunDir(path, named=True))
    except (OSError, ConfigError) as error:
        raise TrialDirError(f"{path}: the trial's directory cannot be made: {error}") from error


def close_trial(path: Path, status: str, reason: str) -> None:
    """Say in a trial's ``run.json`` how it ended, where its process was killed before it could."""
    if read_run(path).get("status") == "running":
        run = RunFile(path / RUN_FILE)
        run.data.update(
            status="finished" if status == "stopped" else status, error=reason if status == "failed" else None
        )
        run.write()


def prune_trial(path: Path) -> None:
    """Remove the checkpoints of a trial that nobody will go on with; pinned ones stay.

    Raises:
        RaysegError: they cannot be removed.
    """
    if not (path / CONFIG_FILE).is_file():  # its draw gave no config
        return
    store = store_of(load_config(path / CONFIG_FILE), path)
    if not store.is_empty():
        store.prune(0, spare_newest=False)
