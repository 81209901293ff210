"""Control points: every few iterations all ranks agree, in one small all-reduce, on stopping and on commits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist

from rayseg.core import distributed
from rayseg.core.errors import CheckpointError


@dataclass(frozen=True)
class Agreement:
    """What all ranks know after a control point.

    Attributes:
        stop: some rank was asked to stop.
        staged: every rank has written its files of the same checkpoint, so it may be committed.
    """

    stop: bool
    staged: bool


class ControlGroup:
    """The gloo group for what ranks agree on, apart from the group that carries gradients."""

    def __init__(self) -> None:
        self.group: Any = dist.new_group(backend="gloo") if distributed.get_world_size() > 1 else None

    def agree(self, *, stop: bool, staged_iter: int, failed: bool) -> Agreement:
        """Exchange this rank's facts with the others'.

        Args:
            stop: this rank was asked to stop.
            staged_iter: iteration of the checkpoint whose files this rank has written and that is not yet
                committed; -1 when there is none.
            failed: writing those files failed here.

        Raises:
            CheckpointError: some rank could not write, or ranks staged different checkpoints.
        """
        facts = torch.tensor([int(stop), int(failed), staged_iter, -staged_iter], dtype=torch.int64)
        distributed.all_reduce(facts, "max", group=self.group)
        stop_any, failed_any, newest, oldest = facts[0].item(), facts[1].item(), facts[2].item(), -facts[3].item()
        if failed_any:
            raise CheckpointError(f"a worker could not write its part of checkpoint iter_{newest}")
        if newest != oldest:
            raise CheckpointError(
                f"ranks disagree on the checkpoint to commit (iter {oldest} and {newest}): "
                "save_checkpoint must be called on every rank"
            )
        return Agreement(stop=bool(stop_any), staged=newest >= 0)
