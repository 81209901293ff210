"""From the values stored in a mask to class indices, with a table lookup that also finds values that mean nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from rayseg.core.errors import ConfigError, DataError
from rayseg.data.decode import read_mask_colours, read_mask_values

SHOWN_VALUES = 8
_ENOUGH = 16
_NOTHING = np.iinfo(np.int16).min


@dataclass(frozen=True)
class MaskRules:
    """What the values of a mask mean.

    Attributes:
        num_classes: classes are 0 to ``num_classes - 1``.
        ignore_index: the label of pixels that count nowhere; this value in a mask means the same.
        mask_format: ``index``: the value is the class; ``binary``: 0 is class 0, 255 is class 1; ``rgb``: the colour
            is looked up in ``palette``.
        label_map: stored value to class index (or the ignore index), for values that mean another class; not for
            ``rgb``.
        reduce_zero_label: 0 is unlabelled and class k is stored as k + 1; applied after ``label_map``, as MM does.
        palette: one colour for each class.
        ignore_colors: colours of unlabelled pixels.
    """

    num_classes: int
    ignore_index: int = 255
    mask_format: str = "index"
    label_map: Mapping[Any, int] | None = None
    reduce_zero_label: bool = False
    palette: Sequence[Sequence[int]] | None = None
    ignore_colors: Sequence[Sequence[int]] = ()

    def __post_init__(self) -> None:
        if not _NOTHING < self.ignore_index < -_NOTHING:
            raise ConfigError(f"ignore_index: expected a number above {_NOTHING} and below {-_NOTHING}")
        targets = set((self.label_map or {}).values())
        known = {*range(self.num_classes + self.reduce_zero_label), self.ignore_index}
        if wrong := sorted(targets - known):
            raise ConfigError(
                f"label_map: {wrong[0]} is neither a class index (0–{self.num_classes - 1}) "
                f"nor the ignore index {self.ignore_index}"
            )
        if self.mask_format == "rgb" and (self.label_map or self.reduce_zero_label):
            raise ConfigError("label_map and reduce_zero_label are for masks of indices; these are RGB (see palette)")

    @cached_property
    def is_small(self) -> bool:
        """Whether the classes, the ignore index and one spare value fit into a byte."""
        return 0 <= self.ignore_index <= 255 and self.num_classes < 255

    @property
    def dtype(self) -> np.dtype:
        """The labels': uint8 where everything fits into a byte, else int64."""
        return np.dtype(np.uint8 if self.is_small else np.int64)

    @cached_property
    def spare(self) -> int:
        """The entry of a table for values that mean nothing."""
        return (254 if self.ignore_index == 255 else 255) if self.is_small else _NOTHING

    @property
    def _table_dtype(self) -> np.dtype:
        return np.dtype(np.uint8 if self.is_small else np.int16)

    def label_of(self, value: int) -> int | None:
        """The label that a stored index means, or None."""
        if self.mask_format == "binary":
            label = {0: 0, 255: 1}.get(value)
        else:
            label = {int(key): target for key, target in (self.label_map or {}).items()}.get(value, value)
        if label is None or label == self.ignore_index:
            return label
        if self.reduce_zero_label:
            label = self.ignore_index if label == 0 else label - 1
        return label if label == self.ignore_index or 0 <= label < self.num_classes else None

    def index_table(self, size: int) -> np.ndarray:
        """Stored index to label for values below ``size``; ``spare`` where there is none."""
        labels = (self.label_of(value) for value in range(size))
        return np.array([self.spare if label is None else label for label in labels], self._table_dtype)

    def colour_table(self) -> np.ndarray:
        """24-bit colour to label (16 MiB with uint8 labels)."""
        table = np.full(1 << 24, self.spare, self._table_dtype)
        for colour in self.ignore_colors:
            table[pack(np.array(colour))] = self.ignore_index
        for index, colour in enumerate(self.palette or ()):
            table[pack(np.array(colour))] = index
        return table


def pack(colours: np.ndarray) -> np.ndarray:
    """(..., 3) colours to (...) numbers below 2^24."""
    red, green, blue = (colours[..., channel].astype(np.int32) for channel in range(3))
    return (red << 16) | (green << 8) | blue


