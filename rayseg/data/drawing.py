"""Pictures of labels over images, with a legend, and colours for classes that have none."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from PIL import Image, ImageFont

_GOLDEN = 0.618033988749895
_MARGIN, _SWATCH, _FONT = 8, 14, 14
_BACKGROUND, _TEXT = (255, 255, 255), (0, 0, 0)


def default_palette(n: int) -> list[list[int]]:
    """``n`` distinct [r, g, b] colours of 0–255, always the same: hues by the golden ratio, in two strengths."""
    colours = []
    for index in range(n):
        hue, ring = (0.58 + index * _GOLDEN) % 1.0, index // 8
        saturation, value = (0.75, 0.9) if ring % 2 == 0 else (0.55, 0.65)
        colours.append([round(255 * channel) for channel in colorsys.hsv_to_rgb(hue, saturation, value)])
    return colours


def draw_overlay(
    image: Any,
    label: Any,
    palette: Sequence[Sequence[int]],
    classes: Sequence[str],
    alpha: float = 0.5,
    ignore_index: int = 255,
) -> Image.Image:
    """The image with its labels' colours over it and a legend of the classes in it below.

    Args:
        image: (3, H, W) uint8 RGB, tensor or array.
        label: (H, W) or (1, H, W) integer class indices; its pixels that hold ``ignore_index`` stay as they are.
        palette: [r, g, b] of each class.
        classes: their names.
        alpha: share of the label's colour, 0 to 1.

    Raises:
        ValueError: the sizes differ, or a label is no class.
    """
    pixels = np.ascontiguousarray(np.asarray(image).transpose(1, 2, 0))
    labels = np.asarray(label)
    labels = labels[0] if labels.ndim == 3 else labels
    if labels.shape != pixels.shape[:2]:
        raise ValueError(f"draw_overlay: an image of {pixels.shape[:2]} with labels of {labels.shape}")
    shown = labels != ignore_index
    present = np.unique(labels[shown]).tolist()
    if present and not 0 <= present[0] <= present[-1] < len(palette):
        raise ValueError(f"draw_overlay: labels {present[0]} to {present[-1]} with {len(palette)} colours")
    colours = np.asarray(palette, np.float32)[np.where(shown, labels, 0)]
    share = (alpha * shown[..., None]).astype(np.float32)
    mixed = (pixels * (1 - share) + colours * share + 0.5).astype(np.uint8)
    return with_legend(mixed, [(classes[index], palette[index]) for index in present])


def side_by_side(pictures: Sequence[Image.Image]) -> Image.Image:
    """One picture with several beside each other, from the left; white below the lower ones."""
    from PIL import Image

    height = max(picture.height for picture in pictures)
    sheet = Image.new("RGB", (sum(picture.width for picture in pictures), height), _BACKGROUND)
    left = 0
    for picture in pictures:
        sheet.paste(picture, (left, 0))
        left += picture.width
    return sheet


def with_legend(pixels: np.ndarray, entries: Sequence[tuple[str, Sequence[int]]]) -> Image.Image:
    """A picture (H, W, 3) uint8 over rows of coloured squares with their names; rows break at the picture's width."""
    from PIL import Image, ImageDraw, ImageFont

    picture = Image.fromarray(pixels)
    if not entries:
        return picture
    font: Any = ImageFont.load_default(_FONT)
    rows = _legend_rows([name for name, _ in entries], picture.width, font)
    line = _SWATCH + _MARGIN
    width = max(picture.width, max(end for row in rows for _, _, end in row) + _MARGIN)
    sheet = Image.new("RGB", (width, picture.height + line * len(rows) + _MARGIN), _BACKGROUND)
    sheet.paste(picture, (0, 0))
    draw = ImageDraw.Draw(sheet)
    for number, row in enumerate(rows):
        top = picture.height + _MARGIN + number * line
        for index, left, _ in row:
            name, colour = entries[index]
            draw.rectangle((left, top, left + _SWATCH - 1, top + _SWATCH - 1), fill=tuple(colour), outline=_TEXT)
            draw.text((left + _SWATCH + _MARGIN // 2, top + _SWATCH // 2), name, fill=_TEXT, font=font, anchor="lm")
    return sheet


def _legend_rows(names: Sequence[str], width: int, font: ImageFont.FreeTypeFont) -> list[list[tuple[int, int, int]]]:
    """Rows of (entry, left, right) in pixels."""
    rows: list[list[tuple[int, int, int]]] = [[]]
    left = _MARGIN
    for index, name in enumerate(names):
        right = left + _SWATCH + _MARGIN // 2 + round(font.getlength(name))
        if rows[-1] and right + _MARGIN > width:
            rows.append([])
            left, right = _MARGIN, right - left + _MARGIN
        rows[-1].append((index, left, right))
        left = right + 2 * _MARGIN
    return rows
