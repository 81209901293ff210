"""From the ``param_scheduler`` section to schedules that act together."""

from __future__ import annotations

from typing import Any

from torch.optim import Optimizer

from rayseg.core.errors import ConfigError, Problem
from rayseg.core.registries import PARAM_SCHEDULERS
from rayseg.optim.schedule import ParamScheduler, ScheduleChain
from rayseg.optim.wrapper import OptimWrapper

__all__ = ["ParamScheduler", "build_param_schedulers"]


def build_param_schedulers(
    cfgs: Any, optim_wrapper: OptimWrapper | Optimizer, *, epoch_length: int, max_iters: int, by_epoch_loop: bool
) -> list[ParamScheduler]:
    """The schedules of the ``param_scheduler`` section; the values of the first iteration are set.

    Args:
        cfgs: a dict with ``type``, a ParamScheduler, a list of them, or None.
        optim_wrapper: whose groups' values they set; schedules of one number act one after the other.
        epoch_length: iterations of an epoch.
        max_iters: iterations of the run.
        by_epoch_loop: whether the training loop counts epochs.

    Raises:
        ConfigError: an argument out of its range, a number that the optimizer lacks, or a schedule by epoch in an
            iteration loop.
    """
    listed = cfgs if isinstance(cfgs, list | tuple) else [cfgs] if cfgs else []
    optimizer = optim_wrapper if isinstance(optim_wrapper, Optimizer) else optim_wrapper.optimizer
    run: dict[str, Any] = {"epoch_length": epoch_length, "max_iters": max_iters, "by_epoch_loop": by_epoch_loop}
    chains: dict[str, ScheduleChain] = {}
    schedulers = []
    for index, cfg in enumerate(listed):
        try:
            scheduler = PARAM_SCHEDULERS.build(cfg)
            if not isinstance(scheduler, ParamScheduler):
                raise ConfigError(f"expected a subclass of ParamScheduler, found a {type(scheduler).__name__}")
            name = scheduler.param_name
            schedulers.append(scheduler.bound(chains.setdefault(name, ScheduleChain(optimizer, name)), **run))
        except ConfigError as error:
            problems = [Problem(problem.message, f"param_scheduler.{index}") for problem in error.problems]
            raise ConfigError(problems) from None
    for name, chain in chains.items():
        chain.start([scheduler for scheduler in schedulers if scheduler.param_name == name])
    return schedulers
