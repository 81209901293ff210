"""Pictures of every kind to arrays."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from rayseg.core.errors import DataError
from rayseg.data.decode import picture_size, read_image, read_mask_values, read_rgb

RAMP = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40


def test_every_mode_becomes_rgb(save, tmp_path) -> None:
    gray = save(tmp_path / "gray.png", RAMP)
    assert np.array_equal(read_rgb(gray), np.repeat(RAMP[..., None], 3, 2))
    assert np.array_equal(read_rgb(save(tmp_path / "rgba.png", np.dstack([RAMP] * 4))), read_rgb(gray))
    assert np.array_equal(read_rgb(save(tmp_path / "p.png", RAMP, "P")), read_rgb(gray))
    deep = save(tmp_path / "deep.png", RAMP.astype(np.uint16) * 257)
    assert np.array_equal(read_rgb(deep), read_rgb(gray))


def test_a_transparent_palette_is_read_without_a_warning(tmp_path) -> None:
    Image.fromarray(RAMP).convert("P").save(tmp_path / "t.png", transparency=bytes([0, 128, 255]))
    assert read_rgb(tmp_path / "t.png").shape == (2, 3, 3)


def test_the_orientation_is_applied_to_pixels_and_size(tmp_path) -> None:
    image = Image.fromarray(RAMP)
    exif = image.getexif()
    exif[0x0112] = 6  # stored on its side
    image.save(tmp_path / "turned.png", exif=exif)
    assert picture_size(tmp_path / "turned.png") == (3, 2)
    assert np.array_equal(read_rgb(tmp_path / "turned.png")[..., 0], np.rot90(RAMP, -1))
    assert read_mask_values(tmp_path / "turned.png").shape == (3, 2)


def test_a_tensor_has_channels_first(save, tmp_path) -> None:
    image = read_image(save(tmp_path / "i.png", np.dstack([RAMP, RAMP * 0, RAMP * 0])))
    assert image.shape == (3, 2, 3)
    assert np.array_equal(image[0].numpy(), RAMP)


def test_bilevel_masks_hold_0_and_1(tmp_path) -> None:
    Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1").save(tmp_path / "m.png")
    assert read_mask_values(tmp_path / "m.png").tolist() == [[0, 1]]


def test_transparency_of_masks_is_dropped(save, tmp_path) -> None:
    assert read_mask_values(save(tmp_path / "la.png", RAMP, "LA")).shape == (2, 3)
    assert read_mask_values(save(tmp_path / "rgba.png", np.dstack([RAMP] * 4))).shape == (2, 3, 3)


@pytest.mark.parametrize("content", [None, b"no picture", b""])
def test_unreadable_files_are_named(tmp_path, content) -> None:
    path = tmp_path / "x.png"
    if content is not None:
        path.write_bytes(content)
    for read in (read_rgb, read_mask_values, picture_size):
        with pytest.raises(DataError, match=rf"{path}: (no such file|not a picture)"):
            read(path)


def test_a_truncated_picture_is_a_data_error(save, tmp_path) -> None:
    path = save(tmp_path / "cut.png", np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(DataError, match=r"cut\.png"):
        read_rgb(path)


def test_floating_point_pictures_are_refused(tmp_path) -> None:
    Image.fromarray(np.zeros((2, 2), np.float32)).save(tmp_path / "f.tif")
    with pytest.raises(DataError, match="floating-point"):
        read_rgb(tmp_path / "f.tif")
