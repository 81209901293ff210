"""``rayseg data show``: an augmented batch as the network gets it, as one picture."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rayseg.config.settings import settings
from rayseg.core.errors import ConfigError, Problem
from rayseg.data.build import build_dataset
from rayseg.data.drawing import draw_overlay, with_legend
from rayseg.data.loader import build_train_dataloader, resolve_batch_size

if TYPE_CHECKING:
    from PIL import Image

_GAP = 6
_ROW_WIDTH = 1600


def show_batch(
    config: Mapping[str, Any], out: str | os.PathLike[str], *, position: int = 0, alpha: float = 0.5
) -> Path:
    """Write one training batch as a picture: each image above its labels, a legend below.

    Args:
        config: a completed config; the batch is what the run's first worker would get.
        out: the picture's path, ``.png``; a directory that is there gets ``batch.png``.
        position: samples consumed before this batch.
        alpha: share of the labels' colours in the lower row of each image.

    Returns:
        The file that was written.

    Raises:
        ConfigError: the config names no training data, or names it wrongly; ``out`` cannot be written or does not
            end in ``.png``.
        DataError: an image or mask cannot be read as the config says.
    """
    if not config.get("train_dataloader"):
        raise ConfigError("train_dataloader: the config names no training data")
    path = _picture_path(Path(out))
    loader = settings(config, "train_dataloader")
    workers = settings(config, "scaling").num_workers
    _, global_batch_size = resolve_batch_size(loader, workers)
    dataset = build_dataset(loader.dataset)
    stream = build_train_dataloader(
        loader,
        dataset=dataset,
        seed=settings(config, "randomness").seed,
        world_size=workers,
        global_batch_size=global_batch_size,
        position=position,
    )
    try:
        batch = next(islice(stream, 1))
    finally:
        stream.close()
    _save(draw_batch(batch, dataset.metainfo, alpha), path)
    return path


def _picture_path(out: Path) -> Path:
    path = out / "batch.png" if out.is_dir() else out
    if path.suffix.lower() != ".png":
        expected = "expected a file name that ends in .png, or a directory that is there"
        raise ConfigError(Problem(f"{expected}, found {str(out)!r}", "--out"))
    return path


def _save(picture: Image.Image, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path, format="PNG")
    except OSError as error:
        raise ConfigError(Problem(f"cannot be written: {error.strerror or error}", file=str(path))) from None


def draw_batch(batch: Mapping[str, Any], metainfo: Mapping[str, Any], alpha: float = 0.5) -> Image.Image:
    """A batch ``dict(inputs, data_samples)`` as one picture."""
    from PIL import Image

    tiles = [
        _pair(image, sample, metainfo, alpha)
        for image, sample in zip(batch["inputs"], batch["data_samples"], strict=True)
    ]
    width, height = max(tile.width for tile in tiles), max(tile.height for tile in tiles)
    columns = max(1, min(len(tiles), _ROW_WIDTH // (width + _GAP)))
    rows = math.ceil(len(tiles) / columns)
    sheet = Image.new("RGB", (columns * (width + _GAP) - _GAP, rows * (height + _GAP) - _GAP), (255, 255, 255))
    for place, tile in enumerate(tiles):
        sheet.paste(tile, (place % columns * (width + _GAP), place // columns * (height + _GAP)))
    return with_legend(np.asarray(sheet), list(zip(metainfo["classes"], metainfo["palette"], strict=True)))


def _pair(image: Any, sample: Any, metainfo: Mapping[str, Any], alpha: float) -> Image.Image:
    """The image above the same with its labels."""
    from PIL import Image

    plain = Image.fromarray(np.ascontiguousarray(image.numpy().transpose(1, 2, 0)))
    if sample.gt_sem_seg is None:
        return plain
    arguments = metainfo["palette"], metainfo["classes"], alpha, metainfo["ignore_index"]
    overlay = draw_overlay(image, sample.gt_sem_seg.data, *arguments).crop((0, 0, plain.width, plain.height))
    both = Image.new("RGB", (plain.width, 2 * plain.height))
    both.paste(plain, (0, 0))
    both.paste(overlay, (0, plain.height))
    return both
