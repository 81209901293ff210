"""Image files to tensors: RGB uint8, upright; and a mask's raw values."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rayseg.core.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

_ORIENTATION = 0x0112


@contextmanager
def opened(path: Path | str) -> Iterator[Image.Image]:
    """The picture at ``path``, not decoded yet.

    Raises:
        DataError: the file is missing, broken or no picture; also when decoding inside the block fails.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            yield image
    except (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError) as error:
        if isinstance(error, FileNotFoundError):
            raise DataError(f"{path}: no such file") from None
        reason = "not a picture that pillow can read" if isinstance(error, UnidentifiedImageError) else error
        raise DataError(f"{path}: {reason}") from error


def upright(image: Image.Image) -> Image.Image:
    """The picture turned as its EXIF orientation says."""
    from PIL import ImageOps

    return ImageOps.exif_transpose(image) if image.getexif().get(_ORIENTATION, 1) != 1 else image


def picture_size(path: Path | str) -> tuple[int, int]:
    """(height, width) in pixels after EXIF orientation; reads the header only."""
    with opened(path) as image:
        width, height = image.size
        turned = image.getexif().get(_ORIENTATION, 1) >= 5
    return (width, height) if turned else (height, width)


def read_rgb(path: Path | str) -> np.ndarray:
    """An image as uint8 (H, W, 3) RGB, upright.

    Grey becomes three equal channels, transparency is dropped, 16-bit grey is scaled from 0–65535 to 0–255.

    Raises:
        DataError: the file cannot be read as such.
    """
    with opened(path) as image:
        if image.mode == "F":
            raise DataError(f"{path}: floating-point images are not supported; store 8 or 16 bits")
        if image.mode.startswith("I"):
            return np.repeat(_scaled_16_bit(np.array(upright(image)), path)[..., None], 3, axis=2)
        return _rgb(upright(image))


def _rgb(image: Image.Image) -> np.ndarray:
    if image.mode == "P" and "transparency" in image.info:  # else pillow warns
        image = image.convert("RGBA")
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def _scaled_16_bit(values: np.ndarray, path: Path | str) -> np.ndarray:
    if values.size and (values.min() < 0 or values.max() > 65535):
        raise DataError(f"{path}: values from {values.min()} to {values.max()}, expected 8 or 16 bits")
    return ((values.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)


def read_image(path: Path | str) -> Any:
    """``read_rgb`` as a ``tv_tensors.Image``, uint8 (3, H, W)."""
    import torch
    from torchvision import tv_tensors

    return tv_tensors.Image(torch.from_numpy(read_rgb(path)).permute(2, 0, 1))


def read_mask_values(path: Path | str) -> np.ndarray:
    """A mask's stored values: (H, W) indices (of a palette picture, the indices), or uint8 (H, W, 3) colours.

    Bilevel pictures give 0 and 1; transparency is dropped.

    Raises:
        DataError: the file cannot be read as such.
    """
    with opened(path) as image:
        turned = upright(image)
        if turned.mode in ("L", "P", "RGB", "1") or turned.mode.startswith("I"):
            values = np.array(turned)
            return values.astype(np.uint8) if values.dtype == np.bool_ else values
        if turned.mode in ("LA", "PA"):
            return np.array(turned)[..., 0]
        if turned.mode in ("RGBA", "RGBX"):
            return np.array(turned)[..., :3]
        raise DataError(f"{path}: a mask of mode {turned.mode!r}; expected 8 or 16-bit indices, a palette or RGB")


def read_mask_colours(path: Path | str) -> np.ndarray:
    """A mask's colours, uint8 (H, W, 3), also of a palette picture."""
    with opened(path) as image:
        return _rgb(upright(image))
