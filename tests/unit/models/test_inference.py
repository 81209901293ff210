from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rayseg.core.errors import ConfigError
from rayseg.models.inference import InferenceSettings, image_logits, mean_of_views, slide, window_spans


def pixelwise(images):
    """Logits that depend on their own pixel only: every window sees the same."""
    return torch.cat([images.sum(1, keepdim=True), images[:, :1] * 2], 1).float()


@given(st.integers(1, 40), st.integers(1, 20), st.data())
def test_windows_cover_a_side_and_stay_inside(length, size, data):
    stride = data.draw(st.integers(1, size))
    spans = window_spans(length, size, stride)
    covered = {i for span in spans for i in range(span.start, span.stop)}
    assert covered == set(range(length))
    assert all(span.stop - span.start == min(size, length) for span in spans)
    assert len(spans) == len({span.start for span in spans})
    assert len(spans) == max(length - size + stride - 1, 0) // stride + 1  # MM's count


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 6), st.integers(1, 6))
def test_sliding_is_the_whole_where_windows_agree(height, width, crop, stride):
    images = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0))
    settings = InferenceSettings(mode="slide", crop_size=(crop, crop + 1), stride=(min(stride, crop), 1))
    torch.testing.assert_close(image_logits(pixelwise, images, settings), pixelwise(images))


def test_overlapping_windows_are_averaged():
    calls = iter([1.0, 5.0])

    def forward(window):
        return torch.full((1, 1, *window.shape[-2:]), next(calls))

    settings = InferenceSettings(mode="slide", crop_size=(1, 3), stride=(1, 2))
    logits = slide(forward, torch.zeros(1, 3, 1, 5), settings)
    assert logits.tolist() == [[[[1, 1, 3, 5, 5]]]]


def test_the_network_sees_one_window_at_a_time():
    seen = []

    def forward(window):
        seen.append(tuple(window.shape))
        return window[:, :2]

    slide(forward, torch.zeros(3, 3, 8, 8), InferenceSettings(mode="slide", crop_size=(4, 4), stride=(4, 4)))
    assert seen == [(1, 3, 4, 4)] * 12


@pytest.mark.parametrize("channels", [1, 3])
def test_flip_averages_the_probabilities_of_both_views(channels):
    def forward(images):  # not symmetric
        return (images * torch.arange(images.shape[-1]))[:, :channels]

    images = torch.randn(2, 3, 4, 5)
    logits = image_logits(forward, images, InferenceSettings(flip=True))

    def probability(values):
        return values.sigmoid() if channels == 1 else values.softmax(1)

    expected = (probability(forward(images)) + probability(forward(images.flip(-1)).flip(-1))) / 2
    torch.testing.assert_close(probability(logits), expected)


def test_flip_with_windows():
    images = torch.randn(1, 3, 6, 7)
    settings = InferenceSettings(mode="slide", crop_size=(4, 4), stride=(2, 2), flip=True)
    torch.testing.assert_close(image_logits(pixelwise, images, settings), pixelwise(images).log_softmax(1))


def test_views_far_apart_stay_finite():
    logits = mean_of_views(torch.tensor([[[[1e4]], [[-1e4]]]]), torch.tensor([[[[-1e4]], [[1e4]]]]))
    torch.testing.assert_close(logits.softmax(1), torch.full((1, 2, 1, 1), 0.5))
    one = mean_of_views(torch.tensor([[[[1e4]]]]), torch.tensor([[[[-1e4]]]]))
    assert one.item() == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mode": "slide"}, "needs crop_size and stride"),
        ({"mode": "slide", "crop_size": (4, 4), "stride": (4, 5)}, r"\(4, 5\) is larger than crop_size \(4, 4\)"),
        ({"threshold": 1.0}, r"between 0 and 1, found 1\.0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        InferenceSettings(**arguments)
