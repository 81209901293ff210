"""What a sweep is to do, checked as far as it can be before anything is started: space, searcher, scheduler, trials."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rayseg.config import Config, check_config, config_import_path, settings
from rayseg.config.settings import Scaling, TuneSettings
from rayseg.core.errors import ConfigError, Problem
from rayseg.core.registries import SEARCHERS, SWEEP_SCHEDULERS
from rayseg.engine.runner import Runner
from rayseg.hooks.rules import guess_rule, require_metric
from rayseg.orchestration.cluster import asked, local_gpus
from rayseg.orchestration.rehearsal import rehearse
from rayseg.orchestration.source import resolved
from rayseg.tuning.repeats import baseline_draw
from rayseg.tuning.schedulers import Scheduler
from rayseg.tuning.searchers import Searcher
from rayseg.tuning.space import Draw, Space

REHEARSED = 24  # of the draws that cover the space; what is more is checked without being built


@dataclass(frozen=True)
class SweepProblem:
    """A checked sweep.

    Attributes:
        config: with its open leaves.
        total: trials.
        mode: ``max`` or ``min``.
        max_iters: iterations of the longest trial.
        baseline: the draw that the best trials are compared with.
        cover: draws of which each option of each choice is in at least one, all of them checked.
        runner: the rehearsed run of the first of them.
    """

    config: Config
    settings: TuneSettings
    space: Space
    searcher: Searcher
    scheduler: Scheduler | None
    total: int
    mode: str
    max_iters: int
    baseline: Draw
    cover: list[Draw]
    runner: Runner

    @property
    def scaling(self) -> Scaling:
        """The scaling of one trial."""
        scaling: Scaling = settings(self.config, "scaling")
        return scaling

    @property
    def is_nested(self) -> bool:
        """Whether a trial has workers of its own, instead of running in its own process."""
        return self.scaling.num_workers > 1

    def trial_config(self, draw: Mapping[str, Any]) -> Config:
        """The checked and completed config of a trial; its threads are said, so that it gives its scores anywhere.

        Raises:
            ConfigError: the draw gives no valid config.
        """
        config = self.space.config_of(draw)
        config.pop("work_dir", None)
        randomness = dict(config.get("randomness") or {})
        if randomness.get("threads") is None:
            cpus = asked(settings(config, "scaling"), local_gpus()).get("CPU", 1)
            config["randomness"] = {**randomness, "threads": max(1, int(cpus))}
        completed, _ = resolved(config)
        return completed


def posed(config: Config, sweep_dir: Path) -> SweepProblem:
    """Check a sweep: every option of every choice in a config that is built once, as ``rayseg train`` would.

    Raises:
        ConfigError: everything that is wrong, with the draw that shows it.
    """
    check_config(config)
    tune: TuneSettings = settings(config, "tune")
    space = Space(config)
    if not space.dimensions:
        raise ConfigError(
            "nothing is open: give a leaf a choice, such as optim_wrapper.optimizer.lr='loguniform(1e-5, 1e-2)'"
        )
    with config_import_path(config):
        with _located(config, "tune.metric"):
            mode = tune.mode or _guessed_mode(tune.metric)
        with _located(config, "tune.scheduler"):
            scheduler = _built(SWEEP_SCHEDULERS, tune.scheduler, "tune.scheduler") if tune.scheduler else None
        with _located(config, "tune.searcher"):
            searcher = _searcher(config, tune, mode)
            total = searcher.total(space, tune.num_samples)
    with _located(config, "tune.baseline"):
        baseline = baseline_draw(space, tune.baseline)
    cover = space.cover()
    problem = SweepProblem(config, tune, space, searcher, scheduler, total, mode, 0, baseline, cover, None)  # type: ignore[arg-type]
    runners = [_rehearsed(problem, draw, sweep_dir) for draw in cover[:REHEARSED]]
    for draw in [*cover[REHEARSED:], *([baseline] if tune.seeds else [])]:
        with _shown(draw):
            problem.trial_config(draw)
    runner, max_iters = runners[0], max(runner.max_iters for runner in runners)
    with _located(config, "tune.scheduler"):
        _check_runs(problem, runner, max_iters)
        if scheduler is not None:
            scheduler.check_trials(space, total, runners)
    return replace(problem, runner=runner, max_iters=max_iters)


def require_room(problem: SweepProblem, fits: int) -> None:
    """Refuse a scheduler that needs more trials at the same time than ``fits``, or ``tune.max_concurrent``, allow.

    Raises:
        ConfigError: naming the key.
    """
    wanted = problem.settings.max_concurrent
    is_limited = wanted is not None and wanted < fits
    reason = "raise tune.max_concurrent" if is_limited else "scaling.resources_per_worker={'CPU': 0.5} makes room"
    if problem.scheduler is not None:
        with _located(problem.config, "tune.num_samples"):
            problem.scheduler.check_room(problem.total, min(fits, wanted or fits), reason)


def _check_runs(problem: SweepProblem, runner: Runner, max_iters: int) -> None:
    if runner.val_loop is None:
        raise ConfigError("tune.metric: there is no validation to give it; the config needs a val_dataloader")
    require_metric(problem.settings.metric, runner.val_loop.metric_names(), "tune.metric")
    if problem.scheduler is not None:
        loop = runner.loop
        interval = loop.val_interval * (runner.epoch_length if loop.by_epoch else 1)
        problem.scheduler.check(max_iters, interval)


def _rehearsed(problem: SweepProblem, draw: Draw, sweep_dir: Path) -> Runner:
    with _shown(draw):
        config = problem.trial_config(draw)
        return rehearse(config, sweep_dir, None, settings(config, "scaling").num_workers)


def _guessed_mode(metric: str) -> str:
    rule = guess_rule(metric)
    if rule is None:
        raise ConfigError(f"tune.mode: the name {metric!r} does not say which is better; say 'max' or 'min'")
    return "max" if rule == "greater" else "min"


def _searcher(config: Config, tune: TuneSettings, mode: str) -> Searcher:
    searcher = _built(SEARCHERS, tune.searcher or {"type": "Random"}, "tune.searcher")
    if getattr(searcher, "seed", None) is None:
        searcher.seed = settings(config, "randomness").seed or 0
    searcher.metric, searcher.mode = tune.metric, mode
    found: Searcher = searcher
    return found


def _built(registry: Any, section: dict[str, Any], key: str) -> Any:
    try:
        return registry.build(section)
    except ConfigError as error:
        raise ConfigError(f"{key}: {error}") if key not in str(error) else error from None


@contextmanager
def _located(config: Config, key: str) -> Iterator[None]:
    """With the file that set ``key``, where an error names none."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(replace(p, file=p.file or config.origin(p.key or key)) for p in error.problems) from None


@contextmanager
def _shown(draw: Draw) -> Iterator[None]:
    """With the draw, where an error is one of a trial's."""
    try:
        yield
    except ConfigError as error:
        drawn = ", ".join(f"{name}={value!r}" for name, value in draw.items())
        raise ConfigError(
            Problem(f"{p.message} (in a trial with {drawn})", p.key, p.file) for p in error.problems
        ) from error.__cause__
