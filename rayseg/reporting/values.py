"""Values out of files that anybody may have written or damaged, and how people read them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from rayseg.tracking.lines import number as shown_number

NONE = "–"
_INFINITIES = {"Infinity": math.inf, "-Infinity": -math.inf}


def as_number(value: Any) -> float:
    """A number as a float; NaN for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _INFINITIES.get(value, math.nan) if isinstance(value, str) else math.nan
    try:
        return float(value)
    except OverflowError:
        return math.nan


def as_mapping(value: Any) -> Mapping[str, Any]:
    """A mapping, empty for anything else."""
    return value if isinstance(value, Mapping) else {}


def as_rows(value: Any) -> list[Mapping[str, Any]]:
    """The mappings in a list, empty for anything else."""
    return [row for row in value if isinstance(row, Mapping)] if isinstance(value, list) else []


def as_text(value: Any) -> str:
    """Text as it is, a list as words, None as nothing."""
    if value is None:
        return ""
    if isinstance(value, list):
        return " ".join(map(str, value))
    return str(value)


def whole(value: Any) -> str:
    """A whole number with thin groups: ``40 000``; a dash when there is none."""
    value = as_number(value)
    return f"{value:,.0f}".replace(",", "\u202f") if math.isfinite(value) else NONE


def named(name: str, value: Any) -> str:
    """A number by what its name says that it is: percent, seconds, four digits; a dash when there is none."""
    value = as_number(value)
    if not math.isfinite(value):
        return NONE if math.isnan(value) else str(value)
    return shown_number(name, value)


def span(seconds: Any) -> str:
    """A length of time in the two largest units: ``41 s``, ``2 min 14 s``, ``3 h 05 min``, ``2 d 4 h``."""
    seconds = as_number(seconds)
    if not math.isfinite(seconds) or seconds < 0:
        return NONE
    if seconds < 10:
        return f"{seconds:.1f} s"
    if (total := round(seconds)) < 60:
        return f"{total} s"
    minutes, rest = divmod(total, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours < 24 else f"{hours // 24} d {hours % 24} h"


def moment(unix_s: Any) -> str:
    """A time as ``2026-11-24 23:50 UTC``; a dash when it is none."""
    try:
        return datetime.fromtimestamp(as_number(unix_s), UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (ValueError, OverflowError, OSError):
        return NONE


def plural(count: int, word: str) -> str:
    """``1 restart``, ``2 restarts``."""
    return f"{whole(count)} {word}" + ("" if count == 1 else "s")
