"""A sum of losses that does not depend on the order of its terms."""

from __future__ import annotations

import math
from collections.abc import Sequence

_SCALE = 2**30
_LOW_BITS = 32
_LARGEST = 2**40


class LossSum:
    """Adds one loss per image in fixed point, so that 1, 2 or 3 ranks get the identical mean.

    A loss x is kept as the integer round(x · 2³⁰), so the mean is exact to about 10⁻⁹. Python's integers do not
    overflow; between ranks the sum travels as two int64 words, sum = high · 2³² + low, which add up without overflow
    for more than 10⁷ images. A loss that is not finite, or is 2⁴⁰ or more, makes the mean NaN.
    """

    def __init__(self, total: int = 0, count: int = 0, bad: int = 0) -> None:
        self.total = total
        self.count = count
        self.bad = bad

    def add(self, loss: float) -> None:
        """Add the loss of one image."""
        self.count += 1
        if math.isfinite(loss) and abs(loss) < _LARGEST:
            self.total += round(loss * _SCALE)
        else:
            self.bad += 1

    def mean(self) -> float:
        """The mean over images; NaN without images, or with one whose loss was not finite."""
        return self.total / (self.count * _SCALE) if self.count and not self.bad else math.nan

    def words(self) -> list[int]:
        """Four int64 numbers that may be added over ranks: high and low word, images, and those not finite."""
        high, low = divmod(self.total, 2**_LOW_BITS)
        return [high, low, self.count, self.bad]

    @classmethod
    def from_words(cls, words: Sequence[int]) -> LossSum:
        """The sum that (added) words stand for."""
        high, low, count, bad = words
        return cls(high * 2**_LOW_BITS + low, count, bad)
