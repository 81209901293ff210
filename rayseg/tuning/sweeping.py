"""tune: a sweep from its config to its best trial, on Ray Tune."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from os import PathLike
from pathlib import Path
from typing import Any

from rayseg.config import Config
from rayseg.core.errors import ConfigError
from rayseg.engine.build import run_name
from rayseg.orchestration.cluster import connected, names_a_cluster, node_count, require_local, room, room_here
from rayseg.orchestration.facts import data_facts, datasets_of
from rayseg.orchestration.nodes import check_nodes
from rayseg.orchestration.run_dir import RunDir, prepare
from rayseg.orchestration.source import Overrides, Source, read_source
from rayseg.orchestration.stop import StopSignals
from rayseg.orchestration.trackers import build_trackers, require_one_store
from rayseg.tracking.facts import collect_facts
from rayseg.tracking.run_file import new_uid
from rayseg.tracking.tracker import Tracker
from rayseg.tuning.driver import Driver
from rayseg.tuning.journal import Journal, read_journal
from rayseg.tuning.problem import SweepProblem, posed, require_room
from rayseg.tuning.progress import Progress
from rayseg.tuning.results import SweepFiles, SweepResult, dimension_facts, read_sweep
from rayseg.tuning.standing import Standing
from rayseg.tuning.sweep_dir import SweepLock, choose_sweep_dir, is_sweep_dir
from rayseg.tuning.table import SweepConsole
from rayseg.tuning.tracked import SweepRun


def tune(
    source: Source,
    *,
    overrides: Overrides = (),
    work_dir: str | PathLike[str] | None = None,
    num_samples: int | None = None,
    workers: int | None = None,
    resume: bool = False,
    auto_resume: bool = False,
    console: SweepConsole | None = None,
) -> SweepResult:
    """Run a sweep: draw what the config leaves open, train, compare, stop what is worse.

    Args:
        source: a config file with open leaves, a sweep directory to resume, or the config as a dict.
        overrides: ``key=value`` texts, or a mapping from key path to value; a value may be a leaf.
        work_dir: the sweep directory; ``work_dirs/<config name>/<time>`` when nobody names one.
        num_samples: instead of ``tune.num_samples``.
        workers: of each trial, instead of ``scaling.num_workers``.
        resume: go on with the sweep of the directory.
        auto_resume: go on if there is a sweep in the directory, else begin (for job retries).
        console: what shows the sweep to people.

    Returns:
        How it ended; a trial that fails is a row in it, not an exception.

    Raises:
        ConfigError: something is wrong with the input; nothing was started.
    """
    problem, sweep_dir = plan_sweep_run(
        source, overrides, work_dir, num_samples, workers, resume=resume, auto_resume=auto_resume
    )
    if not names_a_cluster():
        require_local(problem.scaling)
    trackers = build_trackers(problem.trial_config(problem.cover[0]))
    path, goes_on = sweep_dir.path, is_sweep_dir(sweep_dir.path)
    with ExitStack() as stack:
        if goes_on:  # a second driver learns of it before Ray is started
            stack.enter_context(SweepLock(path))
        resources = stack.enter_context(connected(problem.scaling))
        wait = problem.scaling.start_timeout_s
        check_nodes(problem.config, path, datasets_of(problem.runner), resources, wait, fresh=False)
        require_one_store(trackers, path, node_count())
        fits = max(1, room(problem.scaling, resources) // problem.scaling.num_workers)
        require_room(problem, fits)
        if sweep_dir.named and not goes_on:
            stack.enter_context(SweepLock(path))
            _refuse_late(path)
        config = prepare(problem.config, sweep_dir)
        if not sweep_dir.named:
            stack.enter_context(SweepLock(path))
        return _run(problem, config, path, resources, fits, console or SweepConsole(quiet=True), trackers)


def _refuse_late(sweep_dir: Path) -> None:
    """Another driver may have begun, and ended, a sweep there since the directory was looked at."""
    if is_sweep_dir(sweep_dir):
        raise ConfigError(f"{sweep_dir} already holds a sweep: go on with --resume, or name another --work-dir")


def plan_sweep_run(
    source: Source,
    overrides: Overrides,
    work_dir: str | PathLike[str] | None,
    num_samples: int | None,
    workers: int | None,
    *,
    resume: bool,
    auto_resume: bool = False,
) -> tuple[SweepProblem, RunDir]:
    """The checked sweep and its directory, which is not touched yet.

    Raises:
        ConfigError: as ``tune``.
    """
    config, from_dir = read_source(source, overrides)
    given = {"tune.num_samples": num_samples, "scaling.num_workers": workers}
    config, _ = read_source(config, {key: value for key, value in given.items() if value is not None})
    if from_dir is not None and not is_sweep_dir(from_dir):
        raise ConfigError(f"{from_dir} is a run, not a sweep; give its config, or a sweep directory")
    work_dir = from_dir if work_dir is None else work_dir
    sweep_dir = choose_sweep_dir(config, work_dir, resume=resume, auto_resume=auto_resume)
    problem = posed(config, sweep_dir.path)
    if not names_a_cluster() and (fits := room_here(problem.scaling) // problem.scaling.num_workers):
        require_room(problem, fits)
    return problem, sweep_dir


def _run(
    problem: SweepProblem,
    config: Config,
    sweep_dir: Path,
    resources: dict[str, float],
    fits: int,
    console: SweepConsole,
    trackers: list[Tracker],
) -> SweepResult:
    goes_on = is_sweep_dir(sweep_dir)
    lines = list(read_journal(sweep_dir)) if goes_on else []
    files = SweepFiles(sweep_dir, problem.space, sweep_facts(problem, config, sweep_dir))
    progress = Progress(problem.settings.metric, problem.mode, lines)
    journal = Journal(sweep_dir)
    try:
        driver = Driver(
            problem=problem,
            sweep_dir=sweep_dir,
            resources=resources,
            limit=min(fits, problem.settings.max_concurrent or fits),
            journal=journal,
            standing=Standing(lines),
            files=files,
            console=console,
            trial_facts=_trial_facts(problem, files.facts),
            tracked=SweepRun(sweep_dir, files.facts, config, trackers, progress, console.note),
        )
        with StopSignals() as stop:
            return driver.run(lines, stop)
    finally:
        journal.close()


def sweep_facts(problem: SweepProblem, config: Config, sweep_dir: Path) -> dict[str, Any]:
    """What ``sweep.json`` says from the start; what an earlier driver wrote stays where it is not known better."""
    before = read_sweep(sweep_dir)
    now = time.time()
    return {
        "uid": before.get("uid") or new_uid(),
        "name": sweep_dir.name,
        "experiment": before.get("experiment") or run_name(config),
        "status": "running",
        "error": None,
        "total": problem.total,
        **problem_facts(problem),
        "started": before.get("started") or now,
        "launched": now,
        "finished": None,
        "best": None,
        "trials": {},
        "seeds": None,
        "tracking": before.get("tracking") or {},
        **collect_facts(),
    }


def problem_facts(problem: SweepProblem) -> dict[str, Any]:
    """What a sweep is to do, as JSON values."""
    tune = problem.settings
    return {
        "metric": tune.metric,
        "mode": problem.mode,
        "max_iters": problem.max_iters,
        "searcher": dict(tune.searcher or {"type": "Random"}),
        "scheduler": dict(tune.scheduler) if tune.scheduler else None,
        "space": {"size": problem.space.size(), "dimensions": [dimension_facts(d) for d in problem.space.all()]},
    }


def _trial_facts(problem: SweepProblem, facts: Mapping[str, Any]) -> dict[str, Any]:
    """What the ``run.json`` of each trial says of its sweep and data; its own command would be that of a Ray worker."""
    about = {key: facts[key] for key in ("uid", "name", "experiment", "metric", "mode")}
    shared = {key: facts[key] for key in ("experiment", "command")}
    return {**shared, "sweep": about, "data": data_facts(problem.runner)}