class MaskReader:
    """Reads masks as labels.

    Its tables are made when first needed and are not pickled.
    """

    def __init__(self, rules: MaskRules) -> None:
        self.rules = rules
        self._tables: dict[int, np.ndarray] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"rules": self.rules, "_tables": {}}

    def __call__(self, path: Path | str) -> np.ndarray:
        """The labels of one mask, (H, W) uint8 or int64.

        Raises:
            DataError: the file cannot be read, or holds values that mean nothing; names them.
        """
        stored = self.stored(path)
        labels = self.lookup(stored, path)
        if (labels == self.rules.spare).any():
            raise DataError(f"{path}: {self.complaint(self.unknown_values(stored, labels))}")
        return labels.astype(self.rules.dtype, copy=False)

    def lookup(self, stored: np.ndarray, path: Path | str = "a mask") -> np.ndarray:
        """The labels of stored values, (H, W) uint8 or int16; ``rules.spare`` where a value means nothing."""
        return np.take(self._table(stored, path), stored)

    def stored(self, path: Path | str) -> np.ndarray:
        """The stored values, (H, W) indices or packed colours."""
        if self.rules.mask_format == "rgb":
            return pack(read_mask_colours(path))
        values = read_mask_values(path)
        if values.ndim == 3:
            if not ((values[..., 0] == values[..., 1]).all() and (values[..., 0] == values[..., 2]).all()):
                raise DataError(
                    f"{path}: a colour mask, but masks are read as {self.rules.mask_format}; see mask_format"
                )
            values = values[..., 0]
        return values

    def unknown_values(self, stored: np.ndarray, labels: np.ndarray | None = None) -> list[int]:
        """The stored values that mean nothing, sorted."""
        labels = self.lookup(stored) if labels is None else labels
        return [int(value) for value in np.unique(stored[labels == self.rules.spare])]

    def complaint(self, values: Sequence[int]) -> str:
        """One line that names values that mean nothing, and what may be meant."""
        shown = ", ".join(str(self._readable(value)) for value in values[:SHOWN_VALUES])
        more = f" and {len(values) - SHOWN_VALUES} more" if len(values) > SHOWN_VALUES else ""
        rules = self.rules
        if rules.mask_format == "rgb":
            grey = all(value % 0x010101 == 0 for value in values)
            other = ", or say mask_format='index'" if grey else ""
            return f"colours {shown}{more} are not in the palette; add them to palette or to ignore_colors{other}"
        if rules.mask_format == "binary":
            return f"values {shown}{more} in a binary mask, expected 0 and 255; see mask_format"
        hints = ["label_map"]
        if list(values) == [rules.num_classes] and not rules.reduce_zero_label:
            hints.insert(0, "reduce_zero_label=True (if 0 is unlabelled)")
        if len(values) == 1:
            hints.append(f"ignore_index={values[0]}")
        return (
            f"mask values {shown}{more} are outside of the {rules.num_classes} classes (0–{rules.num_classes - 1}, "
            f"ignore_index {rules.ignore_index}); see {' or '.join(hints)}"
        )

    def _readable(self, value: int) -> Any:
        if self.rules.mask_format != "rgb":
            return value
        return [value >> 16, value >> 8 & 255, value & 255]

    def _table(self, stored: np.ndarray, path: Path | str) -> np.ndarray:
        if self.rules.mask_format == "rgb":
            size = 1 << 24
        elif stored.dtype == np.uint8:
            size = 1 << 8
        else:
            size = 1 << 16
            if stored.size and (stored.min() < 0 or stored.max() >= size):
                raise DataError(f"{path}: mask values up to {stored.max()}, expected at most {size - 1}")
        if size not in self._tables:
            self._tables[size] = self.rules.colour_table() if size == 1 << 24 else self.rules.index_table(size)
        return self._tables[size]


def detect_format(paths: Iterable[Path], num_classes: int, palette: Sequence[Sequence[int]] | None) -> str:
    """How masks are to be read: ``index``, ``rgb`` or ``binary``.

    Colour pictures whose colours stand in ``palette`` are ``rgb``; grey ones that do not are read as indices. With two
    classes, masks that hold 0 and 255 and never 1 are ``binary``: 16 masks are looked at, and more while all of them
    hold nothing but 0.

    Raises:
        ConfigError: colour masks without a palette.
        DataError: a mask cannot be read.
    """
    known = set() if palette is None else {int(pack(np.array(colour))) for colour in palette}
    seen: set[int] = set()
    for count, path in enumerate(paths, start=1):
        values = read_mask_values(path)
        if values.ndim == 3:
            is_grey = bool((values == values[..., :1]).all())
            if not known and not is_grey:
                raise ConfigError(f"{path} is a colour mask: give palette=[[r, g, b], ...], a colour for each class")
            if known and (not is_grey or known & set(np.unique(pack(values)).tolist())):
                return "rgb"
            values = values[..., 0]
        if num_classes != 2:
            return "index"
        seen.update(np.unique(values).tolist())
        if seen - {0, 255}:
            return "index"
        if count >= _ENOUGH and 255 in seen:
            break
    return "binary" if 255 in seen else "index"
