"""One training iteration of this rank: forward, backward, and the optimizer's step when its window ends."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from rayseg.core import distributed
from rayseg.core.errors import RaysegError
from rayseg.core.randomness import forked_rng
from rayseg.engine.buffers import load_buffers, named_buffers
from rayseg.engine.stopwatch import Stopwatch
from rayseg.models.normalization import whole_share

if TYPE_CHECKING:
    from rayseg.optim.wrapper import OptimWrapper

UNUSED_PARAMETERS = "Expected to have finished reduction in the prior iteration"  # how DDP's message begins


class TrainStep:
    """Called once an iteration with this rank's share of the global batch.

    Args:
        model: called with ``(inputs, data_samples, mode='loss')``; gives scalar losses, their total as ``loss``.
        optim_wrapper: scales, accumulates, clips and steps.
        micro_batches: pieces into which the share is split, so that fewer ranks than the run began with keep the
            memory of one rank's batch and the mean of DDP.
        stopwatch: takes the times of forward and backward.
    """

    def __init__(
        self,
        model: nn.Module,
        optim_wrapper: OptimWrapper,
        micro_batches: int = 1,
        stopwatch: Stopwatch | None = None,
    ) -> None:
        self.model = model
        self.optim_wrapper = optim_wrapper
        self.micro_batches = micro_batches
        self.stopwatch = stopwatch or Stopwatch()

    def __call__(self, data_batch: Any) -> dict[str, torch.Tensor]:
        """The losses of the iteration, detached 0-dim tensors (means over the micro-batches)."""
        if self.micro_batches > 1:
            return self._in_pieces(data_batch)
        with self.optim_wrapper.optim_context(self.model):
            losses = self._losses(data_batch)
        with self.stopwatch.backward:
            self.optim_wrapper.update_params(losses["loss"])
        return {name: value.detach() for name, value in losses.items()}

    def _in_pieces(self, data_batch: Any) -> dict[str, torch.Tensor]:
        total: dict[str, torch.Tensor] = {}
        labels = [sample.gt_sem_seg.data for sample in data_batch["data_samples"]]
        pieces = list(split_batch(data_batch, self.micro_batches))
        with whole_share(labels, len(pieces)):
            for index, piece in enumerate(pieces):
                losses = self._piece(piece, len(pieces), is_last=index + 1 == len(pieces))
                for name, value in losses.items():
                    total[name] = total.get(name, 0) + value.detach() / len(pieces)
        return total

    def _piece(self, piece: Any, pieces: int, *, is_last: bool) -> dict[str, torch.Tensor]:
        with self.optim_wrapper.optim_context(self.model, sync=None if is_last else False):
            losses = self._losses(piece)
        count_in = self.optim_wrapper.update_params if is_last else self.optim_wrapper.accumulate
        with self.stopwatch.backward:
            count_in(losses["loss"] / pieces)
        return losses

    def _losses(self, batch: Any) -> dict[str, torch.Tensor]:
        try:
            with self.stopwatch.forward:
                losses: dict[str, torch.Tensor] = self.model(batch["inputs"], batch["data_samples"], mode="loss")
        except RuntimeError as error:
            if UNUSED_PARAMETERS in str(error):
                raise RaysegError(_unused(self.model, str(error))) from error
            raise
        return losses


def _unused(model: nn.Module, message: str) -> str:
    """What DDP says of parameters without a gradient, with their names."""
    listed = re.search(r"did not receive grad for rank \d+: ([\d ]+)", message)
    trained = [name for name, value in distributed.unwrap(model).named_parameters() if value.requires_grad]
    names = [trained[int(index)] for index in (listed[1].split() if listed else ())]
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return (
        f"model: no loss depends on {shown or 'some of the parameters'}, so their gradients never come; leave them out "
        "of the network, or say env_cfg.find_unused_parameters=True"
    )


def split_batch(data_batch: Any, pieces: int) -> Iterator[dict[str, Any]]:
    """Equal parts of a batch, in order; its length must divide by ``pieces``."""
    size = len(data_batch["data_samples"]) // pieces
    for start in range(0, size * pieces, size):
        part = slice(start, start + size)
        yield {"inputs": data_batch["inputs"][part], "data_samples": data_batch["data_samples"][part]}


def warm_up(model: nn.Module, data_batch: Any) -> None:
    """Two backwards whose gradients are thrown away, so that DDP has its final buckets before the first iteration.

    DDP groups gradients anew after the first backward, which changes the order of the all-reduce's sums: with three
    or more ranks a resumed process would then differ in the last bits from one that was never killed. Buffers and
    random generators are left as they were.
    """
    if not isinstance(model, nn.parallel.DistributedDataParallel) or distributed.get_world_size() < 3:
        return
    buffers = {name: buffer.detach().clone() for name, buffer in named_buffers(model).items()}
    with forked_rng():
        for _ in range(2):
            model(data_batch["inputs"], data_batch["data_samples"], mode="loss")["loss"].backward()
            model.zero_grad(set_to_none=True)
    load_buffers(model, buffers)
