"""Transforms: image and labels move alike, sizes and shares are what the arguments say."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.tv_tensors import Image, Mask

from rayseg.core.errors import ConfigError
from rayseg.core.registries import TRANSFORMS
from rayseg.data.color import PhotoMetricDistortion, hue_matrix, saturation_matrix
from rayseg.data.resize import RandomChoiceResize, RandomResize, Resize, fitted_size
from rayseg.data.transforms import Pad, RandomCrop, RandomFlip, RandomRotate


def pair(height: int = 12, width: int = 16, seed: int = 0) -> tuple[Any, Any]:
    """Labels 0 to 3, and an image that holds 60 times the label in each channel."""
    labels = torch.randint(4, (1, height, width), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
    return Image((60 * labels).expand(3, -1, -1).contiguous()), Mask(labels)


def fits(image: Any, mask: Any, fill: int = 255) -> bool:
    """Whether the image still shows its labels."""
    known = mask[0] != fill
    return bool((image[0][known] == 60 * mask[0][known]).all())


MOVES = [
    RandomFlip(1.0),
    RandomFlip(1.0, "vertical"),
    RandomFlip(1.0, "diagonal"),
    RandomFlip([0.3, 0.3, 0.4], ["horizontal", "vertical", "diagonal"]),
    RandomCrop((5, 7)),
    RandomCrop(20, pad_val=9),
    Pad(size=(20, 30)),
    Pad(size_divisor=8),
    Pad(pad_to_square=True, pad_val={"img": 7, "seg": 255}),
]


@pytest.mark.parametrize("transform", MOVES, ids=lambda move: f"{type(move).__name__}{MOVES.index(move)}")
def test_labels_move_with_the_image_and_keep_their_kind(transform) -> None:
    for seed in range(4):
        torch.manual_seed(seed)
        image, mask = transform(*pair())
        assert (image.dtype, mask.dtype, image.shape[1:], mask.shape[0]) == (*[torch.uint8] * 2, mask.shape[1:], 1)
        assert fits(image, mask)


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 30), st.integers(1, 30))
def test_crops_have_their_size_whatever_the_picture(height, width, crop_height, crop_width) -> None:
    image, mask = RandomCrop((crop_height, crop_width))(*pair(height, width))
    assert image.shape == (3, crop_height, crop_width)
    assert mask.shape == (1, crop_height, crop_width)
    outside = crop_height * crop_width - min(height, crop_height) * min(width, crop_width)
    assert int((mask == 255).sum()) == outside


def test_crops_reach_every_place() -> None:
    image, mask = pair(4, 4)
    mask = Mask(torch.arange(16, dtype=torch.uint8).view(1, 4, 4))
    torch.manual_seed(0)
    corners = {int(RandomCrop((2, 2))(image, mask)[1][0, 0, 0]) for _ in range(200)}
    assert corners == {0, 1, 2, 4, 5, 6, 8, 9, 10}


def test_cat_max_ratio_avoids_crops_of_one_class() -> None:
    mask = torch.zeros(1, 40, 40, dtype=torch.uint8)
    mask[:, :, 20:] = 1
    image = Image(torch.zeros(3, 40, 40, dtype=torch.uint8))

    def mixed(**arguments: Any) -> int:
        torch.manual_seed(0)
        crop = RandomCrop((10, 10), **arguments)
        return sum({0, 1} <= set(crop(image, Mask(mask))[1].unique().tolist()) for _ in range(60))

    assert mixed(cat_max_ratio=0.75) > 50
    assert mixed() < 30
    mask[:, :, 10:], mask[:, :, 20:] = 1, 255  # unlabelled pixels are no class
    assert mixed(cat_max_ratio=0.75, ignore_index=255) > 40


def test_flips_are_as_frequent_as_said() -> None:
    image, mask = pair()
    flip = RandomFlip([0.5, 0.25], ["horizontal", "vertical"])
    known = {mask.flip(-1).numpy().tobytes(): "horizontal", mask.flip(-2).numpy().tobytes(): "vertical"}
    torch.manual_seed(0)
    seen = Counter(known.get(flip(image, mask)[1].numpy().tobytes(), "none") for _ in range(400))
    assert seen["horizontal"] == pytest.approx(200, abs=40)
    assert seen["vertical"] == pytest.approx(100, abs=35)
    assert seen["none"] > 60


def test_rotation_turns_both_and_marks_what_comes_from_outside() -> None:
    image, mask = pair(21, 21)
    turned, labels = RandomRotate(1.0, (90.0, 90.0))(image, mask)
    assert torch.equal(labels, torch.rot90(mask, -1, (-2, -1)))  # positive is clockwise
    assert fits(turned, labels)
    _, labels = RandomRotate(1.0, (45.0, 45.0), ignore_index=200)(image, mask)
    assert (labels[0, 0, 0], labels[0, -1, -1]) == (200, 200)
    assert RandomRotate(0.0, 45)(image, mask)[1] is mask
    assert RandomRotate(1.0, (45.0, 45.0), auto_bound=True)(image, mask)[1].shape[-1] > 21


@pytest.mark.parametrize(
    ("size", "scale", "keep_ratio", "expected"),
    [
        ((100, 200), (50, 40), False, (40, 50)),
        ((100, 200), (50, 50), True, (25, 50)),
        ((100, 200), (60, 300), True, (60, 120)),
        ((200, 100), (300, 60), True, (120, 60)),
        ((1, 1000), (100, 100), True, (1, 100)),
    ],
)
def test_fitted_size(size, scale, keep_ratio, expected) -> None:
    assert fitted_size(*size, scale, keep_ratio) == expected


def test_resized_labels_are_those_of_the_nearest_centre() -> None:
    _, mask = pair(4, 6)
    image = Image(torch.zeros(3, 4, 6, dtype=torch.uint8))
    doubled = Resize((12, 8))(image, mask)[1]
    assert torch.equal(doubled, mask.repeat_interleave(2, -1).repeat_interleave(2, -2))
    _, large = pair(12, 18)
    assert torch.equal(Resize((6, 4))(image, large)[1], large[:, 1::3, 1::3])


def test_resize_in_evaluation_leaves_the_label() -> None:
    image, mask = pair()
    resized, label = Resize((8, 6), test_mode=True)(image, mask)
    assert resized.shape == (3, 6, 8)
    assert label is mask


def test_random_sizes_stay_in_their_range() -> None:
    image, mask = pair(20, 40)
    torch.manual_seed(0)
    by_ratio = [RandomResize((40, 20), (0.5, 2.0), keep_ratio=True)(image, mask)[0].shape for _ in range(40)]
    assert all(10 <= height <= 40 and abs(width - 2 * height) <= 2 for _, height, width in by_ratio)
    assert len(set(by_ratio)) > 10
    between = [RandomResize(((10, 20), (30, 25)))(image, mask)[0].shape for _ in range(40)]
    assert {10 <= width <= 30 and 20 <= height <= 25 for _, height, width in between} == {True}
    chosen = {RandomChoiceResize([(8, 6), (10, 12)])(image, mask)[0].shape for _ in range(20)}
    assert chosen == {(3, 6, 8), (3, 12, 10)}
    edges = {
        RandomChoiceResize([10, 30], resize_type="ResizeShortestEdge", max_size=50)(image, mask)[0].shape
        for _ in range(20)
    }
    assert edges == {(3, 10, 20), (3, 25, 50)}


def test_colours_change_and_labels_do_not() -> None:
    image, mask = pair()
    torch.manual_seed(0)
    changed = [PhotoMetricDistortion()(image, mask) for _ in range(10)]
    assert all(label is mask and other.dtype == torch.uint8 for other, label in changed)
    assert sum(not torch.equal(other, image) for other, _ in changed) > 7
    quiet = PhotoMetricDistortion(0, (1.0, 1.0), (1.0, 1.0), 0)
    assert all(torch.equal(quiet(image, mask)[0], image) for _ in range(5))


def test_brightness_and_contrast_stay_in_range() -> None:
    gray = Image(torch.full((3, 2, 2), 100, dtype=torch.uint8))
    mask = Mask(torch.zeros(1, 2, 2, dtype=torch.uint8))
    torch.manual_seed(0)
    values = [int(PhotoMetricDistortion()(gray, mask)[0][0, 0, 0]) for _ in range(300)]
    assert min(values) >= (100 - 32) * 0.5 - 1
    assert max(values) <= (100 + 32) * 1.5 + 1
    assert max(values) > 150
    assert min(values) < 60


def test_hues_turn_by_twice_hue_delta_in_degrees_at_most() -> None:
    red = Image(torch.tensor([255, 0, 0], dtype=torch.uint8).view(3, 1, 1))
    mask = Mask(torch.zeros(1, 1, 1, dtype=torch.uint8))
    turn = PhotoMetricDistortion(0, (1.0, 1.0), (1.0, 1.0), hue_delta=18)
    torch.manual_seed(0)
    greens = [int(turn(red, mask)[0][1, 0, 0]) for _ in range(200)]
    angle = torch.deg2rad(torch.tensor(36.0))
    limit = 255 * float((1 - torch.cos(angle)) / 3 + torch.sin(angle) / 3**0.5)
    assert 0.9 * limit < max(greens) <= limit + 1


def test_grey_stays_grey_when_colours_turn() -> None:
    grey = torch.full((3,), 77.0)
    assert torch.allclose(hue_matrix(0.5) @ grey, grey, atol=1e-4)
    assert torch.allclose(saturation_matrix(1.7) @ grey, grey, atol=1e-4)
    red = torch.tensor([255.0, 0, 0])
    assert torch.allclose(hue_matrix(2 * torch.pi / 3) @ red, torch.tensor([0, 255.0, 0]), atol=1e-3)
    assert torch.allclose(saturation_matrix(0.0) @ red, torch.full((3,), 0.299 * 255), atol=1e-3)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"type": "RandomCrop", "crop_size": (0, 5)}, "at least 1"),
        ({"type": "RandomFlip", "prob": 1.5}, "does not fit"),
        ({"type": "RandomFlip", "prob": [0.5], "direction": ["horizontal", "vertical"]}, "one each"),
        ({"type": "Pad"}, "give one of"),
        ({"type": "Pad", "size": (4, 4), "size_divisor": 2}, "give one of"),
        ({"type": "Resize"}, "either scale or scale_factor"),
        ({"type": "RandomResize", "scale": (4, 4)}, "give one scale with ratio_range"),
        ({"type": "RandomChoiceResize", "scales": []}, "at least one"),
        ({"type": "LoadImageFromFile", "color_type": "grayscale"}, "in colour"),
    ],
)
def test_arguments_that_mean_nothing(config, message) -> None:
    with pytest.raises(ConfigError, match=message):
        TRANSFORMS.build(config)
