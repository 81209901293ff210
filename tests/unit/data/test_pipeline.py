"""The pipeline's order, what it supplies, and what it refuses."""

from __future__ import annotations

import pytest
import torch
from torchvision.tv_tensors import Image, Mask

from rayseg.core.errors import ConfigError, DataError
from rayseg.data.pipeline import Pipeline


def pair():
    return Image(torch.zeros(3, 6, 8, dtype=torch.uint8)), Mask(torch.ones(1, 6, 8, dtype=torch.uint8))


def test_transforms_run_in_order_and_know_the_ignore_index() -> None:
    steps = [{"type": "Pad", "size": (10, 10)}, {"type": "Resize", "scale": (20, 20)}]
    image, mask = Pipeline(steps, ignore_index=99, test_mode=False)(*pair())
    assert image.shape == (3, 20, 20)
    assert mask.unique().tolist() == [1, 99]


def test_torchvisions_own_fill_labels_with_the_ignore_index() -> None:
    step = {"type": "v2.RandomRotation", "degrees": (45, 45), "fill": 50}
    image, mask = Pipeline([step], ignore_index=77, test_mode=False)(*pair())
    assert (int(image[0, 0, 0]), int(mask[0, 0, 0])) == (50, 77)


def test_live_functions_are_transforms() -> None:
    image, mask = Pipeline([lambda image, mask: (image + 3, mask)], 255, False)(*pair())
    assert int(image.max()) == 3
    assert int(mask.max()) == 1


@pytest.mark.parametrize(
    ("step", "test_mode", "message"),
    [
        (lambda image, mask: (image.float(), mask), False, "normalisation is done by model.data_preprocessor"),
        (lambda image, mask: (image, mask.float()), False, "expected integers"),
        (lambda image, mask: (image[:, :3], mask), False, r"an image of \(3, 8\) with labels of \(6, 8\)"),
        (lambda image, mask: (image, mask[:, :3]), True, "changes the label's size from .6, 8. to .3, 8."),
    ],
)
def test_wrong_results_are_data_errors(step, test_mode, message) -> None:
    with pytest.raises(DataError, match=message):
        Pipeline([step], 255, test_mode)(*pair())


def test_a_transform_with_another_call_is_named() -> None:
    with pytest.raises(TypeError) as caught:
        Pipeline([lambda image: image], 255, False)(*pair())
    assert "called with (image, mask)" in caught.value.__notes__[0]


def test_what_cannot_be_built() -> None:
    with pytest.raises(ConfigError, match=r"pipeline\.1: int is not callable"):
        Pipeline([{"type": "PackSegInputs"}, 5], 255, False)
    with pytest.raises(ConfigError, match=r"pipeline\.0: RandomCrop draws at random"):
        Pipeline([{"type": "RandomCrop", "crop_size": 4}], 255, True)
