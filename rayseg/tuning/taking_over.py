"""Taking over: a trial's directory becomes that of a run which has come as far as another trial's checkpoint.

Its config is already the new one. Whatever is interrupted may be done again from the start.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from rayseg.config import load_config
from rayseg.core.errors import CheckpointError
from rayseg.engine.build import store_of
from rayseg.engine.checkpoint import Checkpoint
from rayseg.engine.checkpoint_store import CheckpointStore, Writer
from rayseg.engine.storage import CHUNK_BYTES
from rayseg.orchestration.source import CONFIG_FILE
from rayseg.tracking.files import replace_file
from rayseg.tracking.metrics_file import METRICS_FILE
from rayseg.tracking.run_file import RUN_FILE, RunFile

KEPT = "pbt"  # the label of a checkpoint that another trial may take over
INHERITED_FILE = "inherited.jsonl"


def take_over(run_dir: Path, order: Mapping[str, Any]) -> None:
    """Let a run that does not run go on from another one's checkpoint: weights, state, numbers, the best so far.

    Its own checkpoints are removed, since they are of a model that nobody goes on with; its numbers stay in
    ``metrics.attempt_<n>.jsonl``.

    Args:
        order: ``store`` and ``checkpoint``, the donor's.

    Raises:
        CheckpointError: the checkpoint is not there or damaged, or could not be copied.
    """
    donor = CheckpointStore(order["store"])
    checkpoint = donor.load(order["checkpoint"])
    store = store_of(load_config(run_dir / CONFIG_FILE), run_dir)
    attempt = store.claim_attempt()
    store.clean(attempt)
    for label in store.pins():
        store.unpin(label, attempt)
    store.prune(0, attempt, spare_newest=False)
    _take_numbers(run_dir)
    known = {each.name: each for each in donor.list() if each.iter < checkpoint.iter}
    for label, name in donor.pins().items():
        if label.startswith("best") and name in known:
            _copy(known[name], store, attempt)
            store.pin(label, name, attempt)
    _copy(checkpoint, store, attempt)


def _copy(checkpoint: Checkpoint, store: CheckpointStore, attempt: int) -> None:
    entries = store.stage(checkpoint.name, {file: _reader(checkpoint, file) for file in checkpoint.files}, attempt)
    if entries != checkpoint.files:
        raise CheckpointError(f"{checkpoint.path} changed while it was copied")
    store.commit(checkpoint.name, entries, checkpoint.facts, attempt)


def _reader(checkpoint: Checkpoint, name: str) -> Writer:
    def write(target: BinaryIO) -> None:
        with checkpoint.open(name) as source:
            shutil.copyfileobj(source, target, CHUNK_BYTES)

    return write


def _take_numbers(run_dir: Path) -> None:
    """The donor's lines in place of its own; what was the best is told anew when the run goes on."""
    run = RunFile(run_dir / RUN_FILE)
    inherited, metrics = run_dir / INHERITED_FILE, run_dir / METRICS_FILE
    kept = run_dir / f"metrics.attempt_{run.data['attempt']}.jsonl"
    if metrics.exists() and not kept.exists():
        metrics.rename(kept)
    replace_file(metrics, inherited.read_bytes())
    run.data.update(best={})
    run.write()
