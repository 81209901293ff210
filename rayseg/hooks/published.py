"""Published weights: what is left of a run for those who only want to predict."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rayseg.core.errors import ConfigError
from rayseg.engine.state import MODEL_FILE
from rayseg.tracking.files import replace_file
from rayseg.tracking.json_lines import encode

if TYPE_CHECKING:
    from rayseg.engine.checkpoint_store import Checkpoint

FOLDER = "published"
KEYS = ("state_dict", "meta")
FACTS = ("iter", "epoch", "seed", "metainfo")


def check_published_keys(keys: list[str], key: str) -> None:
    """Raise ConfigError for keys that are never published, and where the weights are not among them."""
    if len(keys) != len(set(keys)):
        raise ConfigError(f"{key}: {keys} names one twice")
    for name in keys:
        if name not in KEYS:
            raise ConfigError(
                f"{key}: {name!r} cannot be published, only {' and '.join(map(repr, KEYS))}; "
                "a whole checkpoint is in the run directory"
            )
    if "state_dict" not in keys:
        raise ConfigError(f"{key}: without 'state_dict' there is nothing to publish, found {keys}")


def publish_weights(checkpoint: Checkpoint, label: str, run_dir: Path, keys: list[str]) -> Path:
    """Copy a checkpoint's weights to ``published/<label>-<8 digits of their SHA-256>.safetensors``.

    Args:
        checkpoint: whose.
        label: what the file's name begins with.
        run_dir: the run directory.
        keys: with ``'meta'`` a JSON file beside it says iteration, epoch, seed and classes.

    Raises:
        CheckpointError: the checkpoint is damaged.
        RecordingError: the file cannot be written.
    """
    digest = checkpoint.files[MODEL_FILE].sha256[:8]
    path = run_dir / FOLDER / f"{label.replace('/', '_')}-{digest}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, checkpoint.read(MODEL_FILE))
    if "meta" in keys:
        facts = {name: checkpoint.facts[name] for name in FACTS}
        replace_file(path.with_suffix(".json"), encode(facts, indent=1).encode() + b"\n")
    return path
