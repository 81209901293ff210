"""One recording process for one run directory."""

from __future__ import annotations

import errno
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
