"""JSON that every strict parser reads and that gives back the same numbers.

Numbers that JSON does not have: NaN (a class that does not occur has no IoU) is written as ``null``, which data frames
read as a missing number; infinities as the strings ``"Infinity"`` and ``"-Infinity"``. Floats have all their digits.
"""

from __future__ import annotations

import json
import math
from typing import Any

from rayseg.core.record import Record

HEAD = ("mode", "iter", "epoch", "time")
_INFINITIES = {"Infinity": math.inf, "-Infinity": -math.inf}


def encode(value: Any, indent: int | None = None) -> str:
    """``value`` as strict JSON, keys in their given order; one line unless ``indent`` is given.

    Raises:
        TypeError: it holds something that is no JSON value, nor a number with ``item()`` (NumPy, torch).
    """
    return json.dumps(_strict(value), indent=indent, ensure_ascii=False, allow_nan=False)


def encode_record(record: Record) -> bytes:
    """A scalars record as one line of ``metrics.jsonl``; its data cannot overwrite mode, iter, epoch or time."""
    head = {name: getattr(record, name) for name in HEAD}
    data = {name: value for name, value in record.data.items() if name not in HEAD}
    return encode({**head, **data}).encode("utf-8", "replace") + b"\n"


def parse_line(line: bytes | str) -> dict[str, Any] | None:
    """A line of ``metrics.jsonl`` as it is written; None when it is damaged."""
    try:
        value = json.loads(line)
    except ValueError:
        return None
    if not isinstance(value, dict) or not isinstance(value.get("mode"), str) or type(value.get("iter")) is not int:
        return None
    return value


def decode_line(line: bytes | str) -> dict[str, Any] | None:
    """A line of ``metrics.jsonl`` with ``null`` and ``"Infinity"`` as floats again; None when it is damaged."""
    value = parse_line(line)
    return None if value is None else {name: _number(item) for name, item in value.items()}


def _strict(value: Any) -> Any:
    if isinstance(value, bool | str | int) or value is None:
        return value
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        return None if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, dict):
        return {str(key): _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    if hasattr(value, "item") and getattr(value, "size", 1) in (1, ()):
        return _strict(value.item())
    raise TypeError(f"a record holds JSON values only, found {type(value).__name__}: {value!r}")


def _number(value: Any) -> Any:
    if value is None:
        return math.nan
    if isinstance(value, str):
        return _INFINITIES.get(value, value)
    if isinstance(value, list):
        return [_number(item) for item in value]
    if isinstance(value, dict):
        return {name: _number(item) for name, item in value.items()}
    return value
