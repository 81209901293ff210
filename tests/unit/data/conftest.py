"""Small data sets made on the spot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

CLASSES = ["sky", "tree", "road"]


def write_png(path: Path, values: Any, mode: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(values))
    (image if mode is None else image.convert(mode)).save(path)
    return path


@pytest.fixture
def save() -> Callable[..., Path]:
    """``save(path, array)`` writes a picture."""
    return write_png


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """``folder(n, split=...)`` writes n pairs and returns the config of their data set.

    The image's red channel is 40 times its mask, so that a test sees whether both are moved alike.
    """

    def make(n: int = 6, split: str = "train", size: Any = (20, 24), seed: int = 0, **config: Any) -> dict[str, Any]:
        draw = np.random.default_rng(seed)
        for index in range(n):
            shape = size(index) if callable(size) else size
            mask = draw.integers(0, len(CLASSES), shape, dtype=np.uint8)
            image = draw.integers(0, 255, (*shape, 3), dtype=np.uint8)
            image[..., 0] = 40 * mask
            write_png(tmp_path / "images" / split / f"{index:03}.png", image)
            write_png(tmp_path / "annotations" / split / f"{index:03}.png", mask)
        return {"type": "FolderDataset", "data_root": str(tmp_path), "split": split, "classes": CLASSES, **config}

    return make
