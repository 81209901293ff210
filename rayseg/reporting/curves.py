"""Fewer points for a curve that looks the same: of each stretch the lowest and the highest stay."""

from __future__ import annotations

import math
from collections.abc import Sequence

MAX_POINTS = 2000
MIN_POINTS = 100
TREND_POINTS = 300  # a curve of more points than this has a trend
TREND_WINDOW = 0.01  # share of the curve, to each side
PAGE_POINTS = 80_000  # of all curves of a page together, about 1.5 MB of text


def points_each(curves: int) -> int:
    """How many points a curve may have when a page has so many of them."""
    return max(MIN_POINTS, min(MAX_POINTS, PAGE_POINTS // max(1, curves)))


def thin_out(values: Sequence[float], limit: int = MAX_POINTS) -> list[int]:
    """Indices of at most ``limit`` values, ascending: the first, the last, and each stretch's lowest and highest.

    The lowest and the highest of all values are always among them. NaN and infinities count only where a stretch holds
    nothing else.

    Args:
        values: the curve.
        limit: at least 4.
    """
    assert limit >= 4, limit
    count = len(values)
    if count <= limit:
        return list(range(count))
    buckets = (limit - 2) // 2
    kept = {0, count - 1}
    for bucket in range(buckets):
        start = 1 + bucket * (count - 2) // buckets
        end = 1 + (bucket + 1) * (count - 2) // buckets
        finite = [index for index in range(start, end) if math.isfinite(values[index])]
        if finite:
            kept.add(min(finite, key=values.__getitem__))
            kept.add(max(finite, key=values.__getitem__))
        elif start < end:
            kept.add(start)
    return sorted(kept)


def trend(values: Sequence[float]) -> list[tuple[int, float]]:
    """(index, mean of the values around it) at about 300 places of a long curve; none for a short one.

    The mean is over 1 % of the curve to each side, of those values that are finite; places without any are left out.
    """
    count = len(values)
    if count <= TREND_POINTS:
        return []
    sums, counts = [0.0], [0]
    for value in values:
        finite = math.isfinite(value)
        sums.append(sums[-1] + (value if finite else 0.0))
        counts.append(counts[-1] + finite)
    reach = max(1, round(TREND_WINDOW * count))
    found = []
    for place in range(TREND_POINTS):
        index = round(place * (count - 1) / (TREND_POINTS - 1))
        start, end = max(0, index - reach), min(count, index + reach + 1)
        if (inside := counts[end] - counts[start]) > 0:
            found.append((index, (sums[end] - sums[start]) / inside))
    return found
