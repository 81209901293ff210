"""predict: masks and pictures for images that have no labels, in this process."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import torch

from rayseg.config import Config, prepend_import_path, resolve_env
from rayseg.config.imports import import_path_of
from rayseg.core.errors import ConfigError, DataError
from rayseg.core.sample import SegSample
from rayseg.data.build import build_dataset
from rayseg.data.decode import picture_size, read_image
from rayseg.data.files import IMAGE_SUFFIXES, walk
from rayseg.data.pipeline import Pipeline
from rayseg.engine.build import build_model
from rayseg.engine.checkpoint_store import Checkpoint
from rayseg.engine.host import LocalHost
from rayseg.hooks.visualization import picture_of
from rayseg.orchestration.evaluation import find_checkpoint, load_trained, read_trained
from rayseg.orchestration.results import PredictResult
from rayseg.orchestration.source import Overrides, Source

Paths = str | os.PathLike[str]
MASKS, OVERLAYS = "masks", "overlays"


def predict(
    source: Source,
    inputs: Paths | Iterable[Paths],
    *,
    out: Paths | None = None,
    checkpoint: str = "best",
    overrides: Overrides = (),
    force: bool = False,
) -> PredictResult:
    """Segment images.

    Args:
        source: a run directory, or a config (then ``checkpoint`` must be a path).
        inputs: images, or directories that are searched for images.
        out: where masks and pictures go; ``<run>/predictions`` when not given.
        checkpoint: as in ``test``.
        overrides: as in ``train``.
        force: replace files that are there already.

    Returns:
        The files: ``masks/<name>.png`` (class indices, with the palette) and ``overlays/<name>.png``.

    Raises:
        ConfigError: something is wrong with the input, such as a file that is no picture; a result's file is there.
        DataError: an image is damaged.
    """
    images = find_images([inputs] if isinstance(inputs, str | os.PathLike) else list(inputs))
    config, run_dir, from_run = read_trained(source, overrides)
    found = find_checkpoint(config, run_dir, checkpoint, from_run=from_run)
    target = Path(out) if out is not None else run_dir / "predictions"
    files = {path: (target / MASKS / relative, target / OVERLAYS / relative) for path, relative in images}
    if not force:
        _refuse_existing(files.values())
    _make(target)
    prepend_import_path(*import_path_of(config))
    metainfo = _metainfo(config, found)
    device = LocalHost().device
    model = build_model(resolve_env(config), metainfo, device).eval()
    name = load_trained(model, found, checkpoint)
    pipeline = Pipeline(_pipeline(config), metainfo["ignore_index"], test_mode=True)
    masks, overlays = [], []
    for path, (mask, overlay) in files.items():
        sample = segment(model, pipeline, path)
        masks.append(_save_mask(sample, metainfo, mask))
        overlays.append(_save(picture_of(sample, metainfo), overlay))
    return PredictResult(target.absolute(), name, masks, overlays)


@torch.no_grad()
def segment(model: torch.nn.Module, pipeline: Pipeline, path: Path) -> SegSample:
    """The prediction for one image, at the image's own size."""
    from torchvision import tv_tensors

    stored = read_image(path)
    height, width = stored.shape[-2:]
    unlabelled = tv_tensors.Mask(torch.zeros((1, height, width), dtype=torch.uint8))
    image, _ = pipeline(stored, unlabelled)
    sample = SegSample(
        img_path=str(path),
        ori_shape=(height, width),
        img_shape=(image.shape[-2], image.shape[-1]),
        metainfo={"name": path.name},
    )
    samples: list[SegSample] = model(image.as_subclass(torch.Tensor)[None], [sample], mode="predict")
    return samples[0]


def find_images(inputs: Sequence[Paths]) -> list[tuple[Path, PurePath]]:
    """Each image with the relative path, ending in .png, that its results get.

    Raises:
        ConfigError: an input does not exist, is no picture, holds none, or two images would write the same file.
    """
    found: dict[PurePath, Path] = {}
    for given in map(Path, inputs):
        if given.is_dir():
            images = [(given / path, PurePath(path)) for path in walk(given, IMAGE_SUFFIXES)]
            if not images:
                raise ConfigError(f"{given}: no image in it ({', '.join(IMAGE_SUFFIXES)})")
        elif given.is_file():
            images = [(given, PurePath(given.name))]
        else:
            raise ConfigError(f"{given}: no such file or directory")
        for path, relative in images:
            name = relative.with_suffix(".png")
            if name in found and found[name] != path:
                raise ConfigError(f"{path} and {found[name]} would both be written to {name}; predict them apart")
            found[name] = path
    if not found:
        raise ConfigError("no image given")
    for path in found.values():
        _require_picture(path)
    return [(path, name) for name, path in found.items()]


def _refuse_existing(files: Iterable[tuple[Path, Path]]) -> None:
    """A mask may have the name of a label that somebody drew."""
    if there := [path for pair in files for path in pair if path.exists()]:
        more = f" and {len(there) - 1} more" if len(there) > 1 else ""
        raise ConfigError(f"--out: {there[0]}{more} is there already; name another directory, or --force replaces it")


def _make(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--out {out}: cannot be written: {error.strerror or error}") from None


def _require_picture(path: Path) -> None:
    try:
        picture_size(path)
    except DataError as error:
        raise ConfigError(str(error)) from None


def _metainfo(config: Config, checkpoint: Checkpoint | None) -> dict[str, Any]:
    """Classes and palette: from the checkpoint, so that no data set is needed; else from the test data."""
    if checkpoint is not None:
        return dict(checkpoint.facts["metainfo"])
    for mode in ("test", "val", "train"):
        if config.get(f"{mode}_dataloader"):
            return dict(build_dataset(config[f"{mode}_dataloader"]["dataset"]).metainfo)
    raise ConfigError("weights alone do not say their classes: give the config a test_dataloader")


def _pipeline(config: Config) -> Sequence[Any]:
    dataset = (config.get("test_dataloader") or config.get("val_dataloader") or {}).get("dataset") or {}
    pipeline: Sequence[Any] = dataset.get("pipeline") or ()
    return pipeline


def _save_mask(sample: SegSample, metainfo: dict[str, Any], path: Path) -> Path:
    """An 8-bit palette picture; 16-bit grey where there are more classes than a palette can hold."""
    from PIL import Image

    assert sample.pred_sem_seg is not None
    labels = sample.pred_sem_seg.data[0].cpu().numpy()
    if len(metainfo["classes"]) > 256:
        return _save(Image.fromarray(labels.astype(np.uint16)), path)
    mask = Image.fromarray(labels.astype(np.uint8), mode="P")
    mask.putpalette([channel for colour in metainfo["palette"] for channel in colour])
    return _save(mask, path)


def _save(picture: Any, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)
    return path
