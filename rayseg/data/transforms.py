"""Transforms under MM's names, on torchvision's tv_tensors.

A transform is any object called as ``transform(image, mask) -> (image, mask)``: ``image`` is a ``tv_tensors.Image``,
uint8 (3, H, W), ``mask`` a ``tv_tensors.Mask``, uint8 or int64 (1, H, W). So every transform of
``torchvision.transforms.v2`` is one. It draws from torch's default generator, which is seeded for each sample.
Sizes are (height, width) where MM says ``crop_size``, and (width, height) where MM says ``scale`` and ``size``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F
from torchvision.tv_tensors import Image as Image
from torchvision.tv_tensors import Mask as Mask

from rayseg.core.errors import ConfigError

Pair = tuple[Image, Mask]
Direction = Literal["horizontal", "vertical", "diagonal"]

_CROP_TRIES = 10


def uniform(low: float, high: float) -> float:
    """A number drawn evenly between ``low`` and ``high``."""
    return low + (high - low) * torch.rand(()).item()


def randint(low: int, high: int) -> int:
    """A whole number drawn evenly from ``low`` to ``high``, both included."""
    return int(torch.randint(low, high + 1, ()).item())


def chance(probability: float) -> bool:
    """True with this probability."""
    return torch.rand(()).item() < probability


class Transform:
    """Base of the transforms here.

    Attributes:
        is_random: draws at random, so that it has no place in an evaluation pipeline.
    """

    is_random = False

    def __call__(self, image: Image, mask: Mask) -> Pair:
        """The transformed pair."""
        raise NotImplementedError


class LoadImageFromFile(Transform):
    """MM's; does nothing, since the data set loads images (uint8 RGB). Its arguments are accepted."""

    def __init__(
        self,
        to_float32: bool = False,
        color_type: str = "color",
        imdecode_backend: str = "pillow",
        backend_args: dict[str, Any] | None = None,
        ignore_empty: bool = False,
    ) -> None:
        if color_type not in ("color", "color_ignore_orientation"):
            raise ConfigError(f"LoadImageFromFile.color_type: images are read in colour here, not {color_type!r}")

    def __call__(self, image: Image, mask: Mask) -> Pair:
        """What it was given."""
        return image, mask


class LoadAnnotations(Transform):
    """MM's; does nothing, since the data set loads masks; ``reduce_zero_label`` is said there too."""

    def __init__(
        self,
        reduce_zero_label: bool | None = None,
        imdecode_backend: str = "pillow",
        backend_args: dict[str, Any] | None = None,
    ) -> None:
        self.reduce_zero_label = reduce_zero_label

    def __call__(self, image: Image, mask: Mask) -> Pair:
        """What it was given."""
        return image, mask


class PackSegInputs(Transform):
    """MM's; does nothing, since the data set packs samples."""

    def __init__(self, meta_keys: list[str] | tuple[str, ...] = ()) -> None:
        self.meta_keys = tuple(meta_keys)

    def __call__(self, image: Image, mask: Mask) -> Pair:
        """What it was given."""
        return image, mask


def padded(image: Image, mask: Mask, size: tuple[int, int], image_value: Any, mask_value: int) -> Pair:
    """The pair with at least (height, width), filled up at the right and the bottom."""
    height, width = image.shape[-2:]
    right, bottom = max(0, size[1] - width), max(0, size[0] - height)
    if not right and not bottom:
        return image, mask
    padding = [0, 0, right, bottom]
    return F.pad(image, padding, fill=image_value), F.pad(mask, padding, fill=mask_value)


class RandomCrop(Transform):
    """Crop at random; a smaller picture is first filled up at the right and the bottom.

    Args:
        crop_size: (height, width); one number means both.
        cat_max_ratio: draw again (10 times at most) while one class has at least this share of the labelled pixels.
        ignore_index: the label of unlabelled and filled pixels; the data set's.
        pad_val: value 0–255 of filled pixels in the image.
    """

    is_random = True

    def __init__(
        self,
        crop_size: tuple[int, int] | int,
        cat_max_ratio: float = 1.0,
        ignore_index: int = 255,
        pad_val: int = 0,
    ) -> None:
        self.crop_size = (crop_size, crop_size) if isinstance(crop_size, int) else (crop_size[0], crop_size[1])
        if min(self.crop_size) < 1:
            raise ConfigError(f"RandomCrop.crop_size: expected at least 1, found {crop_size}")
        if not 0 < cat_max_ratio <= 1:
            raise ConfigError(f"RandomCrop.cat_max_ratio: expected above 0 and at most 1, found {cat_max_ratio}")
        self.cat_max_ratio = cat_max_ratio
        self.ignore_index = ignore_index
        self.pad_val = pad_val

    def __call__(self, image: Image, mask: Mask) -> Pair:
        """The crop, of ``crop_size`` exactly."""
        image, mask = padded(image, mask, self.crop_size, self.pad_val, self.ignore_index)
        box = self._draw(image)
        for _ in range(_CROP_TRIES if self.cat_max_ratio < 1 else 0):
            if self._is_mixed(F.crop(mask, *box)):
                break
            box = self._draw(image)
        return F.crop(image, *box), F.crop(mask, *box)

    def _draw(self, image: Image) -> tuple[int, int, int, int]:
        height, width = self.crop_size
        return randint(0, image.shape[-2] - height), randint(0, image.shape[-1] - width), height, width

    def _is_mixed(self, mask: Mask) -> bool:
        labels = mask.as_subclass(torch.Tensor).flatten()
        counts = torch.bincount(labels if self.ignore_index >= 0 else labels[labels >= 0])
        if 0 <= self.ignore_index < len(counts):
            counts[self.ignore_index] = 0
        return int(counts.count_nonzero()) > 1 and int(counts.max()) < self.cat_max_ratio * int(counts.sum())


