"""test: the scores of a checkpoint on the test data, in this process."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from rayseg.config import Config, prepend_import_path
from rayseg.config.imports import import_path_of
from rayseg.core.errors import CheckpointError, ConfigError
from rayseg.engine.build import build_testing, run_name, store_of
from rayseg.engine.checkpoint_store import Checkpoint
from rayseg.engine.host import LocalHost
from rayseg.engine.state import load_model_file
from rayseg.models.weight_files import SUFFIXES
from rayseg.models.weights import load_weights
from rayseg.orchestration.locating import located
from rayseg.orchestration.results import TestResult
from rayseg.orchestration.run_dir import based
from rayseg.orchestration.source import Overrides, Source, read_source, resolved
from rayseg.tracking.files import replace_file
from rayseg.tracking.json_lines import encode

NEEDED = ("model",)
NAMED = ("best", "last")


def test(
    source: Source,
    *,
    overrides: Overrides = (),
    checkpoint: str = "best",
    tta: bool = False,
    console: Any = None,
) -> TestResult:
    """Score a checkpoint on ``test_dataloader`` (validation's, where the config has no other).

    Args:
        source: a run directory, or a config file or dict (then ``checkpoint`` must be a path).
        overrides: as in ``train``.
        checkpoint: ``best`` (the last one where no best was kept), ``last``, ``best_<metric>``, ``iter_<n>``, or the
            path of a checkpoint or weights file.
        tta: average the logits of the image and its mirror image.
        console: what shows the scores to people (a Tracker).

    Returns:
        The scores, which are written to ``<run>/test/<checkpoint>_<data set>.json`` too.

    Raises:
        ConfigError: something is wrong with the input, or the checkpoint is damaged or not of this model.
    """
    extra = {"model.test_cfg.flip": True} if tta else {}
    config, run_dir, from_run = read_trained(source, overrides, extra)
    found = find_checkpoint(config, run_dir, checkpoint, from_run=from_run)
    prepend_import_path(*import_path_of(config))
    with located(config):
        runner = build_testing(config, LocalHost(console.write if console is not None else None), run_dir)
    name = load_trained(runner.model, found, checkpoint, runner.metainfo)
    runner.start_from = found  # pictures go under its iteration
    metrics = runner.test()
    assert metrics is not None, "nothing asks a test to stop"
    assert runner.test_loop is not None
    images = len(runner.test_loop.dataloader.dataset)
    data = _data_name(config["test_dataloader"]["dataset"])
    path = run_dir / "test" / f"{name}_{data}{'_tta' if tta else ''}.json"
    result = TestResult(path, name, images, metrics)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, encode(result.as_dict(), indent=1).encode())
    return result


def read_trained(source: Source, overrides: Overrides, extra: Overrides = ()) -> tuple[Config, Path, bool]:
    """The config of a trained model, the directory for what is made of it, and whether that is its run directory."""
    config, from_run = read_source(source, overrides)
    if extra:
        config, _ = read_source(config, extra)
    config, _ = resolved(config, NEEDED)
    run_dir = from_run or based(config.get("work_dir") or Path("work_dirs") / run_name(config))
    return config, run_dir, from_run is not None


def load_trained(
    model: torch.nn.Module, checkpoint: Checkpoint | None, which: str, metainfo: dict[str, Any] | None = None
) -> str:
    """Put weights into a model; returns the checkpoint's name, or the stem of the file ``which`` without one.

    Raises:
        ConfigError: weights that do not fit the config's model; other classes than the data set's.
    """
    if checkpoint is None:
        load_weights(model, which, strict=True)
        return Path(which).stem
    trained_on = list(checkpoint.facts["metainfo"]["classes"])
    if metainfo is not None and trained_on != list(metainfo["classes"]):
        raise ConfigError(
            f"{checkpoint.name} was trained on the classes {', '.join(trained_on)}, "
            f"the data set has {', '.join(metainfo['classes'])}"
        )
    try:
        model.load_state_dict(load_model_file(checkpoint), strict=True)
    except RuntimeError as error:
        differences = "; ".join(line.strip() for line in str(error).splitlines()[1:4])
        raise ConfigError(f"model: {checkpoint.name} does not fit it: {differences}") from None
    return checkpoint.name


def find_checkpoint(config: Config, run_dir: Path, which: str, *, from_run: bool) -> Checkpoint | None:
    """The checkpoint that ``which`` means, or None where it is a file of weights; logs what was passed over.

    Args:
        from_run: ``run_dir`` is what the user named, not a config.

    Raises:
        ConfigError: no such checkpoint, or it is damaged.
    """
    if os.path.isfile(which) or "://" in which:
        return None
    store = store_of(config, run_dir)
    if not from_run and which in NAMED and store.is_empty():
        raise ConfigError("no checkpoint: name a run directory instead of its config, or say --checkpoint PATH")
    if Path(which).suffix in SUFFIXES and not Path(which).exists():
        raise ConfigError(f"--checkpoint {which}: no such file")
    if which == "best" and not store.pins():
        which = "last"
    try:
        checkpoint = store.load(which)
    except CheckpointError as error:
        raise ConfigError(f"--checkpoint {which}: {error}") from None
    for warning in store.warnings:
        logging.getLogger("rayseg").warning("warning: %s", warning)
    return checkpoint


def _data_name(dataset: Any) -> str:
    """``aerial_val``; of a ConcatDataset those of all, joined by a plus."""
    if not isinstance(dataset, Mapping):
        return type(dataset).__name__
    if isinstance(parts := dataset.get("datasets"), list):
        return "+".join(map(_data_name, parts))
    root = Path(str(dataset.get("data_root") or "data")).name
    return "_".join(part for part in (root, dataset.get("split")) if part)
