"""Which trials are stopped early: Ray Tune's schedulers under the words of iterations."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Protocol

from rayseg.core.errors import ConfigError
from rayseg.engine.runner import Runner
from rayseg.tuning.space import Space


class Scheduler(Protocol):
    """Makes a scheduler of Ray Tune; its time is ``iter``."""

    def check(self, max_iters: int, val_interval: int) -> None:
        """Refuse what cannot act in runs of that length.

        Raises:
            ConfigError: naming the key.
        """

    def check_trials(self, space: Space, total: int, runners: Sequence[Runner]) -> None:
        """Refuse a space, or trials of it, that it does not suit.

        Args:
            space: of the sweep.
            total: trials.
            runners: the rehearsed runs of draws that cover the space.

        Raises:
            ConfigError: naming the key.
        """

    def check_room(self, total: int, at_once: int, reason: str) -> None:
        """Refuse a sweep of which too few trials run at the same time.

        Args:
            total: trials.
            at_once: as many run at the same time.
            reason: what would make room for more.

        Raises:
            ConfigError: naming the key.
        """

    def build(self, metric: str, mode: str, max_iters: int) -> Any:
        """The scheduler."""


class Stopping:
    """What the schedulers that only stop trials share: any space and any number at a time is well."""

    def check_trials(self, space: Space, total: int, runners: Sequence[Runner]) -> None:
        """See ``Scheduler``."""

    def check_room(self, total: int, at_once: int, reason: str) -> None:
        """See ``Scheduler``."""


class ASHA(Stopping):
    """Asynchronous successive halving (Li et al. 2020): at each rung the lower part of the trials so far is stopped.

    Rungs lie at ``grace_iters``, times ``reduction_factor``, and so on. A trial is looked at in the first validation
    at or after a rung.

    Args:
        grace_iters: no trial is stopped before so many iterations.
        reduction_factor: at a rung one of so many trials goes on.
    """

    def __init__(self, grace_iters: int, reduction_factor: float = 3) -> None:
        if grace_iters < 1:
            raise ConfigError(f"tune.scheduler.grace_iters: expected at least 1, found {grace_iters}")
        if reduction_factor <= 1:
            raise ConfigError(f"tune.scheduler.reduction_factor: expected more than 1, found {reduction_factor}")
        self.grace_iters = grace_iters
        self.reduction_factor = reduction_factor

    def check(self, max_iters: int, val_interval: int) -> None:
        """See ``Scheduler``."""
        _require_grace(self.grace_iters, max_iters, val_interval)

    def build(self, metric: str, mode: str, max_iters: int) -> Any:
        """See ``Scheduler``."""
        from ray.tune.schedulers import AsyncHyperBandScheduler

        return AsyncHyperBandScheduler(
            time_attr="iter",
            metric=metric,
            mode=mode,
            max_t=max_iters + 1,  # what reaches its end ends by itself
            grace_period=self.grace_iters,
            reduction_factor=self.reduction_factor,
        )


class MedianStopping(Stopping):
    """Stops a trial whose best score is worse than the median of the others' running means (Golovin et al. 2017).

    Args:
        grace_iters: no trial is stopped before so many iterations.
        min_samples: how many other trials must have come as far.
    """

    def __init__(self, grace_iters: int, min_samples: int = 3) -> None:
        if grace_iters < 1:
            raise ConfigError(f"tune.scheduler.grace_iters: expected at least 1, found {grace_iters}")
        if min_samples < 1:
            raise ConfigError(f"tune.scheduler.min_samples: expected at least 1, found {min_samples}")
        self.grace_iters = grace_iters
        self.min_samples = min_samples

    def check(self, max_iters: int, val_interval: int) -> None:
        """See ``Scheduler``."""
        _require_grace(self.grace_iters, max_iters, val_interval)

    def build(self, metric: str, mode: str, max_iters: int) -> Any:
        """See ``Scheduler``."""
        from ray.tune.schedulers import MedianStoppingRule

        return MedianStoppingRule(
            time_attr="iter",
            metric=metric,
            mode=mode,
            grace_period=self.grace_iters,
            min_samples_required=self.min_samples,
            min_time_slice=sys.maxsize,  # it never pauses a trial for another one
        )


def _require_grace(grace_iters: int, max_iters: int, val_interval: int) -> None:
    if grace_iters >= max_iters:
        raise ConfigError(
            f"tune.scheduler.grace_iters: {grace_iters}, and a trial has {max_iters} iterations: none is ever stopped"
        )
    if val_interval >= max_iters:
        raise ConfigError(
            f"train_cfg.val_interval: {val_interval}, and a trial has {max_iters} iterations: only its last validation "
            "would be judged; tune.scheduler needs more of them"
        )
