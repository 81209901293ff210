"""Overlays and colours."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rayseg.data.drawing import default_palette, draw_overlay, with_legend

PALETTE = [[200, 0, 0], [0, 100, 0]]


@settings(deadline=None)
@given(st.integers(1, 256))
def test_default_colours_differ(n) -> None:
    colours = default_palette(n)
    assert len({tuple(colour) for colour in colours}) == n
    assert default_palette(n + 1)[:n] == colours
    assert all(0 <= channel <= 255 for colour in colours for channel in colour)


def test_labels_colour_the_image_and_unlabelled_pixels_stay() -> None:
    image = torch.full((3, 2, 40), 100, dtype=torch.uint8)
    label = torch.zeros(1, 2, 40, dtype=torch.uint8)
    label[0, 1, 0], label[0, 1, 1] = 1, 255
    picture = np.asarray(draw_overlay(image, label, PALETTE, ["a", "b"], alpha=0.5))
    assert picture[0, 0].tolist() == [150, 50, 50]
    assert picture[1, 0].tolist() == [50, 100, 50]
    assert picture[1, 1].tolist() == [100, 100, 100]
    assert np.array_equal(np.asarray(draw_overlay(image, label[0].numpy(), PALETTE, ["a", "b"])), picture)
    opaque = np.asarray(draw_overlay(image, label, PALETTE, ["a", "b"], alpha=1.0))
    assert opaque[0, 0].tolist() == PALETTE[0]


def test_the_legend_holds_the_classes_that_are_there_and_breaks_lines() -> None:
    image = torch.zeros(3, 10, 60, dtype=torch.uint8)
    label = torch.zeros(10, 60, dtype=torch.int64)
    one = draw_overlay(image, label, PALETTE, ["first", "second"])
    label[0] = 1
    both = draw_overlay(image, label, PALETTE, ["first", "second"])
    assert both.height > one.height > 10
    assert tuple(PALETTE[1]) in {colour for _, colour in both.getcolors(1 << 16) or []}
    label[:] = 255
    assert draw_overlay(image, label, PALETTE, ["first", "second"]).size == (60, 10)


def test_a_long_name_widens_a_narrow_picture() -> None:
    sheet = with_legend(np.zeros((4, 10, 3), np.uint8), [("a very long class name", (1, 2, 3))])
    assert sheet.width > 100


@pytest.mark.parametrize(
    ("label", "message"),
    [(np.zeros((3, 4), int), "labels of"), (np.full((2, 4), 7), "labels 7 to 7 with 2 colours")],
)
def test_labels_that_do_not_fit(label, message) -> None:
    with pytest.raises(ValueError, match=message):
        draw_overlay(np.zeros((3, 2, 4), np.uint8), label, PALETTE, ["a", "b"])
