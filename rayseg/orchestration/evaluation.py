"""test: the scores of a checkpoint on the test data, in this process."""

from __future__ import annotations

import os
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
from rayseg.models.weights import load_weights
from rayseg.orchestration.results import TestResult
from rayseg.orchestration.run_dir import based
from rayseg.orchestration.source import Overrides, Source, read_source, resolved
from rayseg.tracking.files import replace_file
from rayseg.tracking.json_lines import encode

NEEDED = ("model",)


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
        ConfigError: something is wrong with the input.
        CheckpointError: the checkpoint is damaged, or not of this model.
    """
    extra = {"model.test_cfg.flip": True} if tta else {}
    config, run_dir, _ = read_trained(source, overrides, extra)
    prepend_import_path(*import_path_of(config))
    runner = build_testing(config, LocalHost(console.write if console is not None else None), run_dir)
    name = load_trained(runner.model, config, run_dir, checkpoint, runner.metainfo)
    metrics = runner.test()
    assert metrics is not None, "nothing asks a test to stop"
    assert runner.test_loop is not None
    images = len(runner.test_loop.dataloader.dataset)
    path = run_dir / "test" / f"{name}_{_data_name(config)}{'_tta' if tta else ''}.json"
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
    model: torch.nn.Module, config: Config, run_dir: Path, which: str, metainfo: dict[str, Any] | None = None
) -> str:
    """Put a checkpoint's weights into a model; returns the checkpoint's name.

    Raises:
        ConfigError: no such checkpoint; weights that do not fit; other classes than the data set's.
        CheckpointError: it is damaged.
    """
    checkpoint = find_checkpoint(config, run_dir, which)
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
        raise CheckpointError(f"{checkpoint.name} does not fit the config's model: {error}") from None
    return checkpoint.name


def find_checkpoint(config: Config, run_dir: Path, which: str) -> Checkpoint | None:
    """The run's checkpoint, or None where ``which`` is a file of weights."""
    if os.path.isfile(which) or "://" in which:
        return None
    store = store_of(config, run_dir)
    if which == "best" and not store.pins():
        which = "last"
    try:
        return store.load(which)
    except CheckpointError as error:
        raise ConfigError(f"--checkpoint {which}: {error}") from None


def _data_name(config: Config) -> str:
    dataset = config["test_dataloader"]["dataset"]
    root = Path(str(dataset.get("data_root") or "data")).name
    return "_".join(part for part in (root, dataset.get("split")) if part)
