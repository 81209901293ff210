"""cluster/Dockerfile: what it copies, as whom it runs, which versions it has; by hadolint and by its own lines."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from tests.processes import REPOSITORY
from tests.unit.cluster.conftest import CLUSTER

DOCKERFILE = CLUSTER / "Dockerfile"


def instructions() -> list[tuple[str, str]]:
    """Name and argument of each instruction; continued lines are one, comments are gone."""
    lines = [line for line in DOCKERFILE.read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", "").splitlines()
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in joined if line.strip())]


def copied() -> list[str]:
    """What is copied out of the repository."""
    plain = [rest.split() for name, rest in instructions() if name == "COPY" and "--from" not in rest]
    return [source for words in plain for source in words[:-1]]


def ignored(path: str) -> bool:
    """Whether ``.dockerignore`` keeps a path of the repository out; the last rule that fits it counts."""
    found = False
    for rule in (REPOSITORY / ".dockerignore").read_text().splitlines():
        pattern = rule.removeprefix("!")
        if rule and not rule.startswith("#"):
            ends = pattern.startswith("**/") and fnmatchcase(Path(path).name, pattern.removeprefix("**/"))
            if ends or fnmatchcase(path, pattern) or path.startswith(pattern + "/"):
                found = not rule.startswith("!")
    return found


def test_hadolint(program: Callable[[str], str]) -> None:
    done = subprocess.run([program("hadolint"), str(DOCKERFILE)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_hadolint_finds_something(program: Callable[[str], str], tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM python:latest\nRUN cd /tmp && sudo true\n")
    done = subprocess.run([program("hadolint"), tmp_path / "Dockerfile"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert {"DL3007", "DL3003", "DL3004"} <= set(re.findall(r"DL\d+", done.stdout))


def test_what_is_copied_is_there_and_not_ignored() -> None:
    assert set(copied()) == {"pyproject.toml", "constraints.txt", "README.md", "LICENSE", "rayseg", "experiments"}
    for source in copied():
        assert (REPOSITORY / source).exists()
        assert not ignored(source)


@pytest.mark.parametrize("path", [".git", "work_dirs", "rayseg/cli/__pycache__", ".env", "data", ".venv", "tests"])
def test_nothing_else_gets_into_the_build(path: str) -> None:
    assert ignored(path)


def test_it_does_not_run_as_root_and_kubernetes_can_tell() -> None:
    users = [rest for name, rest in instructions() if name == "USER"]
    assert users == ["1000"]
    after = [name for name, _ in instructions()][[name for name, _ in instructions()].index("USER") :]
    assert not {"RUN", "COPY", "ADD"} & set(after)


def test_the_base_has_the_pinned_python(python: str) -> None:
    (base,) = [rest for name, rest in instructions() if name == "ARG" and rest.startswith("BASE_IMAGE=")]
    assert base.startswith(f"BASE_IMAGE=python:{python}-slim")
    stages = [rest.split()[0] for name, rest in instructions() if name == "FROM"]
    assert stages == ["${BASE_IMAGE}"] * 3


def test_every_installation_is_pinned() -> None:
    runs = [rest for name, rest in instructions() if name == "RUN"]
    installs = [part for run in runs for part in re.split(r"&&|;", run) if "pip install" in part]
    assert len(installs) == 3
    assert all("-c constraints.txt" in part or "--no-deps /wheel/*.whl" in part for part in installs)


def test_the_last_stage_has_no_build_tools() -> None:
    names = [name for name, _ in instructions()]
    last = instructions()[len(names) - 1 - names[::-1].index("FROM") :]
    (packages,) = re.findall(
        r"apt-get install -y --no-install-recommends ([a-z ]+)", " ".join(rest for _, rest in last)
    )
    assert packages.split() == ["rsync", "wget"]


def test_dependencies_come_before_the_code() -> None:
    """A change of the code must not make gigabytes anew, neither where it is built nor where it is pulled."""
    names = [f"{name} {rest}" for name, rest in instructions()]
    installed = next(index for index, line in enumerate(names) if "-r requirements.txt" in line)
    code = next(index for index, line in enumerate(names) if line == "COPY rayseg rayseg")
    last = names[-1 - names[::-1].index("FROM ${BASE_IMAGE}") :]
    assert installed < code
    assert [line.split()[0] for line in last if "venv" in line or "/wheel" in line] == ["COPY", "ENV", "RUN"]


def test_its_requirements_are_those_of_the_project() -> None:
    (run,) = [rest for name, rest in instructions() if name == "RUN" and rest.startswith("python -c")]
    (script,) = re.findall(r'python -c "(.*)" \$\{EXTRAS\} > requirements.txt', run)
    command = [sys.executable, "-c", script, "quickstart", "s3"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    needs = done.stdout.splitlines()
    assert {"ray[default,train,tune]>=2.60,<3", "basemap-data>=2.0,<3", "s3fs>=2025.3"} <= set(needs)
    assert not any(need.startswith("pytest") for need in needs)


def test_every_build_argument_is_documented() -> None:
    page = (REPOSITORY / "docs/clusters.md").read_text()
    arguments = {rest.partition("=")[0]: rest.partition("=")[2] for name, rest in instructions() if name == "ARG"}
    for name, default in arguments.items():
        value = json.loads(default) if default.startswith('"') else default
        assert f"| `{name}` | {f'`{value}`' if value else 'empty'} |" in page
