"""Every command of the operator's files and pages, parsed by the program that it calls; shell text by shellcheck."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from rayseg.cli.main import UsageError, app
from rayseg.config import load_config
from tests.processes import REPOSITORY
from tests.unit.cluster.conftest import CLUSTER

PAGES = [CLUSTER / "README.md", REPOSITORY / "docs/clusters.md"]
SBATCH = CLUSTER / "slurm/rayseg.sbatch"
STARTS = r"(?:^|`|-- |\$ )(rayseg (?:train|tune|test|data|config|report) [^`\n]*)"


def parse(command: str) -> dict[str, Any]:
    """Parameters of a ``rayseg ...`` line, without running it.

    Raises:
        UsageError: no such verb or option, or an argument is missing.
    """
    _, verb, *words = shlex.split(command)
    group: Any = typer.main.get_command(app)
    context = group.commands[verb].make_context(verb, words)
    return context.params


def of_jobs() -> list[str]:
    """Entrypoints and init containers' commands of the RayJobs."""
    found = []
    for path in sorted((CLUSTER / "kuberay").glob("rayjob*.yaml")):
        spec = yaml.safe_load(path.read_text())["spec"]
        found += re.findall(r"rayseg [^'|&]+", spec["entrypoint"])
        pod = spec["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
        found += [" ".join(container["command"]) for container in pod.get("initContainers", [])]
    return found


def of_texts() -> list[str]:
    """Commands in the pages, and those that the batch script is called with."""
    texts = [path.read_text() for path in PAGES]
    direct = [line for text in texts for line in re.findall(STARTS, text, re.MULTILINE)]
    texts.append(SBATCH.read_text())
    batch = [line for text in texts for line in re.findall(r"sbatch rayseg\.sbatch ([^`\n]+)", text)]
    return direct + [f"rayseg {line}" for line in batch]


def test_there_are_commands() -> None:
    assert len(of_jobs()) == 3
    assert len(of_texts()) >= 8


@pytest.mark.parametrize("command", [*of_jobs(), *dict.fromkeys(of_texts())])
def test_rayseg_takes_it(command: str) -> None:
    parsed = parse(command)
    assert all("=" in override for override in parsed.get("overrides") or ())


def test_the_parser_finds_what_is_wrong() -> None:
    with pytest.raises(UsageError, match="--autoresume"):
        parse("rayseg train my_config.py --work-dir runs/a --autoresume")


@pytest.mark.parametrize("command", [command for command in of_jobs() if "/opt/rayseg" in command])
def test_the_config_takes_the_overrides(command: str) -> None:
    parsed = parse(command)
    config = load_config(REPOSITORY / Path(parsed["source"]).relative_to("/opt/rayseg"), parsed["overrides"])
    assert config["scaling"]["use_gpu"] is True
    assert config["failure"]["max_failures"] == 4


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_ray_takes_its_own(path: Path) -> None:
    ray: Any = import_module("ray.scripts.scripts").cli
    verbs = r"ray (?:up|down|dashboard|job (?:submit|stop)|get-auth-token|rsync-down) "
    lines = re.findall(rf"^ *({verbs}.*)$", path.read_text(), re.MULTILINE)
    lines += re.findall(rf"(?:`|-- )({verbs}[^`\n]+)`", path.read_text())
    assert lines
    for line in lines:
        command: Any = ray
        words = shlex.split(re.split(r" > ", line)[0])[1:]
        while hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        command.make_context(command.name, words)


def test_shellcheck(program: Callable[[str], str]) -> None:
    done = subprocess.run([program("shellcheck"), str(SBATCH)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_shellcheck_finds_something(program: Callable[[str], str], tmp_path: Path) -> None:
    (tmp_path / "bad.sh").write_text("#!/bin/bash\nrm $1\n")
    done = subprocess.run([program("shellcheck"), tmp_path / "bad.sh"], capture_output=True, text=True, check=False)
    assert "SC2086" in done.stdout


def test_ray_up_commands_are_shell(program: Callable[[str], str], tmp_path: Path) -> None:
    for path in sorted((CLUSTER / "ray-up").iterdir()):
        config = yaml.safe_load(path.read_text())
        lines = [line for key, value in config.items() if key.endswith("_commands") for line in value]
        (tmp_path / "all.sh").write_text("\n".join(["#!/bin/bash", *lines, ""]))
        excluded = "--exclude=SC1090,SC2154"  # a file of the operator's; RAY_HEAD_IP is Ray's
        command = [program("shellcheck"), "--severity=warning", excluded, tmp_path / "all.sh"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (0, "")


def test_what_sbatch_is_told() -> None:
    options = dict(re.findall(r"^#SBATCH --([a-z-]+)=?(.*)$", SBATCH.read_text(), re.MULTILINE))
    assert options["signal"] == "B:USR1@300"
    assert options["ntasks-per-node"] == "1"
    assert {"requeue", "exclusive"} <= set(options)
    assert options["open-mode"] == "append"


def test_no_path_of_a_site_in_any_file() -> None:
    for path in CLUSTER.rglob("*"):
        if path.is_file():
            text = path.read_text()
            assert not re.findall(r"(?<![\w.~])/(?:work|home/(?!ray\b)|scratch|lustre|gpfs|nfs|data)/\S*", text), path
