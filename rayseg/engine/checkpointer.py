"""Checkpointer: from "save here" to a committed checkpoint, in the steps that all ranks take together.

request (a hook, any time in an iteration) → stage (each rank writes its files, at the next boundary at which no
accumulation window is open) → commit (rank 0 writes the manifest, at the next control point).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rayseg.core import distributed
from rayseg.engine import state
from rayseg.engine.checkpoint_store import Checkpoint, CheckpointStore, FileEntry
from rayseg.engine.control import Agreement

if TYPE_CHECKING:
    from rayseg.engine.runner import Runner


@dataclass
class Staged:
    """A checkpoint whose files are written and that has no manifest yet."""

    iter: int
    facts: dict
    entries: dict[str, FileEntry] = field(default_factory=dict)
    pins: set[str] = field(default_factory=set)
    error: Exception | None = None
    seconds: float = 0.0


class Checkpointer:
    """Saves a run's state into its store.

    Args:
        runner: whose state.
        store: where to.
        attempt: the number that this worker group claimed in the store.

    Attributes:
        max_keep: unpinned checkpoints that are kept (None: all).
        committed_iter: iteration of the last commit, -1 before the first.
    """

    def __init__(self, runner: Runner, store: CheckpointStore, attempt: int) -> None:
        self.runner = runner
        self.store = store
        self.attempt = attempt
        self.max_keep: int | None = None
        self.committed_iter = -1
        self._requested = False
        self._pins: set[str] = set()
        self._staged: Staged | None = None

    def request(self, pin: str | None = None) -> None:
        """Ask for a checkpoint of the next boundary; what is already saved there is not saved again.

        Args:
            pin: a label that keeps it from being pruned and under which it can be loaded (``best_mIoU``).
        """
        self._requested = True
        if pin is not None:
            self._pins.add(pin)

    def stage_if_requested(self) -> None:
        """At a boundary: write this rank's files, unless this iteration's are already written."""
        if not self._requested or not self.runner.optim_wrapper.at_boundary:
            return
        self._requested, pins, self._pins = False, self._pins, set()
        here = self.runner.iter
        if self._staged is not None and self._staged.iter != here:
            self.control_point()
        if self._staged is not None:
            self._staged.pins |= pins
        elif self.committed_iter == here:
            self._pin(pins, here)
        else:
            self._stage(here, pins)

    def control_point(self) -> Agreement:
        """Agree with the other ranks; commit what all have staged, unless an alarm forbids it; let alarms act.

        A checkpoint that a rank wants because its machine may go away is written at the next boundary.

        Raises:
            CheckpointError: a rank could not write, or the commit failed; on every rank.
            RaysegError: an alarm ends the run; on every rank.
        """
        staged = self._staged
        failed = staged is not None and staged.error is not None
        stop = self.runner.host.stop_reason() is not None
        if (ending := self.runner.host.end_reason()) is not None:
            self.runner.loop.end_early(ending)
        try:
            agreement = self.runner.control.agree(
                stop=stop,
                staged_iter=-1 if staged is None else staged.iter,
                failed=failed,
                end=self.runner.loop.stop_training,
                save=self.runner.host.wants_checkpoint(),
            )
        except Exception as error:
            if staged is not None and staged.error is not None:
                raise staged.error from error
            raise
        if staged is not None and agreement.is_sound(staged.iter):
            self._commit()
        self._staged = None
        for alarm, finding in agreement.findings:
            alarm.ring(finding)
        if agreement.save:
            self.request()
        return agreement

    def repin(self, checkpoint: Checkpoint) -> None:
        """Pin a checkpoint as its manifest says, in case the run was killed between its commit and its pins."""
        self._pin(set(checkpoint.facts.get("pins", ())), checkpoint.iter)

    def _stage(self, here: int, pins: set[str]) -> None:
        started = time.perf_counter()
        facts, files = state.capture(self.runner)
        self._staged = Staged(here, facts, pins=pins)
        try:
            self._staged.entries = self.store.stage(f"iter_{here}", files, self.attempt)
        except Exception as error:
            self._staged.error = error
        self._staged.seconds = time.perf_counter() - started

    def _commit(self) -> None:
        staged, self._staged = self._staged, None
        assert staged is not None
        group = self.runner.control.group
        entries = {
            name: entry
            for of_rank in distributed.gather_objects(staged.entries, group)
            for name, entry in of_rank.items()
        }
        name = f"iter_{staged.iter}"
        facts = {**staged.facts, "pins": sorted(staged.pins)}
        distributed.on_rank0(lambda: self.store.commit(name, entries, facts, self.attempt), group)
        self.committed_iter = staged.iter
        self.runner.publish.event(
            "checkpoint",
            name=name,
            iter=staged.iter,
            bytes=sum(entry.size for entry in entries.values()),
            seconds=staged.seconds,
        )
        self._pin(staged.pins, staged.iter)
        if (keep := self.max_keep) is not None:
            distributed.on_rank0(lambda: self.store.prune(keep, self.attempt), group)
        self._publish_warnings()

    def _pin(self, pins: set[str], here: int) -> None:
        def write() -> None:
            for label in sorted(pins):
                self.store.pin(label, f"iter_{here}", self.attempt)

        if pins:
            distributed.on_rank0(write, self.runner.control.group)

    def _publish_warnings(self) -> None:
        for warning in self.store.warnings:
            self.runner.publish.warning(warning)
        self.store.warnings.clear()
