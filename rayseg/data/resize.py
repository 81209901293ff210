"""Transforms that resize, under MM's names. ``scale`` is (width, height), as MM says it."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from rayseg.core.errors import ConfigError
from rayseg.data.transforms import Image, Mask, Pair, Transform, randint, uniform

Interpolation = Literal["nearest", "bilinear", "bicubic"]


def fitted_size(height: int, width: int, scale: tuple[int, int], keep_ratio: bool) -> tuple[int, int]:
    """(height, width) after resizing to ``scale``.

    With ``keep_ratio`` the picture is made as large as fits: its long side at most ``max(scale)``, its short side at
    most ``min(scale)``, whichever of them is meant as the width. Without it, ``scale`` is (width, height).
    """
    if not keep_ratio:
        return scale[1], scale[0]
    factor = min(max(scale) / max(height, width), min(scale) / min(height, width))
    return max(1, int(height * factor + 0.5)), max(1, int(width * factor + 0.5))


def resized(image: Image, size: tuple[int, int], interpolation: str = "bilinear") -> Image:
    """The image at (height, width), antialiased."""
    if image.shape[-2:] == size:
        return image
    return F.resize(image, list(size), interpolation=InterpolationMode(interpolation), antialias=True)


def resized_mask(mask: Mask, size: tuple[int, int]) -> Mask:
    """The label nearest to each new pixel's centre (torchvision's own way for masks is half a pixel off)."""
    if mask.shape[-2:] == size:
        return mask
    return Mask(F.resize_image(mask.as_subclass(torch.Tensor), list(size), InterpolationMode.NEAREST_EXACT))


class Resize(Transform):
    """Resize to ``scale`` (width, height) or by ``scale_factor``.

    Args:
        scale: (width, height); one number means both.
        scale_factor: multiplies both sides; instead of ``scale``.
        keep_ratio: fit into ``scale`` without distortion (its order does not matter then).
        interpolation: of the image; labels take the nearest.
        test_mode: resize the image only: scores are of the label as it is stored. Set by the data set.
    """

    def __init__(
        self,
        scale: tuple[int, int] | int | None = None,
        scale_factor: float | None = None,
        keep_ratio: bool = False,
        interpolation: Interpolation = "bilinear",
        test_mode: bool = False,
    ) -> None:
        if (scale is None) == (scale_factor is None):
            raise ConfigError("Resize: give either scale or scale_factor")
        self.scale = (scale, scale) if isinstance(scale, int) else scale
        self.scale_factor = scale_factor
        self.keep_ratio = keep_ratio
        self.interpolation = interpolation
        self.test_mode = test_mode

    def __call__(self, image: Image, mask: Mask) -> Pair:
        """The pair at its new size."""
        height, width = image.shape[-2:]
        if self.scale is None:
            assert self.scale_factor is not None
            size = max(1, round(height * self.scale_factor)), max(1, round(width * self.scale_factor))
        else:
            size = fitted_size(height, width, (self.scale[0], self.scale[1]), self.keep_ratio)
        image = resized(image, size, self.interpolation)
        return image, mask if self.test_mode else resized_mask(mask, size)


class RandomResize(Transform):
    """Resize to a scale drawn at random.

    Args:
        scale: (width, height) that is multiplied by a number from ``ratio_range``; without a range, two scales
            between which each side is drawn.
        ratio_range: smallest and largest factor.
        keep_ratio: as in ``Resize``.
        resize_type: MM's key; it is ``Resize``.
    """

    is_random = True

    def __init__(
        self,
        scale: tuple[int, int] | tuple[tuple[int, int], tuple[int, int]],
        ratio_range: tuple[float, float] | None = None,
        keep_ratio: bool = False,
        resize_type: Literal["Resize"] = "Resize",
    ) -> None:
        is_single = isinstance(scale[0], int)
        if is_single != (ratio_range is not None):
            raise ConfigError(
                f"RandomResize: scale={scale} and ratio_range={ratio_range}; "
                "give one scale with ratio_range, or two scales without"
            )
        self.scale: Any = scale
        self.ratio_range = ratio_range
        self.keep_ratio = keep_ratio

    def __call__(self, image: Image, mask: Mask) -> Pair:
        """The pair at its new size."""
        if self.ratio_range is not None:
            ratio = uniform(*self.ratio_range)
            scale = int(self.scale[0] * ratio), int(self.scale[1] * ratio)
        else:
            sides = [sorted(pair) for pair in zip(*self.scale, strict=True)]
            scale = randint(*sides[0]), randint(*sides[1])
        height, width = image.shape[-2:]
        size = fitted_size(height, width, (max(1, scale[0]), max(1, scale[1])), self.keep_ratio)
        return resized(image, size), resized_mask(mask, size)


class RandomChoiceResize(Transform):
    """Resize to one of ``scales``.

    Args:
        scales: (width, height) pairs, or lengths of the shorter side.
        keep_ratio: as in ``Resize``; for pairs.
        resize_type: ``ResizeShortestEdge`` takes lengths of the shorter side, which MM writes as ``scales`` too.
        max_size: the longer side is at most this (``ResizeShortestEdge``).
    """

    is_random = True

    def __init__(
        self,
        scales: list[tuple[int, int]] | list[int],
        keep_ratio: bool = False,
        resize_type: Literal["Resize", "ResizeShortestEdge"] = "Resize",
        max_size: int | None = None,
    ) -> None:
        if not scales:
            raise ConfigError("RandomChoiceResize.scales: expected at least one")
        self.scales: list[Any] = list(scales)
        self.keep_ratio = keep_ratio
        self.resize_type = resize_type
        self.max_size = max_size

    def __call__(self, image: Image, mask: Mask) -> Pair:
        """The pair at its new size."""
        scale = self.scales[randint(0, len(self.scales) - 1)]
        height, width = image.shape[-2:]
        if self.resize_type == "ResizeShortestEdge":
            short = scale if isinstance(scale, int) else min(scale)
            longest = self.max_size or 2**31
            size = fitted_size(height, width, (short, max(short, longest)), keep_ratio=True)
        else:
            pair = (scale, scale) if isinstance(scale, int) else (scale[0], scale[1])
            size = fitted_size(height, width, pair, self.keep_ratio)
        return resized(image, size), resized_mask(mask, size)
