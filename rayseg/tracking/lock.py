"""One recording process for one run directory; one process at a time for what several runs share."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rayseg.core.errors import ConfigError

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None  # type: ignore[assignment]


def lock_run(fd: int, run_dir: Path) -> None:
    """Hold a POSIX lock on an open file as long as this process lives; file systems without locks let it pass.

    Child processes do not inherit it, so that a loader worker left over from a killed run does not hold it.

    Raises:
        ConfigError: another living process holds it.
    """
    if fcntl is None:
        return
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            raise ConfigError(
                f"{run_dir}: another process is still running this run; stop it before resuming"
            ) from None


@contextmanager
def alone(file: Path | None) -> Iterator[None]:
    """Wait until no other process is here for a file in the same directory; file systems without locks let it pass.

    MLflow sets up a new SQLite file in many steps, which do not bear another process that does so too.

    Args:
        file: its directory is made; None to pass.
    """
    if file is None or fcntl is None:
        yield
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(file.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
