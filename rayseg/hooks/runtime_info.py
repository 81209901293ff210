"""RuntimeInfoHook: iteration, epoch, learning rate and losses, for whoever reads the message hub."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rayseg.engine.hook import DataBatch, Hook, Outputs

if TYPE_CHECKING:
    from rayseg.engine.runner import Runner


class RuntimeInfoHook(Hook):
    """Always registered, first in every iteration."""

    priority = "VERY_HIGH"

    def before_run(self, runner: Runner) -> None:
        """Note what the run is."""
        hub = runner.message_hub
        hub.update_info("experiment_name", runner.cfg.get("experiment_name"), resumed=False)
        hub.update_info("seed", runner.seed, resumed=False)

    def before_train(self, runner: Runner) -> None:
        """Note how far the run goes and where it stands."""
        hub = runner.message_hub
        hub.update_info("max_iters", runner.max_iters, resumed=False)
        hub.update_info("max_epochs", runner.max_epochs, resumed=False)
        hub.update_info("iter", runner.iter, resumed=False)
        hub.update_info("epoch", runner.epoch, resumed=False)
        hub.update_info("dataset_meta", runner.metainfo, resumed=False)

    def before_train_epoch(self, runner: Runner) -> None:
        """Note the epoch."""
        runner.message_hub.update_info("epoch", runner.epoch, resumed=False)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: DataBatch = None) -> None:
        """Note the iteration and the learning rate it will use."""
        hub = runner.message_hub
        hub.update_info("iter", runner.iter, resumed=False)
        hub.update_scalar("train/lr", runner.optim_wrapper.param_groups[0]["lr"])

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: DataBatch = None, outputs: Outputs = None
    ) -> None:
        """Note the losses, and the gradient norm of a step that was just made."""
        if not isinstance(outputs, dict):
            return
        hub = runner.message_hub
        for name, value in outputs.items():
            hub.update_scalar(f"train/{name}", value)
        wrapper = runner.optim_wrapper
        if wrapper.at_boundary and (grad_norm := wrapper.grad_norm) is not None:
            hub.update_scalar("train/grad_norm", grad_norm)
