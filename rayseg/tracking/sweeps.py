"""A run as a trial of a sweep: how trackers name it, and beside which directory they keep what runs share."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rayseg.tracking.params import config_params, flat
from rayseg.tracking.redact import Redactor
from rayseg.tracking.run_file import read_run
from rayseg.tracking.tracker import RunInfo

TRIALS_DIR = "trials"
SWEEP_MODE = "best"  # of the lines that a sweep has instead of metrics.jsonl


def sweep_of(facts: Mapping[str, Any]) -> Mapping[str, Any]:
    """What ``run.json`` says of the sweep: ``uid``, ``name`` ...; empty for a run that is no trial."""
    return facts.get("sweep") or {}


def shown_name(given: str | None, run: RunInfo) -> str:
    """What a run is called: as the config says, else as its directory; a trial ``<sweep>/<trial>``."""
    own = run.run_dir.absolute().name
    sweep = sweep_of(run.facts())
    return f"{given or sweep['name']}/{own}" if sweep else given or own


def shared_dir(run_dir: Path) -> Path:
    """The directory that holds what the runs beside each other share: for a trial, the one that holds the sweep."""
    path = run_dir.absolute()
    return path.parents[2] if path.parent.name == TRIALS_DIR and sweep_of(read_run(path)) else path.parent


def own_folder(folder: Path, run_dir: Path) -> Path:
    """``folder``, or one below it for a trial alone, where the trials of a sweep would have it together."""
    sweep = sweep_of(read_run(run_dir))
    if not sweep or folder.absolute().resolve().is_relative_to(run_dir.absolute().resolve()):
        return folder
    return folder / str(sweep["name"]) / run_dir.absolute().name


def run_params(run: RunInfo) -> dict[str, str]:
    """Name → text: what a sweep drew for its trial, ``sampled/<dimension>``, and every leaf of the config."""
    redact = Redactor()
    drawn = {drawn_name(name): redact(str(value)) for name, value in (run.facts().get("draw") or {}).items()}
    return {**drawn, **(config_params(run.run_dir) if run.config is None else flat(run.config))}


def drawn_name(dimension: str) -> str:
    """``optim_wrapper[adam].optimizer.lr`` → ``sampled/optim_wrapper.adam.optimizer.lr``."""
    return "sampled/" + re.sub(r"\[([^][]*)\]", r".\1", dimension)


def best_trial(facts: Mapping[str, Any]) -> str:
    """The best trial's name; empty for a run that is no sweep."""
    return next((entry["trial"] for entry in (facts.get("best") or {}).values() if "trial" in entry), "")
