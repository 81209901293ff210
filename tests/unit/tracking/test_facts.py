"""Facts of run.json: versions without imports, git state, the command as it would be typed."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from rayseg.tracking import facts


def git(directory: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    command = ["git", *identity, "-C", str(directory), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_git_state(tmp_path: Path):
    assert facts.git_state(tmp_path) is None
    git(tmp_path, "init", "-q")
    assert facts.git_state(tmp_path) is None, "no commit yet"
    (tmp_path / "a").write_text("1")
    git(tmp_path, "add", "a")
    git(tmp_path, "commit", "-qm", "a")
    (tmp_path / "untracked").write_text("")
    commit = git(tmp_path, "rev-parse", "HEAD")
    (tmp_path / "sub").mkdir()
    assert facts.git_state(tmp_path / "sub") == {"commit": commit, "dirty": False}
    (tmp_path / "a").write_text("2")
    assert facts.git_state(tmp_path) == {"commit": commit, "dirty": True}


def test_without_git_there_is_no_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert facts.git_state(tmp_path) is None


def test_versions_of_what_is_installed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(facts, "PACKAGES", ("numpy", "no-such-package"))
    found = facts.versions()
    assert found["numpy"] == metadata.version("numpy")
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert set(found) == {"python", "platform", "numpy"}


@pytest.mark.parametrize(
    ("argv", "wanted"),
    [
        (["/env/bin/rayseg", "train", "my config.py", "a=1"], "rayseg train 'my config.py' a=1"),
        (["/env/rayseg/__main__.py", "train"], "python -m rayseg train"),
        ([], "''"),
    ],
)
def test_the_command_as_typed(monkeypatch: pytest.MonkeyPatch, argv: list[str], wanted: str):
    monkeypatch.setattr(sys, "argv", argv)
    assert facts.command() == wanted
