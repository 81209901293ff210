"""A trial's directory: an ordinary run directory, made before the trial begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rayseg.config import load_config
from rayseg.engine.build import store_of
from rayseg.orchestration.run_dir import RunDir, prepare
from rayseg.orchestration.source import CONFIG_FILE
from rayseg.tracking.sweeps import TRIALS_DIR

if TYPE_CHECKING:
    from rayseg.tuning.problem import SweepProblem


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
        ConfigError: the draw gives no valid config, or the directory cannot be written.
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
    path.parent.mkdir(exist_ok=True)
    prepare(config, RunDir(path, named=True))


def prune_trial(path: Path) -> None:
    """Remove the checkpoints of a trial that nobody will go on with; pinned ones stay."""
    store = store_of(load_config(path / CONFIG_FILE), path)
    if not store.is_empty():
        store.prune(0, spare_newest=False)
