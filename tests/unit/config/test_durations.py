"""Lengths of time as people write them."""

from __future__ import annotations

from typing import Any

import pytest

from rayseg.config import Config, check_config, settings
from rayseg.config.durations import is_duration, seconds_of
from rayseg.core.errors import ConfigError


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("11h30m", 41400.0), ("90s", 90.0), ("1d", 86400.0), ("1.5h", 5400.0), ("2m3s", 123.0), (60, 60.0), (0.5, 0.5)],
)
def test_lengths(value: Any, seconds: float) -> None:
    assert seconds_of(value) == seconds
    assert is_duration(value)


@pytest.mark.parametrize(
    "value", ["", "11", "1h 30m", "h", "-1h", "0s", 0, -5, float("inf"), float("nan"), True, None, "1w"]
)
def test_what_is_none(value: Any) -> None:
    assert not is_duration(value)


def test_in_a_config() -> None:
    good = Config({"failure": {"time_limit": "11h30m", "max_failures": 2}})
    check_config(good, needs=())
    assert settings(good, "failure").time_limit == "11h30m"
    with pytest.raises(ConfigError, match=r"failure\.time_limit: expected .*such as '11h30m'.*, found '11:30'"):
        check_config(Config({"failure": {"time_limit": "11:30"}}), needs=())
