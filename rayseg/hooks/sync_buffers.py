"""SyncBuffersHook: one set of BatchNorm statistics, the mean over ranks, for validation, saves and the next epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rayseg.engine.buffers import load_buffers, reduced_buffers
from rayseg.engine.hook import Hook

if TYPE_CHECKING:
    from rayseg.engine.runner import Runner


class SyncBuffersHook(Hook):
    """Averages floating-point buffers over ranks: the live ones after each training epoch, copies elsewhere.

    Validation and ``model.safetensors`` then use the mean of all ranks' buffers; without this hook they use rank 0's.
    Either way each rank's own are as before afterwards.
    """

    priority = "ABOVE_NORMAL"

    def before_run(self, runner: Runner) -> None:
        """Validation and saves average from now on."""
        runner.buffer_reduction = "mean"

    def after_train_epoch(self, runner: Runner) -> None:
        """Give every rank the mean."""
        if runner.world_size > 1:
            load_buffers(runner.model, reduced_buffers(runner.model, "mean"))
