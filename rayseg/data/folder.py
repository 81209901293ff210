"""FolderDataset: images in one folder, masks in another, paired by name."""

from __future__ import annotations

import hashlib
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from torch.utils.data import Dataset

from rayseg.core.errors import ConfigError, DataError, Problem
from rayseg.core.randomness import forked_rng
from rayseg.core.registries import TRANSFORMS
from rayseg.core.sample import PixelData, SegSample
from rayseg.data.classes import resolve_classes
from rayseg.data.decode import picture_size, read_image
from rayseg.data.drawing import default_palette
from rayseg.data.files import FileIndex, Layout, PathTable, file_sizes, name_some, spread_order
from rayseg.data.home import resolve_data_root
from rayseg.data.masks import MaskReader, MaskRules, detect_format
from rayseg.data.pipeline import Pipeline

if TYPE_CHECKING:
    from collections.abc import Sequence

MaskFormat = Literal["auto", "index", "rgb", "binary"]


class FolderDataset(Dataset[dict[str, Any]]):
    """Images and masks in folders, such as ``images/<split>/a.jpg`` with ``annotations/<split>/a.png``.

    Subfolders are searched too; a mask has its image's path with another suffix. Item ``i`` is
    ``dict(inputs=uint8 tensor (3, H, W) RGB, data_samples=SegSample)`` with labels uint8 (1, H, W) (int64 where class
    or ignore indices do not fit); ``data_samples.metainfo`` has ``index`` and ``name``, the image's path below its
    folder.

    Args:
        data_root: the directory of everything; a relative one is looked for under the current directory, then under
            RAYSEG_HOME.
        split: subfolder of ``img_dir`` and ``ann_dir``.
        img_dir, ann_dir: the folders below ``data_root``.
        data_prefix: MM's way to say both folders: ``dict(img_path='images/train', seg_map_path='labels/train')``.
        img_suffix, seg_map_suffix: how image and mask names end; the usual ones when not given.
        ann_file: a text file below ``data_root`` that names the images of this data set, one a line, with or without
            suffix; a mask may follow after a tab.
        classes: names in the order of the class indices, or a file that holds them (one a line, or JSON); when not
            given, ``dataset.json``, ``classes.json`` or ``classes.txt`` in ``data_root`` says them.
        palette: one [r, g, b] for each class, for pictures, and for masks that are RGB.
        metainfo: MM's way to say both: ``dict(classes=..., palette=...)``.
        ignore_index: label of pixels that count nowhere; also a mask value with that meaning.
        label_map: mask value to class index or ignore index, for values that mean another class.
        reduce_zero_label: mask value 0 is unlabelled, and k is class k - 1.
        mask_format: how masks are stored: ``index`` (grey, 16-bit or palette), ``rgb`` (colours of ``palette``),
            ``binary`` (0 and 255); ``auto`` looks at them, and takes 0 and 255 for two classes where no mask holds 1.
        ignore_colors: colours of unlabelled pixels in RGB masks.
        pipeline: transforms, called as ``transform(image, mask) -> (image, mask)``.
        test_mode: for evaluation: transforms leave labels as they are and draw nothing at random.
        index: what ``list_files`` returned, when the files were listed elsewhere.

    Raises:
        ConfigError: a directory, file, mask, or the classes are missing; or there is no image.
    """

    def __init__(
        self,
        data_root: str = ".",
        split: str | None = None,
        img_dir: str = "images",
        ann_dir: str = "annotations",
        data_prefix: dict[str, str] | None = None,
        img_suffix: str | None = None,
        seg_map_suffix: str | None = None,
        ann_file: str | None = None,
        classes: list[str] | tuple[str, ...] | str | None = None,
        palette: list[tuple[int, int, int]] | None = None,
        metainfo: dict[str, Any] | None = None,
        ignore_index: int = 255,
        label_map: dict[int | str, int] | None = None,
        reduce_zero_label: bool = False,
        mask_format: MaskFormat = "auto",
        ignore_colors: list[tuple[int, int, int]] | None = None,
        pipeline: list[Annotated[Any, TRANSFORMS]] | None = None,
        test_mode: bool = False,
        index: FileIndex | None = None,
    ) -> None:
        self.root = resolve_data_root(data_root)
        folders, suffixes = (img_dir, ann_dir), (img_suffix, seg_map_suffix)
        layout = Layout.of(self.root, split, folders, data_prefix, suffixes, ann_file)
        names, colours = resolve_classes(self.root, classes, palette, metainfo)
        stored_as_they_are = not label_map and not reduce_zero_label
        self.image_dir, self.mask_dir = layout.image_dir, layout.mask_dir
        self.files = index or _list(layout, len(names), colours, mask_format, stored_as_they_are)
        self.metainfo: dict[str, Any] = {
            "classes": list(names),
            "palette": colours or default_palette(len(names)),
            "ignore_index": ignore_index,
        }
        self.read_mask = MaskReader(
            MaskRules(
                num_classes=len(names),
                ignore_index=ignore_index,
                mask_format=self.files.mask_format,
                label_map=label_map,
                reduce_zero_label=reduce_zero_label,
                palette=colours,
                ignore_colors=ignore_colors or (),
            )
        )
        self.test_mode = test_mode
        self.pipeline = Pipeline(pipeline or (), ignore_index, test_mode)
        _refuse_hidden_reduction(self.pipeline, reduce_zero_label)

    @classmethod
    def list_files(
        cls,
        data_root: str = ".",
        split: str | None = None,
        img_dir: str = "images",
        ann_dir: str = "annotations",
        data_prefix: dict[str, str] | None = None,
        img_suffix: str | None = None,
        seg_map_suffix: str | None = None,
        ann_file: str | None = None,
        classes: list[str] | tuple[str, ...] | str | None = None,
        palette: list[tuple[int, int, int]] | None = None,
        metainfo: dict[str, Any] | None = None,
        label_map: dict[int | str, int] | None = None,
        reduce_zero_label: bool = False,
        mask_format: MaskFormat = "auto",
    ) -> FileIndex:
        """The files of a data set with these arguments, for ``index``: rank 0 lists them for every rank."""
        root = resolve_data_root(data_root)
        folders, suffixes = (img_dir, ann_dir), (img_suffix, seg_map_suffix)
        layout = Layout.of(root, split, folders, data_prefix, suffixes, ann_file)
        names, colours = resolve_classes(root, classes, palette, metainfo)
        return _list(layout, len(names), colours, mask_format, not label_map and not reduce_zero_label)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """The sample at ``index``, transformed.

        Raises:
            DataError: a file cannot be read, a mask holds values that mean nothing, or the sizes differ.
        """
        image, mask = self.load(index)
        height, width = mask.shape[-2:]
        image, mask = self.pipeline(image, mask)
        sample = SegSample(
            img_path=str(self.image_path(index)),
            ori_shape=(height, width),
            img_shape=(image.shape[-2], image.shape[-1]),
            metainfo={"index": int(index), "name": self.files.images[index]},
            gt_sem_seg=PixelData(mask.as_subclass(torch.Tensor)),
        )
        return {"inputs": image.as_subclass(torch.Tensor), "data_samples": sample}

    def load(self, index: int) -> tuple[Any, Any]:
        """The image (``tv_tensors.Image``, uint8 (3, H, W)) and labels (``tv_tensors.Mask``, (1, H, W)) as stored."""
        from torchvision import tv_tensors

        image = read_image(self.image_path(index))
        labels = self.read_mask(self.mask_path(index))
        if image.shape[-2:] != labels.shape:
            raise DataError(self.size_complaint(index, tuple(image.shape[-2:]), labels.shape))
        return image, tv_tensors.Mask(torch.from_numpy(labels)[None])

    def image_path(self, index: int) -> Path:
        """The file of an image."""
        name: str = self.files.images[index]
        return self.image_dir / name

    def mask_path(self, index: int) -> Path:
        """The file of a mask."""
        name: str = self.files.masks[index]
        return self.mask_dir / name

    def size_complaint(self, index: int, image: Sequence[int], mask: Sequence[int]) -> str:
        """One line for an image and a mask of different (height, width)."""
        turned = " (upright, as its EXIF orientation says)" if tuple(image) == tuple(mask)[::-1] else ""
        return (
            f"{self.image_path(index)} has {image[0]}×{image[1]} pixels (h×w){turned}, "
            f"but its mask {self.mask_path(index)} {mask[0]}×{mask[1]}"
        )

    def fingerprint(self) -> str:
        """A hash of the sorted relative paths and sizes of all files: the same data, the same fingerprint."""
        digest = hashlib.blake2b(digest_size=16)
        for directory, paths in ((self.image_dir, self.files.images), (self.mask_dir, self.files.masks)):
            sizes = file_sizes(directory / path for path in paths)
            for path, size in zip(paths, sizes, strict=True):
                digest.update(f"{path}\0{size}\n".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    def preflight(self, n: int = 64) -> None:
        """Read up to ``n`` masks, spread over the data set, and try the pipeline, before a run begins.

        Args:
            n: masks that are read; each image's size is looked at too.

        Raises:
            ConfigError: files that cannot be read, sizes that differ, mask values that mean nothing, or a pipeline
                that cannot make a sample of the smallest, a middle or the largest image.
        """
        problems: list[str] = []
        unknown: dict[int, list[str]] = {}
        areas: dict[int, int] = {}
        for index in islice(spread_order(len(self)), n):
            try:
                stored = self.read_mask.stored(self.mask_path(index))
                size = picture_size(self.image_path(index))
                areas[index] = stored.size
                if size != stored.shape:
                    problems.append(self.size_complaint(index, size, stored.shape))
                for value in self.read_mask.unknown_values(stored):
                    unknown.setdefault(value, []).append(self.files.masks[index])
            except DataError as error:
                problems.append(str(error))
        if unknown:
            files = sorted({file for several in unknown.values() for file in several})
            where = f"{self.mask_dir} ({name_some(files)}; {len(areas)} of {len(self)} masks read)"
            problems.append(f"{where}: {self.read_mask.complaint(sorted(unknown))}")
        if problems:
            raise ConfigError([Problem(problem) for problem in problems])
        self._try_pipeline(sorted(areas, key=lambda index: areas[index]))

    def _try_pipeline(self, by_area: list[int]) -> None:
        for index in dict.fromkeys([by_area[0], by_area[len(by_area) // 2], by_area[-1]]):
            try:
                with forked_rng(index):
                    self[index]
            except DataError as error:
                raise ConfigError(str(error)) from None


def _list(layout: Layout, num_classes: int, colours: Any, mask_format: str, may_be_binary: bool) -> FileIndex:
    pairs, spare = layout.pairs()
    if mask_format == "auto":
        masks = (layout.mask_dir / pairs[index][1] for index in spread_order(len(pairs)))
        try:
            mask_format = detect_format(masks, num_classes if may_be_binary else 0, colours)
        except DataError as error:
            raise ConfigError(str(error)) from None
    return FileIndex(PathTable(pair[0] for pair in pairs), PathTable(pair[1] for pair in pairs), spare, mask_format)


def _refuse_hidden_reduction(pipeline: Pipeline, reduce_zero_label: bool) -> None:
    for position, transform in enumerate(pipeline.transforms):
        if getattr(transform, "reduce_zero_label", None) and not reduce_zero_label:
            raise ConfigError(
                f"pipeline.{position}: LoadAnnotations(reduce_zero_label=True): say reduce_zero_label=True on the data "
                "set, so that validation reads its labels the same way"
            )
