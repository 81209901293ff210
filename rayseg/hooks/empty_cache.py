"""EmptyCacheHook: gives unused GPU memory back to the driver."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from rayseg.engine.hook import DataBatch, Hook, Outputs

if TYPE_CHECKING:
    from rayseg.engine.runner import Runner


class EmptyCacheHook(Hook):
    """Empties torch's CUDA cache; does nothing without a GPU.

    Args:
        before_epoch: before each training, validation and test epoch.
        after_epoch: after each of them.
        after_iter: after each iteration; slow.
    """

    priority = "NORMAL"

    def __init__(self, before_epoch: bool = False, after_epoch: bool = True, after_iter: bool = False) -> None:
        self.do_before_epoch = before_epoch
        self.do_after_epoch = after_epoch
        self.do_after_iter = after_iter

    def _before_epoch(self, runner: Runner, mode: str = "train") -> None:
        if self.do_before_epoch:
            torch.cuda.empty_cache()

    def _after_epoch(self, runner: Runner, mode: str = "train") -> None:
        if self.do_after_epoch:
            torch.cuda.empty_cache()

    def _after_iter(
        self, runner: Runner, batch_idx: int, data_batch: DataBatch = None, outputs: Outputs = None, mode: str = "train"
    ) -> None:
        if self.do_after_iter:
            torch.cuda.empty_cache()
