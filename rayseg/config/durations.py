"""Lengths of time as people write them: ``11h30m``, ``90s``, or seconds."""

from __future__ import annotations

import math
import re
from typing import Any

UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
_TEXT = re.compile(r"(?:\d+(?:\.\d+)?[dhms])+")
_PART = re.compile(r"(\d+(?:\.\d+)?)([dhms])")


def seconds_of(value: float | str) -> float:
    """Seconds of ``'11h30m'``, ``'1d'``, ``'90s'``, or of a number.

    Raises:
        ValueError: it is no length of time, or not above 0.
    """
    if isinstance(value, str):
        if not _TEXT.fullmatch(value):
            raise ValueError(f"expected a text such as '11h30m', found {value!r}")
        total = sum(float(count) * UNITS[unit] for count, unit in _PART.findall(value))
    else:
        total = float(value)
    if not (math.isfinite(total) and total > 0):
        raise ValueError(f"expected more than 0 seconds, found {value!r}")
    return total


def is_duration(value: Any) -> bool:
    """Whether ``seconds_of`` takes it."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return False
    try:
        seconds_of(value)
    except ValueError:
        return False
    return True
