"""PhotoMetricDistortion: other light, other colours."""

from __future__ import annotations

import math

import torch

from rayseg.data.transforms import Image, Mask, Pair, Transform, chance, uniform


class PhotoMetricDistortion(Transform):
    """Change brightness, contrast, saturation and hue, each with probability 1/2.

    All four are linear in RGB here (hue and saturation too: a rotation about and a stretch along the grey axis, after
    P. Haeberli, "Matrix operations for image processing", 1993), so one 3×3 matrix does them all, some 20 times
    faster than by way of HSV. ``v2.RandomPhotometricDistort`` is torchvision's way by HSV.

    Args:
        brightness_delta: largest number added or taken off, of 255.
        contrast_range: factor of all values.
        saturation_range: factor of the distance from grey of the same luma.
        hue_delta: largest turn in units of 2 degrees, as MM counts it.
    """

    is_random = True

    def __init__(
        self,
        brightness_delta: int = 32,
        contrast_range: tuple[float, float] = (0.5, 1.5),
        saturation_range: tuple[float, float] = (0.5, 1.5),
        hue_delta: int = 18,
    ) -> None:
        self.brightness_delta = brightness_delta
        self.contrast_range = contrast_range
        self.saturation_range = saturation_range
        self.hue_delta = hue_delta

    def __call__(self, image: Image, mask: Mask) -> Pair:
        """The image in changed colours, and the mask as it is."""
        brightness = uniform(-self.brightness_delta, self.brightness_delta) if chance(0.5) else 0.0
        contrast = uniform(*self.contrast_range) if chance(0.5) else 1.0
        saturation = uniform(*self.saturation_range) if chance(0.5) else 1.0
        hue = uniform(-self.hue_delta, self.hue_delta) if chance(0.5) else 0.0
        matrix = contrast * hue_matrix(math.radians(2 * hue)) @ saturation_matrix(saturation)
        pixels = image.as_subclass(torch.Tensor).reshape(3, -1).float()
        offset = torch.full((3, 1), contrast * brightness + 0.5)
        changed = torch.addmm(offset, matrix, pixels).clamp_(0, 255).to(torch.uint8)
        return Image(changed.view(image.shape)), mask


def saturation_matrix(factor: float) -> torch.Tensor:
    """(3, 3): 0 gives grey, 1 the same, more than 1 stronger colours; luma (Rec. 601) and grey stay."""
    luma = torch.tensor([0.299, 0.587, 0.114]).expand(3, 3)
    return factor * torch.eye(3) + (1 - factor) * luma


def hue_matrix(angle: float) -> torch.Tensor:
    """(3, 3): a rotation about the grey axis by ``angle`` radians (Rodrigues); red turns towards green."""
    cross = torch.tensor([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]) / math.sqrt(3)
    return math.cos(angle) * torch.eye(3) + (1 - math.cos(angle)) / 3 + math.sin(angle) * cross
