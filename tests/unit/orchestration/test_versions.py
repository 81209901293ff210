"""Which versions differ, and a job that refuses to begin with others than it was checked with."""

from __future__ import annotations

import pytest

from rayseg.core.errors import ConfigError
from rayseg.orchestration.versions import (
    COMPARED,
    EXPECTED,
    as_variable,
    differences,
    require_expected_versions,
    versions_here,
)


@pytest.mark.parametrize(
    ("wanted", "there", "found"),
    [
        ({"python": "3.11.9"}, {"python": "3.11.2"}, []),
        ({"python": "3.11.9"}, {"python": "3.12.9"}, ["python 3.12.9 instead of 3.11.9"]),
        ({"torch": "2.14.1"}, {"torch": "2.14.0+cu128"}, []),
        ({"torch": "2.14.1"}, {"torch": "2.1.4"}, ["torch 2.1.4 instead of 2.14.1"]),
        ({"ray": "2.60.0"}, {}, []),
        ({}, {"ray": "2.60.0"}, []),
        ({"rayseg": "0.1.0.dev0"}, {"rayseg": "0.1.0"}, []),
        ({"other": "1.0"}, {"other": "2.0"}, []),
        (
            {"torch": "2.13.0", "ray": "2.60.0"},
            {"ray": "2.61.0", "torch": "2.14.1"},
            ["ray 2.61.0 instead of 2.60.0", "torch 2.14.1 instead of 2.13.0"],
        ),
    ],
)
def test_differences(wanted: dict[str, str], there: dict[str, str], found: list[str]) -> None:
    assert differences(wanted, there) == found


def test_here_is_all_that_is_compared() -> None:
    assert tuple(versions_here()) == COMPARED
    assert differences(versions_here(), versions_here()) == []


def test_a_job_is_told_and_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(EXPECTED, raising=False)
    require_expected_versions()
    monkeypatch.setenv(EXPECTED, as_variable(versions_here()))
    require_expected_versions()
    monkeypatch.setenv(EXPECTED, as_variable({**versions_here(), "torch": "1.0.0"}))
    with pytest.raises(
        ConfigError, match=r"the cluster has other versions .*: torch \S+ instead of 1\.0\.0; install the same"
    ):
        require_expected_versions()
