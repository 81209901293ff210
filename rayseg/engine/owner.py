"""RunOwner: turns a run's records into its files, in the process that owns the run (command line, driver, trial)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from rayseg.core.record import Record
from rayseg.engine.checkpoint_store import CheckpointStore
from rayseg.engine.state import RECORDS_FILE
from rayseg.tracking.recorder import RunRecorder


class RunOwner:
    """Receives every record of a run, in order, from one thread.

    Args:
        recorder: writes the run's files and feeds the trackers.
        store: where the run's checkpoints are, to read the records that a checkpoint carries.
        listen: shown every record once it is written down; the run waits for it.

    Attributes:
        ended: what the workers said at a clean end: ``status`` and ``iter``; None until then.
        iter: the highest iteration that was heard of.
        metrics: the last validation's numbers.
    """

    def __init__(
        self, recorder: RunRecorder, store: CheckpointStore, listen: Callable[[Record], None] | None = None
    ) -> None:
        self.recorder = recorder
        self.store = store
        self.ended: dict[str, Any] | None = None
        self.iter = 0
        self.metrics: dict[str, Any] = {}
        self._listen = listen

    def receive(self, record: Record) -> None:
        """Write one record down; a new attempt first cuts the run's numbers back to where it starts from."""
        self.iter = max(self.iter, record.iter)
        if record.kind == "scalars" and record.mode == "val":
            self.metrics = record.data
        elif record.name == "attempt":
            record = replace(record, data={**record.data, **self._lost(record)})
            self._cut_back(record.data)
        elif record.name == "ended":
            self.ended = record.data
        self.recorder.record(record)
        if self._listen is not None:
            self._listen(record)

    @property
    def best(self) -> dict[str, dict[str, Any]]:
        """Metric to ``{"value", "iter"}``, also from before a resume."""
        found: dict[str, dict[str, Any]] = self.recorder.facts["best"]
        return found

    def _lost(self, record: Record) -> dict[str, Any]:
        """What an attempt that goes on has lost: iterations that are made again, and seconds without any."""
        facts, start_from = self.recorder.facts, record.data["start_from"]
        if not facts["attempts"] or start_from is None:
            return {}
        lost = max(0, facts["iter"] - self.store.load(start_from).iter)
        return {"lost_iters": lost, "idle_s": round(max(0.0, record.time - (facts["updated"] or record.time)), 1)}

    def _cut_back(self, attempt: dict[str, Any]) -> None:
        if attempt["start_from"] is None:
            self.recorder.restore(0, "train", [])
            self.iter, self.metrics = 0, {}
            return
        checkpoint = self.store.load(attempt["start_from"])
        records = [Record(**record) for record in json.loads(checkpoint.read(RECORDS_FILE))]
        self.recorder.restore(checkpoint.iter, checkpoint.facts["phase"], records)
        self.iter = checkpoint.iter
        validated = [record.data for record in records if record.mode == "val"]
        self.metrics = validated[-1] if validated else {}
