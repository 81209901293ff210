"""plan_sweep: what a sweep would do, for ``rayseg tune --dry-run``. Nothing is started and nothing is written."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from typing import Any

from rayseg.config.tree import walk
from rayseg.engine.hardware import cores
from rayseg.orchestration.cluster import asked, local_gpus, names_a_cluster, require_local, room_here
from rayseg.orchestration.source import Overrides, Source
from rayseg.tuning.problem import SweepProblem
from rayseg.tuning.sweeping import plan_sweep_run, problem_facts

SHOWN_DRAWS = 12


@dataclass(frozen=True)
class SweepPlan:
    """A sweep on paper; ``facts`` holds JSON values by topic, ``tree`` the space as lines."""

    facts: dict[str, Any]
    tree: list[str]

    def as_dict(self) -> dict[str, Any]:
        """The facts."""
        return self.facts

    def lines(self) -> list[str]:
        """The facts for people."""
        return _lines(self.facts, self.tree)


def plan_sweep(
    source: Source,
    *,
    overrides: Overrides = (),
    work_dir: str | PathLike[str] | None = None,
    num_samples: int | None = None,
    workers: int | None = None,
    resume: bool = False,
    auto_resume: bool = False,
) -> SweepPlan:
    """What ``tune`` with the same arguments would do.

    Raises:
        ConfigError: what ``tune`` would raise.
    """
    problem, sweep_dir = plan_sweep_run(
        source, overrides, work_dir, num_samples, workers, resume=resume, auto_resume=auto_resume
    )
    if not names_a_cluster():
        require_local(problem.scaling)
    facts = {
        "sweep_dir": str(sweep_dir.path),
        "trials": problem.total,
        **problem_facts(problem),
        "resources": _resources(problem),
        "checked": [{"draw": draw, "changed": _changed(problem, draw)} for draw in problem.cover],
    }
    return SweepPlan(facts, problem.space.lines())


def _resources(problem: SweepProblem) -> dict[str, Any]:
    scaling = problem.scaling
    each = asked(scaling, local_gpus())
    fits = None if names_a_cluster() else room_here(scaling) // scaling.num_workers
    wanted = problem.settings.max_concurrent
    return {
        "workers_per_trial": scaling.num_workers,
        "per_worker": each,
        "where": "workers of its own" if problem.is_nested else "its own process",
        "fit_at_once": fits,
        "at_once": wanted if fits is None else min(fits, wanted or fits),
        "cores": cores(),
    }


def _changed(problem: SweepProblem, draw: dict[str, Any]) -> dict[str, Any]:
    """The leaves of a trial's config that the draw decides on, by key path."""
    keys = tuple(d.key for d in problem.space.all() if not d.key.startswith("variants."))
    config = problem.space.config_of(draw)
    return {path: value for path, value in walk(config) if path.startswith(keys)}


def _lines(facts: dict[str, Any], tree: list[str]) -> list[str]:
    space, resources = facts["space"], facts["resources"]
    size = f"{space['size']:,} points" if space["size"] is not None else "infinitely many points"
    scheduler = facts["scheduler"]
    each = ", ".join(f"{amount:g} {name}" for name, amount in resources["per_worker"].items())
    at_once = resources["at_once"]
    return [
        f"sweep directory {facts['sweep_dir']}",
        f"space           {len(space['dimensions'])} dimensions, {size}",
        *(f"                {line}" for line in tree),
        f"trials          {facts['trials']:,} of up to {facts['max_iters']:,} iterations, "
        f"by {_component(facts['searcher'])}" + (f", {_rule(scheduler)}" if scheduler else ", none stopped early"),
        f"compared by     {facts['metric']}, the {'larger' if facts['mode'] == 'max' else 'smaller'} the better",
        f"each trial      {resources['workers_per_trial']} of {each} in {resources['where']}"
        + (f"; {at_once} at once" if at_once is not None else "; as many at once as fit"),
        f"checked whole   {len(facts['checked'])} trials, each option of each choice in at least one:",
        *(f"                {_drawn(entry['draw'])}" for entry in facts["checked"][:SHOWN_DRAWS]),
    ]


def _rule(scheduler: dict[str, Any]) -> str:
    does = "which take over from each other by" if scheduler["type"] == "PBT" else "stopped early by"
    return f"{does} {_component(scheduler)}"


def _component(section: dict[str, Any]) -> str:
    arguments = ", ".join(f"{key}={value!r}" for key, value in section.items() if key != "type")
    return f"{section['type']}({arguments})"


def _drawn(draw: dict[str, Any]) -> str:
    return ", ".join(
        f"{name}={value:.3g}" if isinstance(value, float) else f"{name}={value}" for name, value in draw.items()
    )
