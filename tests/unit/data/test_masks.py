"""Mask values to labels."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from rayseg.core.errors import ConfigError, DataError
from rayseg.data.masks import MaskReader, MaskRules, detect_format

PALETTE = [[0, 0, 0], [128, 0, 0], [0, 128, 64]]


def read(path, **rules) -> list[list[int]]:
    return MaskReader(MaskRules(**{"num_classes": 3, **rules}))(path).tolist()


def gray(save, path, *values, dtype=np.uint8):
    return save(path, np.array([values], dtype))


@pytest.mark.parametrize(
    ("stored", "rules", "labels"),
    [
        ([0, 1, 2, 255], {}, [0, 1, 2, 255]),
        ([0, 1, 2, 9], {"ignore_index": 9}, [0, 1, 2, 9]),
        ([0, 254], {"ignore_index": 254}, [0, 254]),
        ([0, 1, 3, 255], {"reduce_zero_label": True}, [255, 0, 2, 255]),
        ([7, 11, 26, 0], {"label_map": {7: 0, 11: 1, 26: 2, 0: 255}}, [0, 1, 2, 255]),
        ([7, 1, 0], {"label_map": {"7": 3}, "reduce_zero_label": True}, [2, 0, 255]),
        ([0, 255], {"mask_format": "binary", "num_classes": 2}, [0, 1]),
        ([0, 255], {"mask_format": "binary", "num_classes": 1, "reduce_zero_label": True}, [255, 0]),
    ],
)
def test_indices(save, tmp_path, stored, rules, labels) -> None:
    assert read(gray(save, tmp_path / "m.png", *stored), **rules) == [labels]


def test_palette_pictures_are_read_as_indices_not_colours(tmp_path) -> None:
    image = Image.fromarray(np.array([[0, 2, 1]], np.uint8)).convert("P")
    image.putpalette([9, 9, 9, 200, 0, 0, 0, 0, 200])
    image.save(tmp_path / "m.png")
    assert read(tmp_path / "m.png") == [[0, 2, 1]]


def test_16_bit_indices_and_many_classes_give_int64(save, tmp_path) -> None:
    path = gray(save, tmp_path / "m.png", 0, 299, 65535, dtype=np.uint16)
    labels = MaskReader(MaskRules(300, ignore_index=-1, label_map={65535: -1}))(path)
    assert labels.dtype == np.int64
    assert labels.tolist() == [[0, 299, -1]]
    assert MaskReader(MaskRules(3))(gray(save, tmp_path / "n.png", 1)).dtype == np.uint8


def test_colours(save, tmp_path) -> None:
    path = save(tmp_path / "m.png", np.array([[*PALETTE, [255, 255, 255]]], np.uint8))
    rules = {"mask_format": "rgb", "palette": PALETTE}
    assert read(path, ignore_colors=[[255, 255, 255]], **rules) == [[0, 1, 2, 255]]
    with pytest.raises(DataError, match=r"m\.png: colours \[255, 255, 255\] are not in the palette"):
        read(path, **rules)


@pytest.mark.parametrize(
    ("stored", "rules", "message"),
    [
        ([0, 7, 9], {}, r"mask values 7, 9 are outside of the 3 classes \(0–2, ignore_index 255\); see label_map"),
        ([0, 3], {}, "reduce_zero_label=True"),
        ([0, 254], {}, "ignore_index=254"),
        ([255, 3], {"ignore_index": 254}, "mask values 3, 255"),
        ([0, 128], {"mask_format": "binary"}, "128 in a binary mask, expected 0 and 255"),
        ([4], {"reduce_zero_label": True}, "mask values 4 "),
        (range(40), {}, r"10 and 29 more"),
    ],
)
def test_values_that_mean_nothing_are_named(save, tmp_path, stored, rules, message) -> None:
    with pytest.raises(DataError, match=message):
        read(gray(save, tmp_path / "m.png", *stored), **rules)


def test_a_colour_mask_where_indices_are_expected(save, tmp_path) -> None:
    path = save(tmp_path / "m.png", np.array([[[1, 2, 3]]], np.uint8))
    with pytest.raises(DataError, match="a colour mask, but masks are read as index"):
        read(path)
    assert read(save(tmp_path / "g.png", np.full((1, 2, 3), 2, np.uint8))) == [[2, 2]]


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"label_map": {1: 3}}, "3 is neither a class index"),
        ({"ignore_index": 99999}, "ignore_index"),
        ({"mask_format": "rgb", "label_map": {1: 1}}, "for masks of indices"),
    ],
)
def test_rules_that_contradict_themselves(rules, message) -> None:
    with pytest.raises(ConfigError, match=message):
        MaskRules(3, **rules)


@pytest.mark.parametrize(
    ("masks", "num_classes", "palette", "expected"),
    [
        ([[0, 1, 255]], 2, None, "index"),
        ([[0, 0], [0, 255]], 2, None, "binary"),
        ([[0, 255], [0, 1]], 2, None, "index"),
        ([[0, 0]], 2, None, "index"),
        ([[0, 255]], 3, None, "index"),
        ([PALETTE], 3, PALETTE, "rgb"),
        ([[0, 1]], 3, PALETTE, "index"),
    ],
)
def test_the_format_is_seen_from_the_masks(save, tmp_path, masks, num_classes, palette, expected) -> None:
    paths = [save(tmp_path / f"{n}.png", np.array([values], np.uint8)) for n, values in enumerate(masks)]
    assert detect_format(paths, num_classes, palette) == expected


def test_colours_without_a_palette_are_refused(save, tmp_path) -> None:
    path = save(tmp_path / "m.png", np.array([PALETTE], np.uint8))
    with pytest.raises(ConfigError, match="give palette="):
        detect_format([path], 3, None)
