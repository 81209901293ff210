"""The listing of a folder data set: which image belongs to which mask. Made once and given to every rank."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rayseg.core.errors import ConfigError, did_you_mean

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp")
MASK_SUFFIXES = tuple(
    ending + suffix for ending in ("", "_mask", "_label", "_labels") for suffix in (".png", ".tif", ".tiff", ".bmp")
)
NAMED_AT_MOST = 3
SIZE_THREADS = 16
SIZE_BATCH = 256


class PathTable(Sequence[str]):
    """Many relative paths in one block of memory (some 30 bytes a path, and nothing that loader processes copy)."""

    def __init__(self, paths: Iterable[str]) -> None:
        encoded = [os.fsencode(path) for path in paths]
        self._ends = np.cumsum([len(path) for path in encoded], dtype=np.int64)
        self._block = b"".join(encoded)

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        end = int(self._ends[index])
        start = int(self._ends[index - 1]) if index % len(self) else 0
        return os.fsdecode(self._block[start:end])


@dataclass(frozen=True)
class FileIndex:
    """The pairs of a data set in sorted order.

    Attributes:
        images: paths below the image directory, with ``/``.
        masks: the mask of each, below the annotation directory.
        spare_masks: masks without an image, which nothing reads.
        mask_format: how every mask is read: ``index``, ``rgb`` or ``binary``.
    """

    images: PathTable
    masks: PathTable
    spare_masks: tuple[str, ...]
    mask_format: str

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True)
class Layout:
    """Where the files are and how their names end.

    Attributes:
        image_dir, mask_dir: absolute directories.
        img_suffix, seg_map_suffix: how names end; None means the usual ones.
        ann_file: a text file that names the images, one a line; None means all.
    """

    image_dir: Path
    mask_dir: Path
    img_suffix: str | None = None
    seg_map_suffix: str | None = None
    ann_file: Path | None = None

    @classmethod
    def of(
        cls,
        root: Path,
        split: str | None,
        folders: tuple[str, str],
        data_prefix: Mapping[str, str] | None,
        suffixes: tuple[str | None, str | None],
        ann_file: str | None,
    ) -> Layout:
        """The layout that ``FolderDataset``'s arguments describe; ``folders`` and ``suffixes`` are (image, mask).

        Raises:
            ConfigError: a directory or file is missing, or both ``split`` and ``data_prefix`` are given.
        """
        if data_prefix and split:
            raise ConfigError(f"split={split!r} and data_prefix={dict(data_prefix)}: give one; both say the folders")
        if data_prefix:
            if unknown := sorted(set(data_prefix) - {"img_path", "seg_map_path"}):
                raise ConfigError(f"data_prefix: unknown key {unknown[0]!r}, expected img_path and seg_map_path")
            settings = ("data_prefix.img_path", "data_prefix.seg_map_path")
            folders = data_prefix.get("img_path", ""), data_prefix.get("seg_map_path", "")
        else:
            settings = ("split", "split") if split else ("img_dir", "ann_dir")
        image_dir, mask_dir = (
            require_directory(Path(os.path.normpath(root / folder / (split or ""))), setting)
            for folder, setting in zip(folders, settings, strict=True)
        )
        return cls(image_dir, mask_dir, *suffixes, root / ann_file if ann_file else None)

    def pairs(self) -> tuple[list[tuple[str, str]], tuple[str, ...]]:
        """The (image, mask) paths in sorted order, and the masks that belong to no image.

        Raises:
            ConfigError: a directory or listed file is missing, an image has no mask, or there is no image at all.
        """
        if self.image_dir == self.mask_dir and not (self.img_suffix and self.seg_map_suffix):
            raise ConfigError(f"{self.image_dir} holds images and masks: give img_suffix and seg_map_suffix")
        image_suffixes = (self.img_suffix,) if self.img_suffix else IMAGE_SUFFIXES
        mask_suffixes = (self.seg_map_suffix,) if self.seg_map_suffix else MASK_SUFFIXES
        images = walk(self.image_dir, image_suffixes)
        all_masks = walk(self.mask_dir, mask_suffixes)
        masks = {path.lower(): path for path in all_masks} | {path: path for path in all_masks}
        wanted = _read_list(self.ann_file, images, image_suffixes) if self.ann_file else [(path, "") for path in images]
        if not wanted:
            endings = ", ".join(image_suffixes)
            raise ConfigError(f"the data set is empty: no image ({endings}) in {self.ann_file or self.image_dir}")
        pairs = [(image, mask or _mask_of(image, masks, image_suffixes, mask_suffixes)) for image, mask in wanted]
        self._require_masks(pairs, masks, mask_suffixes)
        spare = () if self.ann_file else sorted(set(all_masks).difference(mask for _, mask in pairs))
        return pairs, tuple(spare)

    def _require_masks(self, pairs: list[tuple[str, str]], masks: dict[str, str], suffixes: Sequence[str]) -> None:
        alone = [image for image, mask in pairs if mask not in masks]
        if alone:
            expected = suffixes[0] if len(suffixes) == 1 else ".png, .tif or .bmp"
            raise ConfigError(
                f"{len(alone)} of {len(pairs)} images in {self.image_dir} have no mask ({expected}) "
                f"in {self.mask_dir}: {name_some(alone)}"
            )


def name_some(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - NAMED_AT_MOST} more" if len(names) > NAMED_AT_MOST else ""
    return ", ".join(names[:NAMED_AT_MOST]) + more


def require_directory(path: Path, setting: str) -> Path:
    """The path, when it is a directory.

    Raises:
        ConfigError: it is none; names the nearest directory beside it.
    """
    if path.is_dir():
        return path
    beside = [entry.name for entry in path.parent.iterdir() if entry.is_dir()] if path.parent.is_dir() else []
    there = f"; {path.parent} holds {name_some(sorted(beside))}" if beside else ""
    raise ConfigError(f"{setting}: no such directory {path}{there}{did_you_mean(path.name, beside)}")


def spread_order(size: int) -> Iterator[int]:
    """Every index below ``size`` once, the first few of them spread evenly over all; always the same."""
    stride = max(1, round(size * 0.618))
    while math.gcd(stride, size) != 1:
        stride += 1
    return (position * stride % size for position in range(size))


def walk(directory: Path, suffixes: Sequence[str]) -> list[str]:
    """Paths below ``directory`` that end in one of ``suffixes`` (case is ignored), sorted, with ``/``; none hidden."""
    endings = tuple(suffix.lower() for suffix in suffixes)
    return sorted(path for path in _walk(directory, "", set()) if path.lower().endswith(endings))


def _walk(directory: Path | str, prefix: str, seen: set[tuple[int, int]]) -> Iterator[str]:
    status = os.stat(directory)
    if (status.st_dev, status.st_ino) in seen:  # a link to a directory above
        return
    seen.add((status.st_dev, status.st_ino))
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.startswith((".", "__MACOSX")):
                continue
            if entry.is_dir():
                yield from _walk(entry.path, f"{prefix}{entry.name}/", seen)
            else:
                yield prefix + entry.name


def _without_suffix(path: str, suffixes: Sequence[str]) -> str:
    for suffix in suffixes:
        if path.lower().endswith(suffix.lower()):
            return path[: -len(suffix)]
    return path


def _mask_of(image: str, masks: dict[str, str], image_suffixes: Sequence[str], mask_suffixes: Sequence[str]) -> str:
    """The mask with the image's stem; ``masks`` finds a path by its own spelling and by its lower-case one."""
    names = [_without_suffix(image, image_suffixes) + suffix for suffix in mask_suffixes]
    return next((masks[name] for name in names + [name.lower() for name in names] if name in masks), "")


