"""Small data sets made on the spot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """``folder(n)`` writes n pairs of 40×48 px with three classes and returns the config of their data set."""

    def make(n: int = 10, split: str = "train", **config: Any) -> dict[str, Any]:
        draw = np.random.default_rng(n)
        for kind in ("images", "annotations"):
            (tmp_path / kind / split).mkdir(parents=True)
        for index in range(n):
            image = draw.integers(0, 255, (40, 48, 3), dtype=np.uint8)
            mask = draw.integers(0, 3, (40, 48), dtype=np.uint8)
            Image.fromarray(image).save(tmp_path / "images" / split / f"{index:03}.png")
            Image.fromarray(mask).save(tmp_path / "annotations" / split / f"{index:03}.png")
        classes = ["a", "b", "c"]
        return {"type": "FolderDataset", "data_root": str(tmp_path), "split": split, "classes": classes, **config}

    return make
