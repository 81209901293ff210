"""Logits of whole images: at once, or by sliding a window, with memory for one image's logits and one window."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from rayseg.config.markers import at_least
from rayseg.core.errors import ConfigError

Size = Annotated[int, at_least(1)]
Forward = Callable[[Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class InferenceSettings:
    """``model.test_cfg``: how validation, test and prediction look at an image.

    Attributes:
        mode: the ``whole`` image, or windows that ``slide`` over it and whose logits are averaged where they overlap.
        crop_size: (height, width) of a window.
        stride: (vertical, horizontal) pixels from one window to the next, at most ``crop_size``.
        size_divisor: images and windows are padded right and bottom until it divides their size, and the logits
            cropped back; what the network needs when not given.
        flip: average the probabilities with those of the mirrored image (test-time augmentation).
        threshold: probability from which a pixel is of class 1, for a network of one channel.
    """

    mode: Literal["whole", "slide"] = "whole"
    crop_size: tuple[Size, Size] | None = None
    stride: tuple[Size, Size] | None = None
    size_divisor: Size | None = None
    flip: bool = False
    threshold: float = 0.5

    def __post_init__(self) -> None:
        if self.mode == "slide":
            if self.crop_size is None or self.stride is None:
                raise ConfigError("model.test_cfg: mode='slide' needs crop_size and stride, each (height, width)")
            if any(step > size for step, size in zip(self.stride, self.crop_size, strict=True)):
                raise ConfigError(
                    f"model.test_cfg.stride: {tuple(self.stride)} is larger than crop_size {tuple(self.crop_size)}, "
                    "so pixels between windows would have no prediction"
                )
        if not 0 < self.threshold < 1:
            raise ConfigError(f"model.test_cfg.threshold: expected a number between 0 and 1, found {self.threshold}")


def image_logits(forward: Forward, images: Tensor, settings: InferenceSettings) -> Tensor:
    """Logits of images of one size, at that size.

    Args:
        forward: gives the logits (B, C, H, W) of images (B, 3, H, W) of any size, at that size.
        images: (B, 3, H, W).
        settings: how.

    Returns:
        float (B, C, H, W); with ``flip`` the logarithms of averaged probabilities, whose softmax they are.
    """

    def view(batch: Tensor) -> Tensor:
        return slide(forward, batch, settings) if settings.mode == "slide" else forward(batch)

    logits = view(images)
    return mean_of_views(logits, view(images.flip(-1)).flip(-1)) if settings.flip else logits


def mean_of_views(a: Tensor, b: Tensor) -> Tensor:
    """Logits whose probabilities are the means of those of two views, (B, C, H, W); one channel is a sigmoid's."""
    if a.shape[1] == 1:
        return torch.logaddexp(F.logsigmoid(a), F.logsigmoid(b)) - torch.logaddexp(F.logsigmoid(-a), F.logsigmoid(-b))
    return torch.logaddexp(a.log_softmax(1), b.log_softmax(1)) - math.log(2)


def slide(forward: Forward, images: Tensor, settings: InferenceSettings) -> Tensor:
    """Logits averaged over windows, one image and one window at a time.

    Beside the result, (B, C, H, W) float32 on the device of the logits, it holds one window's activations.
    """
    assert settings.crop_size is not None
    assert settings.stride is not None
    height, width = images.shape[-2:]
    rows = window_spans(height, settings.crop_size[0], settings.stride[0])
    columns = window_spans(width, settings.crop_size[1], settings.stride[1])
    total: Tensor | None = None
    for image, bottom_top, left_right in _windows(len(images), rows, columns):
        window = forward(images[image : image + 1, :, bottom_top, left_right])[0]
        if total is None:
            total = window.new_zeros((len(images), window.shape[0], height, width), dtype=torch.float32)
        total[image, :, bottom_top, left_right] += window
    assert total is not None
    seen = _coverage(rows, height)[:, None] * _coverage(columns, width)[None, :]
    return total.div_(seen.to(total.device))


def _windows(images: int, rows: list[slice], columns: list[slice]) -> Iterator[tuple[int, slice, slice]]:
    for image in range(images):
        for row in rows:
            for column in columns:
                yield image, row, column


def window_spans(length: int, size: int, stride: int) -> list[slice]:
    """Where windows lie along one side of an image; the last one ends with the image, none is longer than it.

    Args:
        length: of the side, in pixels.
        size: of a window.
        stride: from one window to the next.
    """
    size = min(size, length)
    starts = [*range(0, length - size, stride), length - size]
    return [slice(start, start + size) for start in starts]


def _coverage(spans: list[slice], length: int) -> Tensor:
    """How many windows see each pixel of a side, float32 (length,)."""
    seen = torch.zeros(length)
    for span in spans:
        seen[span] += 1
    return seen
