"""The W&B SDK in a process that has more to do: which mode, what it may not print, collect, change or wait for."""

from __future__ import annotations

import netrc
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Literal
from urllib.parse import urlsplit

Mode = Literal["online", "offline", "disabled"]

SERVER = "https://api.wandb.ai"
WORDS: dict[str, Mode] = {"offline": "offline", "dryrun": "offline", "disabled": "disabled"}
INIT_TIMEOUT_S = 20.0
FINISH_TIMEOUT_S = 30.0  # the process's end may wait as long for what the SDK has not uploaded


def found_mode(environ: Mapping[str, str]) -> Mode:
    """The mode that the environment asks for: ``WANDB_MODE``, else ``online`` where there is an API key."""
    word = environ.get("WANDB_MODE", "").lower()
    if word:
        return WORDS.get(word, "online")
    if environ.get("WANDB_API_KEY") or environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return "online"
    files = [environ["NETRC"]] if environ.get("NETRC") else ["~/.netrc", "~/_netrc"]
    host = urlsplit(server(environ)).netloc
    for file in files:
        with suppress(OSError, netrc.NetrcParseError):
            if netrc.netrc(os.path.expanduser(file)).authenticators(host):
                return "online"
    return "offline"


def server(environ: Mapping[str, str]) -> str:
    """The address of the server."""
    return environ.get("WANDB_BASE_URL", SERVER).rstrip("/")


def quiet_settings() -> Any:
    """Settings of the SDK: nothing is printed, captured or collected, and waiting is bounded."""
    import wandb

    return wandb.Settings(
        silent=True,
        quiet=True,
        console="off",
        symlink=False,
        label_disable=True,
        disable_git=True,
        disable_code=True,
        save_code=False,
        x_disable_stats=True,
        x_disable_meta=True,
        x_disable_machine_info=True,
        x_save_requirements=False,
        init_timeout=INIT_TIMEOUT_S,
        finish_timeout=FINISH_TIMEOUT_S,
        finish_timeout_raises=True,
    )


@contextmanager
def untouched_process() -> Iterator[None]:
    """Take back what starting the SDK changes in the process: ``sys.exit``, ``sys.excepthook``, ``WANDB_SERVICE``.

    With the last one every child process would send through this one's service.
    """
    leave, hook = sys.exit, sys.excepthook
    with environment_value("WANDB_SERVICE", os.environ.get("WANDB_SERVICE", "")):
        try:
            yield
        finally:
            sys.exit, sys.excepthook = leave, hook


@contextmanager
def environment_value(name: str, value: str | None) -> Iterator[None]:
    """Set a variable for a while, unless ``value`` is None; afterwards it is as it was."""
    before = os.environ.get(name)
    if value:
        os.environ[name] = value
    try:
        yield
    finally:
        if value is not None and before is None:
            os.environ.pop(name, None)
        elif value is not None and before is not None:
            os.environ[name] = before
