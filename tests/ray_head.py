"""A Ray head of its own: free ports, its own home, a token; a context that leaves no process behind."""

from __future__ import annotations

import os
import secrets
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.distributed import free_port
from tests.processes import Command, wait_until

PACKAGES = Path(sys.executable).parent


def environment(directory: Path) -> dict[str, str]:
    """Of the head and of who submits: a token of their own, and the environment's programs."""
    home = directory / "user"
    home.mkdir()
    return {
        "PATH": f"{PACKAGES}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(home),
        "RAYSEG_HOME": str(directory / "home"),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(16),
        "RAY_USAGE_STATS_ENABLED": "0",
    }


def answers(address: str) -> bool:
    """Whether the head's job server is up; it asks for a token, which is an answer too."""
    try:
        urllib.request.urlopen(f"{address}/api/version", timeout=2).close()
    except urllib.error.HTTPError as error:
        error.close()
        return True
    except OSError:
        return False
    return True


@contextmanager
def ray_head(directory: Path, variables: dict[str, str] | None = None) -> Iterator[tuple[str, dict[str, str]]]:
    """The address of a head with two CPUs, and the environment that reaches it: one of its own unless it is given."""
    variables = environment(directory) if variables is None else variables
    port = free_port()
    names = ("port", "dashboard-agent-listen-port", "ray-client-server-port")
    ports = {"dashboard-port": port, **{name: free_port() for name in names}}
    options = [f"--{name}={value}" for name, value in ports.items()]
    command = [str(PACKAGES / "ray"), "start", "--head", "--block", "--num-cpus=2", "--include-dashboard=true"]
    with Command([*command, *options], directory, variables, output=directory / "head.txt") as started:
        started.wait_for(lambda: answers(f"http://127.0.0.1:{port}"), 90, "the head answers")
        yield f"http://127.0.0.1:{port}", variables
    wait_until(lambda: not answers(f"http://127.0.0.1:{port}"), 30, "the head is gone")
    started.all_gone()