class RandomFlip(Transform):
    """Mirror the pair.

    Args:
        prob: of being mirrored; shared evenly by several directions, or a list with one for each.
        direction: ``horizontal`` (left and right change places), ``vertical``, ``diagonal`` (both), or several.
    """

    is_random = True

    def __init__(
        self, prob: float | list[float] | None = None, direction: Direction | list[Direction] = "horizontal"
    ) -> None:
        self.directions: list[Any] = list(direction) if isinstance(direction, list | tuple) else [direction]
        if isinstance(prob, list | tuple):
            self.probabilities = [float(value) for value in prob]
        else:
            self.probabilities = [(0.5 if prob is None else prob) / len(self.directions)] * len(self.directions)
        if len(self.probabilities) != len(self.directions) or not 0 <= sum(self.probabilities) <= 1 + 1e-6:
            raise ConfigError(f"RandomFlip: prob={prob} does not fit direction={direction}; one each, 1 in all at most")

    def __call__(self, image: Image, mask: Mask) -> Pair:
        """The pair, mirrored or not."""
        draw = torch.rand(()).item()
        for direction, probability in zip(self.directions, self.probabilities, strict=True):
            if draw < probability:
                return _flipped(image, direction), _flipped(mask, direction)
            draw -= probability
        return image, mask


def _flipped(picture: Any, direction: str) -> Any:
    if direction in ("horizontal", "diagonal"):
        picture = F.horizontal_flip(picture)
    return picture if direction == "horizontal" else F.vertical_flip(picture)


class RandomRotate(Transform):
    """Turn the pair about its centre.

    Args:
        prob: of being turned.
        degree: largest angle, or the smallest and the largest; positive is clockwise.
        pad_val: value 0–255 of the image's corners that come from outside.
        seg_pad_val: their label; the ignore index when not given.
        center: (x, y) in pixels to turn about; the middle when not given.
        auto_bound: enlarge the picture so that nothing is cut off.
        ignore_index: the data set's.
    """

    is_random = True

    def __init__(
        self,
        prob: float,
        degree: float | tuple[float, float],
        pad_val: float = 0,
        seg_pad_val: int | None = None,
        center: tuple[float, float] | None = None,
        auto_bound: bool = False,
        ignore_index: int = 255,
    ) -> None:
        self.prob = prob
        self.degree = (-degree, degree) if isinstance(degree, int | float) else degree
        self.pad_val = pad_val
        self.seg_pad_val = ignore_index if seg_pad_val is None else seg_pad_val
        self.center = list(center) if center else None
        self.auto_bound = auto_bound

    def __call__(self, image: Image, mask: Mask) -> Pair:
        """The pair, turned or not."""
        if not chance(self.prob):
            return image, mask
        angle = -uniform(*self.degree)
        turn: dict[str, Any] = {"expand": self.auto_bound, "center": self.center}
        return (
            F.rotate(image, angle, InterpolationMode.BILINEAR, fill=self.pad_val, **turn),
            F.rotate(mask, angle, InterpolationMode.NEAREST, fill=self.seg_pad_val, **turn),
        )


class Pad(Transform):
    """Fill up at the right and the bottom.

    In an evaluation pipeline it does nothing: the model pads by itself and cuts its output back to the label.

    Args:
        size: (width, height) to reach.
        size_divisor: make both sides divisible by this.
        pad_to_square: make the shorter side as long as the longer one.
        pad_val: of the image, or ``dict(img=0, seg=255)``.
        padding_mode: MM's key; only ``constant``.
        ignore_index: the label of filled pixels unless ``pad_val`` says one; the data set's.
        test_mode: set by the data set.
    """

    def __init__(
        self,
        size: tuple[int, int] | None = None,
        size_divisor: int | None = None,
        pad_to_square: bool = False,
        pad_val: float | dict[str, Any] = 0,
        padding_mode: Literal["constant"] = "constant",
        ignore_index: int = 255,
        test_mode: bool = False,
    ) -> None:
        if (size is not None) + (size_divisor is not None) + pad_to_square != 1:
            raise ConfigError("Pad: give one of size, size_divisor and pad_to_square")
        values = pad_val if isinstance(pad_val, Mapping) else {"img": pad_val}
        self.size = size
        self.size_divisor = size_divisor
        self.image_value = values.get("img", 0)
        self.mask_value = int(values.get("seg", ignore_index))
        self.test_mode = test_mode

    def __call__(self, image: Image, mask: Mask) -> Pair:
        """The pair, filled up."""
        if self.test_mode:
            return image, mask
        height, width = image.shape[-2:]
        if self.size is not None:
            target = self.size[1], self.size[0]
        elif self.size_divisor is not None:
            target = tuple(math.ceil(side / self.size_divisor) * self.size_divisor for side in (height, width))
        else:
            target = (max(height, width),) * 2
        return padded(image, mask, (target[0], target[1]), self.image_value, self.mask_value)
