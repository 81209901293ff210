"""Where data lives: RAYSEG_HOME, and what a relative ``data_root`` means."""

from __future__ import annotations

import os
from pathlib import Path

from rayseg.core.errors import ConfigError, Problem

PREPARED = ("bluemarble",)


def rayseg_home() -> Path:
    """The directory of prepared data: the environment's ``RAYSEG_HOME``, else ``~/.cache/rayseg``."""
    return Path(os.environ.get("RAYSEG_HOME") or "~/.cache/rayseg").expanduser().absolute()


def resolve_data_root(data_root: str | os.PathLike[str]) -> Path:
    """The directory that ``data_root`` means, absolute.

    A relative one is looked for under the current directory first, then under ``rayseg_home()``, so that
    ``data/bluemarble`` is found in a checkout as well as where ``rayseg data prepare bluemarble`` puts it.

    Raises:
        ConfigError: no such directory; names each place that was looked at.
    """
    root = Path(data_root).expanduser()
    places = [root] if root.is_absolute() else [root.absolute(), rayseg_home() / root]
    for place in places:
        if place.is_dir():
            return place
    hint = f"; make it with 'rayseg data prepare {root.name}'" if root.name in PREPARED else ""
    looked_at = " and ".join(map(str, places))
    is_file = any(place.exists() for place in places)
    found = f"{str(data_root)!r} is not a directory" if is_file else f"no such directory {str(data_root)!r}"
    raise ConfigError(Problem(f"{found} (looked at {looked_at}){hint}", "data_root"))
