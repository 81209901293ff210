"""From the loader's batch to the network's input: moved to the device, normalised, padded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rayseg.config.markers import at_least
from rayseg.core.errors import ConfigError

Size = Annotated[int, at_least(1)]

# Channel statistics of ImageNet's training images in RGB, on the scale of 0 to 255.
IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)


class SegDataPreProcessor(nn.Module):
    """Moves images to its own device and normalises them: (x - mean) / std, with x in 0 to 255.

    Args:
        mean: per channel in RGB order on the scale of 0 to 255, ``'imagenet'``, or None for 0.
        std: the same, None for 1.
        bgr_to_rgb: MM's key; images are RGB here from the start, so it changes nothing.
        rgb_to_bgr: give the network BGR; ``mean`` and ``std`` are then in BGR order.
        pad_val: value of padded pixels, after normalisation.
        seg_pad_val: MM's key; padded pixels are ignored, so it can only be the data's ignore index.
        size: (height, width) to which smaller training images are padded.
        size_divisor: training images are padded until it divides their size.
        test_cfg: MM's key: ``size_divisor`` for validation and test, if ``model.test_cfg`` has none.

    Raises:
        ConfigError: ``mean`` or ``std`` has the wrong length, is on another scale, or divides by 0.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        mean: Sequence[float] | Literal["imagenet"] | None = "imagenet",
        std: Sequence[float] | Literal["imagenet"] | None = "imagenet",
        bgr_to_rgb: bool = False,
        rgb_to_bgr: bool = False,
        pad_val: float = 0.0,
        seg_pad_val: int | None = None,
        size: tuple[Size, Size] | None = None,
        size_divisor: Size | None = None,
        test_cfg: dict[Literal["size_divisor"], Size] | None = None,
    ) -> None:
        super().__init__()
        means = IMAGENET_MEAN if mean == "imagenet" else tuple(mean or (0.0, 0.0, 0.0))
        stds = IMAGENET_STD if std == "imagenet" else tuple(std or (1.0, 1.0, 1.0))
        _check_statistics(means, stds)
        self.register_buffer("mean", torch.tensor(means, dtype=torch.float32).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(stds, dtype=torch.float32).view(-1, 1, 1), persistent=False)
        self.rgb_to_bgr = rgb_to_bgr
        self.memory_format = torch.contiguous_format
        self.pad_val = pad_val
        self.seg_pad_val = seg_pad_val
        self.size = tuple(size) if size else None
        self.size_divisor = size_divisor
        self.test_size_divisor: int | None = (test_cfg or {}).get("size_divisor")
        self.notes: tuple[str, ...] = (
            ("model.data_preprocessor.bgr_to_rgb means nothing here: images are RGB from the start",)
            if bgr_to_rgb
            else ()
        )

    @property
    def device(self) -> torch.device:
        """Where images are moved to."""
        return self.mean.device

    def forward(self, images: Tensor) -> Tensor:
        """Normalise images of one size.

        Args:
            images: uint8 (or float) RGB in 0 to 255, (B, 3, H, W), on any device.

        Returns:
            float32 (B, 3, H, W) on this module's device, in its ``memory_format``.
        """
        mean = self.mean
        moved = images.to(mean.device, non_blocking=True)
        normalized = moved.to(torch.float32, copy=True, memory_format=self.memory_format)
        if self.rgb_to_bgr:
            normalized = normalized.flip(-3)
        return normalized.sub_(mean).div_(self.std)

    def training_batch(
        self, images: Tensor | Sequence[Tensor], labels: Sequence[Tensor], ignore_index: int, divisor: int = 1
    ) -> tuple[Tensor, Tensor]:
        """Normalised images and their labels as one batch; padded right and bottom where sizes make it necessary.

        Args:
            images: (B, 3, H, W), or B of (3, H, W) whose sizes differ.
            labels: B of integer (1, H, W), each of the size of its image.
            ignore_index: what padded pixels are labelled.
            divisor: what the network needs to divide the size, if ``size_divisor`` says nothing.

        Returns:
            float32 (B, 3, H', W') and int64 labels (B, H', W').
        """
        height, width = self._training_size(images, self.size_divisor or divisor)
        device = self.device
        moved = [label.to(device, non_blocking=True) for label in labels]
        if isinstance(images, Tensor) and (height, width) == tuple(images.shape[-2:]):
            return self(images), torch.cat(moved).long()
        batch = torch.cat([pad_to(self(image[None]), height, width, self.pad_val) for image in images])
        return batch, torch.cat([pad_to(label, height, width, ignore_index) for label in moved]).long()

    def _training_size(self, images: Tensor | Sequence[Tensor], divisor: int) -> tuple[int, int]:
        shapes = [images.shape[-2:]] if isinstance(images, Tensor) else [image.shape[-2:] for image in images]
        heights, widths = zip(*shapes, *([self.size] if self.size else []), strict=True)
        return round_up(max(heights), divisor), round_up(max(widths), divisor)

    def check_label_padding(self, ignore_index: int) -> None:
        """Padded pixels are ignored.

        Raises:
            ConfigError: ``seg_pad_val`` says another label.
        """
        if self.seg_pad_val not in (None, ignore_index):
            raise ConfigError(
                f"model.data_preprocessor.seg_pad_val: found {self.seg_pad_val}, but padded pixels are ignored and "
                f"the data's ignore_index is {ignore_index}; leave it out"
            )


def round_up(value: int, divisor: int) -> int:
    """The smallest multiple of ``divisor`` that is not below ``value``."""
    return -(-value // divisor) * divisor


def pad_to(image: Tensor, height: int, width: int, value: float = 0.0) -> Tensor:
    """Pad the last two dimensions right and bottom; the same tensor when it is that large already."""
    bottom, right = height - image.shape[-2], width - image.shape[-1]
    return F.pad(image, (0, right, 0, bottom), value=value) if bottom or right else image


def _check_statistics(mean: Sequence[float], std: Sequence[float]) -> None:
    for name, values in (("mean", mean), ("std", std)):
        if len(values) != 3:
            raise ConfigError(f"model.data_preprocessor.{name}: expected 3 numbers (RGB), found {list(values)}")
    if min(std) <= 0:
        raise ConfigError(f"model.data_preprocessor.std: expected numbers above 0, found {list(std)}")
    if 0 < max(mean) <= 1:
        raise ConfigError(
            f"model.data_preprocessor.mean: {list(mean)} is on the scale of 0 to 1; pixels are 0 to 255 here, as in "
            "MM: multiply mean and std by 255, or say 'imagenet'"
        )
