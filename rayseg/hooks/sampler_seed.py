"""DistSamplerSeedHook: a new order of the data in each epoch, the same on every rank."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rayseg.engine.hook import Hook

if TYPE_CHECKING:
    from rayseg.engine.runner import Runner


class DistSamplerSeedHook(Hook):
    """Tells the training sampler the epoch.

    rayseg's own sampler derives each pass's order from (seed, pass) itself, in iteration loops too; a loader of the
    user's with torch's DistributedSampler needs this call. A training sampler that does not shuffle is warned about.
    """

    priority = "NORMAL"

    def before_train(self, runner: Runner) -> None:
        """Warn of a training sampler that gives every pass in the same order."""
        sampler = getattr(runner.train_dataloader, "sampler", None)
        if getattr(sampler, "shuffle", True) is False:
            runner.publish.warning("train_dataloader does not shuffle: every pass sees the data in the same order")

    def before_train_epoch(self, runner: Runner) -> None:
        """Tell sampler and batch sampler the epoch, where they want to know."""
        loader = runner.train_dataloader
        batch_sampler = getattr(loader, "batch_sampler", None)
        for sampler in (getattr(loader, "sampler", None), getattr(batch_sampler, "sampler", None)):
            set_epoch = getattr(sampler, "set_epoch", None)
            if set_epoch is not None:
                set_epoch(runner.epoch)
