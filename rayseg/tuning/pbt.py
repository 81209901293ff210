"""PBT: population based training. Bad trials go on from the checkpoints of good ones, with changed hyperparameters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from rayseg.config.markers import Rule, above, at_least
from rayseg.core.errors import ConfigError
from rayseg.core.periods import due
from rayseg.engine.runner import Runner
from rayseg.hooks.checkpoint import KEY as CHECKPOINT
from rayseg.hooks.checkpoint import CheckpointHook
from rayseg.tuning.exploring import Explorer, perturbable
from rayseg.tuning.space import Space

KEY = "tune.scheduler"


class PBT:
    """Population based training (Jaderberg et al. 2017), decided by Ray Tune's rule.

    After each ``perturbation_interval`` trials wait for each other and are compared. Each of the lower part goes on
    from the checkpoint of one of the upper part, whose config it takes over, with numbers of the optimizer changed. So
    the same config gives the same sweep, whichever trial is faster. All trials must run at the same time.

    Args:
        perturbation_interval: iterations between two comparisons of a trial; a multiple of the validations' distance.
        perturb: the dimensions that change: ranges below ``optim_wrapper.optimizer`` and
            ``optim_wrapper.paramwise_cfg``, all of them when not given.
        quantile_fraction: the share of trials in the lower part, and in the upper.
        resample_probability: of a fresh draw of a value, instead of a multiple.
        perturbation_factors: a value becomes one of these multiples of the donor's, inside its range.
        burn_in: no trial is compared before so many iterations.
    """

    def __init__(
        self,
        perturbation_interval: Annotated[int, at_least(1)],
        perturb: list[str] | None = None,
        quantile_fraction: Annotated[float, Rule(lambda share: 0 < share <= 0.5, "above 0 and at most 0.5")] = 0.25,
        resample_probability: Annotated[float, Rule(lambda share: 0 <= share <= 1, "from 0 to 1")] = 0.25,
        perturbation_factors: list[Annotated[float, above(0)]] | tuple[Annotated[float, above(0)], ...] = (1.2, 0.8),
        burn_in: Annotated[int, at_least(0)] = 0,
    ) -> None:
        if not perturbation_factors:
            raise ConfigError(f"{KEY}.perturbation_factors: expected at least one number, such as [1.2, 0.8]")
        self.perturbation_interval = perturbation_interval
        self.perturb = perturb
        self.quantile_fraction = quantile_fraction
        self.resample_probability = resample_probability
        self.perturbation_factors = list(perturbation_factors)
        self.burn_in = burn_in

    def check(self, max_iters: int, val_interval: int) -> None:
        """See ``Scheduler``: it needs validations at its intervals, before the last iteration."""
        interval = self.perturbation_interval
        if interval % val_interval:
            near = max(val_interval, round(interval / val_interval) * val_interval)
            raise ConfigError(
                f"{KEY}.perturbation_interval: {interval}, but trials validate each {val_interval} iterations; "
                f"use a multiple, such as {near}"
            )
        if max(interval, self.burn_in) >= max_iters:
            key = "perturbation_interval" if interval >= max_iters else "burn_in"
            found = interval if interval >= max_iters else self.burn_in
            raise ConfigError(
                f"{KEY}.{key}: {found}, and a trial has {max_iters} iterations: nothing is ever perturbed"
            )

    def check_trials(self, space: Space, total: int, runners: Sequence[Runner]) -> None:
        """See ``Scheduler``: there must be what can be perturbed, and a checkpoint wherever a trial may be a donor."""
        perturbable(space, self.perturb)
        if total < 2:
            raise ConfigError("tune.num_samples: PBT compares trials with each other; it needs at least 2")
        for runner in runners:
            self._require_checkpoints(runner)

    def check_room(self, total: int, at_once: int, reason: str) -> None:
        """See ``Scheduler``: the whole population must live."""
        if at_once < total:
            fewer = f", or use tune.num_samples={at_once}" if at_once > 1 else ""
            raise ConfigError(
                f"tune.num_samples: {total}, but PBT needs all of its trials at the same time, and {at_once} run at "
                f"once: {reason}{fewer}"
            )

    def build(self, metric: str, mode: str, max_iters: int) -> Any:
        """See ``Scheduler``."""
        from rayseg.tuning.population import Population

        return Population(
            metric=metric,
            mode=mode,
            perturbation_interval=self.perturbation_interval,
            quantile_fraction=self.quantile_fraction,
            burn_in=self.burn_in,
            last_iter=max_iters,
        )

    def explorer(self, space: Space) -> Explorer:
        """What gives children their values."""
        return Explorer(perturbable(space, self.perturb), self.resample_probability, self.perturbation_factors)

    def _require_checkpoints(self, runner: Runner) -> None:
        hook = next((hook for hook in runner.hooks if isinstance(hook, CheckpointHook)), None)
        if hook is None:
            raise ConfigError(f"{CHECKPOINT}: PBT copies checkpoints, and there are none; use dict(interval=...)")
        loop, length = runner.loop, runner.epoch_length if runner.loop.by_epoch else 1
        by_epoch = loop.by_epoch if hook.by_epoch is None else hook.by_epoch
        counts = runner.optim_wrapper.accumulative_counts
        for count in self._comparisons(loop.val_interval, loop.val_begin, runner.max_iters, length):
            if not due(count if by_epoch else count * length, hook.interval, begin=hook.save_begin):
                wanted = loop.val_interval if by_epoch else loop.val_interval * length
                raise ConfigError(
                    f"{CHECKPOINT}.interval: {hook.interval} gives no checkpoint at iteration {count * length}, where "
                    f"PBT compares trials and lets one take over another's; use {wanted}, as often as trials validate"
                )
            if count * length % counts:
                raise ConfigError(
                    f"optim_wrapper.accumulative_counts: {counts} does not divide iteration {count * length}, so that "
                    "there is no checkpoint for PBT just then; change it, or train_cfg.val_interval"
                )

    def _comparisons(self, every: int, begin: int, max_iters: int, length: int) -> Iterator[int]:
        """The counts (iterations or epochs) at which trials may be compared: those of validations."""
        last = 0
        for count in range(every, max_iters // length, every):
            if count >= begin and count * length >= max(self.burn_in, last + self.perturbation_interval):
                last = count * length
                yield count
