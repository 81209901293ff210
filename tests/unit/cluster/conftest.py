"""The operator's files, and the versions that they must agree with."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.processes import REPOSITORY

CLUSTER = REPOSITORY / "cluster"


@pytest.fixture
def read_yaml() -> Callable[[str], dict[str, Any]]:
    """``read_yaml("kuberay/rayjob.yaml")``: the one document of a file below ``cluster/``."""

    def read(name: str) -> dict[str, Any]:
        (document,) = yaml.safe_load_all((CLUSTER / name).read_text())
        return document

    return read


@pytest.fixture
def program() -> Callable[[str], str]:
    """Where a linter of the dev extra is; a failure, not a skip, where it is missing."""

    def find(name: str) -> str:
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        found = shutil.which(name, path=path)
        assert found, f"{name} is not installed; it comes with the dev extra"
        return found

    return find


@pytest.fixture(scope="session")
def pinned() -> dict[str, str]:
    """Version of each package in ``constraints.txt``, names in lower case."""
    lines = (REPOSITORY / "constraints.txt").read_text().splitlines()
    return {name.lower(): version for name, _, version in (line.partition("==") for line in lines)}


@pytest.fixture(scope="session")
def python() -> str:
    """The Python that ``constraints.txt`` was made with, such as ``3.11``: the oldest that rayseg runs on."""
    (found,) = re.findall(r'requires-python = ">=(3\.\d+)"', (REPOSITORY / "pyproject.toml").read_text())
    return found
