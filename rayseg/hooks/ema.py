"""EMAHook: an average of the weights, kept beside them, that validation and ``model.safetensors`` use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from rayseg.config.markers import at_least
from rayseg.core.errors import ConfigError
from rayseg.engine.hook import DataBatch, Hook, Outputs
from rayseg.optim.averaging import AveragedWeights, check_averaging

if TYPE_CHECKING:
    from rayseg.engine.runner import Runner


ANNEALING, PLAIN_MEAN = "MomentumAnnealingEMA", "StochasticWeightAverage"


class EMAHook(Hook):
    """Averages the weights after each iteration and validates with the average.

    The live weights are never changed for a save: ``model.safetensors`` holds the average, ``training_state.pt`` the
    raw weights.

    Args:
        ema_type: ``ExponentialMovingAverage``, ``MomentumAnnealingEMA`` or ``StochasticWeightAverage``.
        momentum: weight of the newest values in the average.
        gamma: for MomentumAnnealingEMA.
        interval: iterations between two updates.
        update_buffers: average floating-point buffers too; else the live ones are used.
        begin_iter: the first iteration that is averaged, 1 for the run's first; until then the average *is* the live
            weights.
        begin_epoch: the same, in epochs; in an iteration loop, in passes over the data.
        start_iters: another word for ``begin_iter``, as MM's documentation has it.
        strict_load: MM's; states are always loaded strictly here.
    """

    priority = "NORMAL"

    def __init__(
        self,
        ema_type: Literal[
            "ExponentialMovingAverage", "MomentumAnnealingEMA", "StochasticWeightAverage"
        ] = "ExponentialMovingAverage",
        momentum: float = 0.0002,
        gamma: int = 100,
        interval: int = 1,
        update_buffers: bool = False,
        begin_iter: Annotated[int, at_least(0)] = 0,
        begin_epoch: Annotated[int, at_least(0)] = 0,
        start_iters: Annotated[int, at_least(0)] | None = None,
        strict_load: bool = True,
    ) -> None:
        if start_iters is not None and begin_iter:
            raise ConfigError("EMAHook: give begin_iter or start_iters, which mean the same, not both")
        self.begin_iter = begin_iter if start_iters is None else start_iters
        self.begin_epoch = begin_epoch
        if self.begin_iter and self.begin_epoch:
            raise ConfigError("EMAHook: give begin_iter or begin_epoch, not both")
        check_averaging(ema_type, momentum, gamma, interval)
        self.options: dict[str, Any] = {
            "kind": ema_type,
            "momentum": momentum,
            "gamma": gamma,
            "interval": interval,
            "update_buffers": update_buffers,
        }
        self.average: AveragedWeights | None = None
        ignored = {
            "strict_load changes nothing: states are always loaded strictly": not strict_load,
            "gamma changes nothing: only MomentumAnnealingEMA has it": ema_type != ANNEALING and gamma != 100,
            f"momentum changes nothing: {PLAIN_MEAN} is the plain mean": ema_type == PLAIN_MEAN and momentum != 0.0002,
        }
        self.notes = tuple(f"EMAHook.{line}" for line, is_given in ignored.items() if is_given)

    def check(self, runner: Runner) -> None:
        """Refuse a beginning that the run never reaches."""
        last_epoch = runner.max_epochs
        if not runner.loop.by_epoch:
            pass_length: int = runner.train_dataloader.pass_length
            last_epoch = (runner.max_iters - 1) * runner.global_batch_size // pass_length + 1
        for name, begin, last in (
            ("begin_iter", self.begin_iter, runner.max_iters),
            ("begin_epoch", self.begin_epoch, last_epoch),
        ):
            if begin > last:
                raise ConfigError(f"EMAHook.{name}: {begin} is beyond the end of the run, {last}: nothing is averaged")

    def before_run(self, runner: Runner) -> None:
        """Make room for the average."""
        if runner.train_loop is not None:
            self.average = AveragedWeights(runner.model, **self.options)

    def started(self, runner: Runner) -> bool:
        """Whether the iteration that is ending is averaged."""
        return runner.iter + 1 >= self.begin_iter and runner.epoch + 1 >= self.begin_epoch

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: DataBatch = None, outputs: Outputs = None
    ) -> None:
        """Take the new weights into the average."""
        if self.average is not None and self.started(runner):
            self.average.update(runner.model)

    def before_val_epoch(self, runner: Runner) -> None:
        """Validate with the average."""
        if self.average is not None and self.average.steps:
            self.average.swap(runner.model)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Train on with the raw weights."""
        if self.average is not None and self.average.steps:
            self.average.swap(runner.model)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Save the average as the model."""
        if self.average is not None and self.average.steps:
            checkpoint["state_dict"].update(self.average.named_values())

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Take the average back from the saved model."""
        if self.average is not None and self.average.steps:
            self.average.load_values(checkpoint["state_dict"])

    def state_dict(self) -> dict[str, Any]:
        """How many updates the average has seen; its values are the saved model."""
        return {"steps": self.average.steps if self.average is not None else 0}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the count."""
        if self.average is not None:
            self.average.steps = state["steps"]
