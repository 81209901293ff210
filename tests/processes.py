"""The ``rayseg`` command in a process of its own, with everything that it starts: watched, signalled, and reaped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

MARK = "RAYSEG_TEST_PROCESS"
POLL_S = 0.05
REPOSITORY = Path(__file__).parent.parent


def wait_until(true: Callable[[], Any], seconds: float, what: str) -> None:
    """Poll until something holds.

    Raises:
        AssertionError: it does not within ``seconds``.
    """
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(POLL_S)


def marked(mark: str) -> list[int]:
    """Living processes whose environment holds the mark: a process and all that it ever started."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for directory in Path("/proc").iterdir():
        if directory.name.isdigit():
            try:
                state = (directory / "stat").read_text().rpartition(")")[2].split()[0]
                if state != "Z" and wanted in (directory / "environ").read_bytes().split(b"\0"):
                    found.append(int(directory.name))
            except OSError:
                continue
    return found


def numbers(run_dir: Path, name: str = "metrics.jsonl") -> list[dict[str, Any]]:
    """The whole lines of a run's ``metrics.jsonl``; none before it is there."""
    path = run_dir / name
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def facts(run_dir: Path) -> dict[str, Any]:
    """What a run's ``run.json`` says."""
    return json.loads((run_dir / "run.json").read_text())


class Command:
    """A command that runs, in a process group of its own, as under a shell; a context that leaves no process behind.

    Args:
        arguments: the program and its arguments.
        cwd: its current directory.
        environment: variables besides this process's.
        output: a file for what it prints, which ``finish`` then does not give; needed by what prints for long.
    """

    def __init__(
        self,
        arguments: list[str],
        cwd: Path,
        environment: Mapping[str, str] | None = None,
        output: Path | None = None,
    ) -> None:
        self.mark = uuid.uuid4().hex
        variables = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
        paths = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
        variables |= {"PYTHONPATH": paths, "RAYSEG_HOME": str(cwd / "home"), MARK: self.mark, **(environment or {})}
        with output.open("wb") if output else nullcontext(subprocess.PIPE) as stream:
            self.process = subprocess.Popen(
                arguments, cwd=cwd, env=variables, stdout=stream, stderr=stream, text=True, start_new_session=True
            )

    def __enter__(self) -> Command:
        return self

    def __exit__(self, *error: object) -> None:
        for pid in marked(self.mark):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.communicate()

    def send(self, number: int, *, group: bool = False) -> None:
        """A signal to the process, or to its whole group, as Ctrl-C in a terminal."""
        (os.killpg if group else os.kill)(self.process.pid, number)

    def wait_for(self, true: Callable[[], Any], seconds: float, what: str) -> None:
        """Poll until something holds, while the process runs."""

        def holds() -> Any:
            code = self.process.poll()
            assert code is None, f"ended with {code} before: {what}\n{self.process.communicate()}"
            return true()

        wait_until(holds, seconds, what)

    def finish(self, seconds: float) -> tuple[int, str, str]:
        """Exit code, stdout and stderr."""
        out, err = self.process.communicate(timeout=seconds)
        return self.process.returncode, out, err

    def all_gone(self, seconds: float = 30) -> None:
        """Wait until no process of it is left."""
        wait_until(lambda: not marked(self.mark), seconds, f"no process is left, found {marked(self.mark)}")


def rayseg(*arguments: str | Path, cwd: Path, environment: Mapping[str, str] | None = None) -> Command:
    """Start ``rayseg`` with these arguments."""
    command = [sys.executable, "-m", "rayseg.cli.main", *map(str, arguments)]
    return Command(command, cwd, environment)
