"""Which file to change: problems that are found while a run is built, with the file that set what is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from rayseg.config import Config
from rayseg.config.tree import join
from rayseg.core.errors import ConfigError, Problem

KEY = re.compile(r"[a-z_]+(\.\w+)*(?=: )")


@contextmanager
def located(config: Config) -> Iterator[None]:
    """Problems of ``config`` that name no file get the file that set their key, or the one their message begins with.

    Raises:
        ConfigError: that of the body, with files.
    """
    try:
        yield
    except ConfigError as error:
        raise ConfigError(_with_file(problem, config) for problem in error.problems) from error.__cause__


def _with_file(problem: Problem, config: Config) -> Problem:
    begins = KEY.match(problem.message)
    key = join(problem.key, begins[0]) if begins else problem.key
    if problem.file or key.partition(".")[0] not in config:
        return problem
    return replace(problem, file=config.origin(key))
