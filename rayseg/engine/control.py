"""Control points: every few iterations all ranks agree, in one small all-reduce, on stopping and on commits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.distributed as dist

from rayseg.core import distributed
from rayseg.core.errors import CheckpointError

NEVER = 2**62


@dataclass(frozen=True)
class Finding:
    """What an alarm has noticed.

    Attributes:
        iter: the first iteration that it concerns, 1 for the run's first.
        fatal: no state from then on may be saved, and ``ring`` ends the run.
    """

    iter: int
    fatal: bool


class Alarm(Protocol):
    """Watches something that only all ranks together may act on; kept in ``ControlGroup.alarms`` of every rank."""

    def look(self) -> Finding | None:
        """What this rank has noticed since the last control point; may wait for the device."""

    def ring(self, finding: Finding) -> None:
        """Act on what some rank has noticed; called on every rank, so it may communicate, and raise."""


@dataclass(frozen=True)
class Agreement:
    """What all ranks know after a control point.

    Attributes:
        stop: some rank was asked to stop.
        staged: every rank has written its files of the same checkpoint, so it may be committed.
        end: some rank wants the training to end here, as finished.
        save: some rank wants a checkpoint soon, since its machine may go away.
        findings: the alarms that some rank has something for: the earliest, and whether any is fatal.
    """

    stop: bool
    staged: bool
    end: bool = False
    save: bool = False
    findings: tuple[tuple[Alarm, Finding], ...] = ()

    def is_sound(self, at_iter: int) -> bool:
        """Whether the state after so many iterations may be saved."""
        return all(at_iter < finding.iter for _, finding in self.findings if finding.fatal)


class ControlGroup:
    """The gloo group for what ranks agree on, apart from the group that carries gradients.

    Attributes:
        alarms: asked at each control point; the same ones, in the same order, on every rank.
    """

    def __init__(self) -> None:
        self.alarms: list[Alarm] = []
        self.group: Any = dist.new_group(backend="gloo") if distributed.get_world_size() > 1 else None

    def agree(self, *, stop: bool, staged_iter: int, failed: bool, end: bool = False, save: bool = False) -> Agreement:
        """Exchange this rank's facts with the others'.

        Args:
            stop: this rank was asked to stop.
            staged_iter: iteration of the checkpoint whose files this rank has written and that is not yet
                committed; -1 when there is none.
            failed: writing those files failed here.
            end: the training is to end here, as finished.
            save: a checkpoint is wanted soon.

        Raises:
            CheckpointError: some rank could not write, or ranks staged different checkpoints.
        """
        own = [int(stop), int(failed), int(end), int(save), staged_iter, -staged_iter]
        for alarm in self.alarms:
            found = alarm.look()
            own += [-NEVER, 0] if found is None else [-found.iter, int(found.fatal)]
        reduced = distributed.all_reduce(torch.tensor(own, dtype=torch.int64), "max", group=self.group).tolist()
        stop_any, failed_any, end_any, save_any, newest, minus_oldest, *found_any = reduced
        oldest = -minus_oldest
        if failed_any:
            raise CheckpointError(f"a worker could not write its part of checkpoint iter_{newest}")
        if newest != oldest:
            raise CheckpointError(
                f"ranks disagree on the checkpoint to commit (iter {oldest} and {newest}): "
                "save_checkpoint must be called on every rank"
            )
        pairs = zip(self.alarms, zip(found_any[::2], found_any[1::2], strict=True), strict=True)
        findings = tuple((alarm, Finding(-at, bool(fatal))) for alarm, (at, fatal) in pairs if at > -NEVER)
        return Agreement(bool(stop_any), newest >= 0, bool(end_any), bool(save_any), findings)