def _read_list(ann_file: Path, images: Sequence[str], suffixes: Sequence[str]) -> list[tuple[str, str]]:
    """The listed (image, mask) paths in sorted order; the mask is empty where the line has no second column."""
    if not ann_file.is_file():
        raise ConfigError(f"ann_file: no such file {ann_file}")
    by_stem = {_without_suffix(image, suffixes): image for image in images} | {image: image for image in images}
    rows = [line.strip().split("\t") for line in ann_file.read_text(encoding="utf-8").splitlines() if line.strip()]
    missing = [row[0] for row in rows if row[0] not in by_stem]
    if missing:
        raise ConfigError(f"{ann_file} names {len(missing)} images that are not there: {name_some(missing)}")
    return sorted({(by_stem[row[0]], row[1] if len(row) > 1 else "") for row in rows})


def file_sizes(paths: Iterable[Path]) -> list[int]:
    """Sizes in bytes, in order; many are asked for at once, since a file server answers each slowly."""
    every = list(paths)
    parts = [every[start : start + SIZE_BATCH] for start in range(0, len(every), SIZE_BATCH)]
    with ThreadPoolExecutor(SIZE_THREADS) as pool:
        return [size for sizes in pool.map(_sizes, parts) for size in sizes]


def _sizes(paths: Sequence[Path]) -> list[int]:
    return [path.stat().st_size for path in paths]
