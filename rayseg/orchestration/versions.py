"""Versions: what a job was checked with here, and whether the cluster has the same."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping

from rayseg.core.errors import ConfigError

COMPARED = ("python", "ray", "torch", "rayseg")
EXPECTED = "RAYSEG_EXPECTED_VERSIONS"


def versions_here() -> dict[str, str]:
    """The compared versions of this environment; what is not installed is left out."""
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version()}
    for name in COMPARED[1:]:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def differences(wanted: Mapping[str, str], there: Mapping[str, str]) -> list[str]:
    """What differs in its first two numbers, such as ``torch 2.13.0 instead of 2.14.1``; what is unknown does not."""
    return [
        f"{name} {there[name]} instead of {wanted[name]}"
        for name in COMPARED
        if wanted.get(name) and there.get(name) and _first_two(wanted[name]) != _first_two(there[name])
    ]


def refusal(found: list[str], place: str) -> ConfigError:
    """The error for versions that differ."""
    return ConfigError(
        f"{place} has other versions than those that the job was checked with: {'; '.join(found)}; install the same, "
        "or submit with --any-versions"
    )


def as_variable(versions: Mapping[str, str]) -> str:
    """As the environment variable ``RAYSEG_EXPECTED_VERSIONS`` of a job holds them: ``python=3.11.9 torch=2.14.1``."""
    return " ".join(f"{name}={number}" for name, number in versions.items())


def require_expected_versions() -> None:
    """In a job that says which versions it was checked with, refuse to begin with others.

    Raises:
        ConfigError: naming both.
    """
    text = os.environ.get(EXPECTED)
    if not text:
        return
    wanted = dict(part.split("=", 1) for part in text.split() if "=" in part)
    if found := differences(wanted, versions_here()):
        raise refusal(found, "the cluster")


def _first_two(number: str) -> tuple[str, ...]:
    return tuple(number.partition("+")[0].split(".")[:2])
