"""Facts for run.json: which software, which commit, which command. Nothing is imported to learn a version."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = (
    "rayseg", "torch", "torchvision", "ray", "segmentation-models-pytorch", "timm", "numpy", "pillow", "safetensors",
)  # fmt: skip
GIT_TIMEOUT_S = 5.0
MAX_DIFF = 1_000_000


def collect_facts(directory: Path | None = None) -> dict[str, Any]:
    """``versions``, ``git`` (of the directory, the current one when not given), ``command``, ``host``, ``cwd``.

    ``git`` is None outside a repository, else ``{"commit": str, "dirty": bool}``. The command may hold secrets.
    """
    directory = directory or Path.cwd()
    return {
        "versions": versions(),
        "git": git_state(directory),
        "command": command(),
        "host": platform.node(),
        "cwd": str(directory),
    }


def versions() -> dict[str, str]:
    """Versions of Python, of the operating system and of the packages that decide on a run's numbers."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def command() -> str:
    """The command line that started this process, as one would type it."""
    program, *arguments = sys.argv or [""]
    path = Path(program)
    started = ["python", "-m", path.parent.name] if path.name == "__main__.py" else [path.name]
    return shlex.join([*started, *arguments])


def git_state(directory: Path) -> dict[str, Any] | None:
    """Commit of the repository that a directory belongs to, and whether tracked files differ from it."""
    commit = _git(directory, "rev-parse", "--verify", "HEAD")
    if not commit:
        return None
    changed = _git(directory, "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit.strip(), "dirty": changed is None or bool(changed.strip())}


def git_diff(directory: Path | None = None) -> str:
    """What tracked files differ in from the commit, ``MAX_DIFF`` characters of it; empty when nothing differs."""
    diff = _git(directory or Path.cwd(), "diff", "--no-ext-diff", "--no-color", "HEAD") or ""
    return diff if len(diff) <= MAX_DIFF else f"{diff[:MAX_DIFF]}\n... and {len(diff) - MAX_DIFF} characters more\n"


def _git(directory: Path, *arguments: str) -> str | None:
    """What git prints, or None when it fails or there is none; it takes no lock and asks for nothing."""
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}
    try:
        done = subprocess.run(
            ["git", "-C", str(directory), *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=GIT_TIMEOUT_S,
            env=environment,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
