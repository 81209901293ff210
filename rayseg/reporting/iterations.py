"""Files and directories named after an iteration: iter_400, iter_400.json."""

from __future__ import annotations

import re
from pathlib import Path

_NAME = re.compile(r"iter_(\d{1,15})")


def iteration_of(name: str) -> int | None:
    """``iter_400`` as 400, None for any other name."""
    match = _NAME.fullmatch(name)
    return int(match[1]) if match else None


def newest_first(directory: Path, suffix: str = "") -> list[tuple[int, Path]]:
    """(iteration, path) of what is named so in a directory, the highest first; none when there is no directory."""
    try:
        paths = list(directory.iterdir())
    except OSError:
        return []
    found = [(iteration_of(path.name.removesuffix(suffix)), path) for path in paths if path.name.endswith(suffix)]
    return sorted(((at_iter, path) for at_iter, path in found if at_iter is not None), reverse=True)
