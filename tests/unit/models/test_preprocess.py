from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rayseg.core.errors import ConfigError
from rayseg.models.preprocess import IMAGENET_MEAN, IMAGENET_STD, SegDataPreProcessor, pad_to, round_up


def an_image(height, width, seed=0):
    return torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def a_label(height, width):
    return torch.randint(0, 3, (1, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def test_images_are_normalised_with_0_to_255_statistics():
    images = torch.stack([an_image(4, 5), an_image(4, 5, 1)])
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    torch.testing.assert_close(SegDataPreProcessor()(images), (images.float() - mean) / std)
    torch.testing.assert_close(SegDataPreProcessor(mean=None, std=None)(images), images.float())


def test_bgr_networks_get_bgr_with_statistics_in_that_order():
    image = an_image(2, 2)[None]
    own = SegDataPreProcessor(mean=[1.0, 2.0, 3.0], std=[1.0, 1.0, 1.0], rgb_to_bgr=True)(image)
    torch.testing.assert_close(own[:, 0], image[:, 2].float() - 1)
    torch.testing.assert_close(own[:, 2], image[:, 0].float() - 3)


def test_float_images_are_not_changed_in_place():
    image = torch.full((1, 3, 2, 2), 7.0)
    SegDataPreProcessor()(image)
    assert (image == 7).all()


def test_channels_last_is_kept_to():
    preprocessor = SegDataPreProcessor()
    preprocessor.memory_format = torch.channels_last
    images = torch.stack([an_image(4, 5)] * 2)
    assert preprocessor(images).is_contiguous(memory_format=torch.channels_last)


@given(st.integers(1, 50), st.integers(1, 9))
def test_round_up_is_the_next_multiple(value, divisor):
    result = round_up(value, divisor)
    assert result % divisor == 0
    assert 0 <= result - value < divisor


def test_images_of_different_sizes_make_a_padded_batch():
    images, labels = [an_image(4, 7), an_image(6, 5, 1)], [a_label(4, 7), a_label(6, 5)]
    preprocessor = SegDataPreProcessor(pad_val=0.5)
    batch, target = preprocessor.training_batch(images, labels, ignore_index=255, divisor=4)
    assert batch.shape == (2, 3, 8, 8)
    assert target.shape == (2, 8, 8)
    assert target.dtype == torch.int64
    torch.testing.assert_close(batch[0, :, :4, :7], preprocessor(images[0][None])[0])
    assert torch.equal(target[1, :6, :5], labels[1][0].long())
    assert (batch[0, :, 4:] == 0.5).all()
    assert (batch[1, :, :, 5:] == 0.5).all()
    assert (target[0, :, 7:] == 255).all()
    assert (target[1, 6:] == 255).all()


def test_a_batch_that_fits_is_not_padded():
    images = torch.stack([an_image(4, 7)] * 2)
    batch, target = SegDataPreProcessor().training_batch(images, [a_label(4, 7)] * 2, 255)
    assert batch.shape == (2, 3, 4, 7)
    assert target.shape == (2, 4, 7)


def test_size_and_size_divisor_pad_a_batch():
    images, labels = an_image(4, 7)[None], [a_label(4, 7)]
    batch, _ = SegDataPreProcessor(size=(6, 5)).training_batch(images, labels, 255)
    assert batch.shape[-2:] == (6, 7)
    batch, target = SegDataPreProcessor(size_divisor=5).training_batch(images, labels, 255, divisor=32)
    assert batch.shape[-2:] == target.shape[-2:] == (5, 10)


def test_pad_to_leaves_what_is_large_enough():
    image = torch.ones(1, 2, 2)
    assert pad_to(image, 2, 2) is image
    assert pad_to(image, 3, 2, 9).tolist() == [[[1, 1], [1, 1], [9, 9]]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mean": [0.5] * 3, "std": [0.2] * 3}, "on the scale of 0 to 1"),
        ({"std": [1.0, 0.0, 1.0]}, "std: expected numbers above 0"),
        ({"mean": [1.0]}, "mean: expected 3 numbers"),
    ],
)
def test_statistics_that_cannot_be_right_are_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        SegDataPreProcessor(**arguments)


def test_mms_keys_are_accepted_where_they_mean_the_same():
    preprocessor = SegDataPreProcessor(bgr_to_rgb=True, seg_pad_val=255, test_cfg={"size_divisor": 8})
    assert preprocessor.test_size_divisor == 8
    assert "images are RGB" in preprocessor.notes[0]
    preprocessor.check_label_padding(255)
    with pytest.raises(ConfigError, match="seg_pad_val: found 255, but padded pixels are ignored"):
        preprocessor.check_label_padding(0)


def test_nothing_of_it_is_saved():
    assert not SegDataPreProcessor().state_dict()
