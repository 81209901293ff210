"""The errors that people see, and how a nearest right name is found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches

MAX_PROBLEMS_SHOWN = 20


@dataclass(frozen=True)
class Problem:
    """One thing wrong with the input: where it stands and what was expected, on one line.

    ``file`` is the path of the file that holds the value (empty when it came from Python or the command line),
    ``key`` the dotted key path inside it.
    """

    message: str
    key: str = ""
    file: str = ""

    def __str__(self) -> str:
        return ": ".join(part for part in (self.file, self.key, self.message) if part)

    def below(self, key: str) -> Problem:
        """The same with its key counted from one level higher, where this part stands at ``key``."""
        return replace(self, key=f"{key}.{self.key}" if self.key else key)


class RaysegError(Exception):
    """Base of the errors that rayseg raises on purpose; the command line prints them without a traceback."""


class ConfigError(RaysegError, ValueError):
    """Bad input, found before anything was started (exit code 2). Holds every problem that was found."""

    def __init__(self, problems: str | Problem | Iterable[Problem]) -> None:
        if isinstance(problems, str):
            problems = [Problem(problems)]
        elif isinstance(problems, Problem):
            problems = [problems]
        self.problems: tuple[Problem, ...] = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        lines = [str(problem) for problem in self.problems[:MAX_PROBLEMS_SHOWN]]
        if (hidden := len(self.problems) - len(lines)) > 0:
            lines.append(f"... and {hidden} more")
        return "\n".join(lines)


class CheckpointError(RaysegError):
    """A checkpoint could not be written, found or read; the message names its path."""


class StaleAttemptError(CheckpointError):
    """A newer attempt of the same run has claimed the checkpoint store, so this process may not commit."""


class DataError(RaysegError):
    """A file of the data set is not what the config says it is, met while the run was going on (exit code 1)."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name closest to ``name`` (case is ignored), or None when nothing is close."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    found = get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``"; did you mean 'X'?"`` for the nearest known name, or an empty string."""
    match = nearest(name, known)
    return f"; did you mean {match!r}?" if match else ""


def edit_distance(a: str, b: str, limit: int = 3) -> int:
    """Levenshtein distance of two names, counted up to ``limit``."""
    if abs(len(a) - len(b)) >= limit:
        return limit
    previous: Sequence[int] = range(len(b) + 1)
    for i, char_a in enumerate(a, 1):
        current = [i]
        for j, char_b in enumerate(b, 1):
            current.append(min(previous[j] + 1, current[j - 1] + 1, previous[j - 1] + (char_a != char_b)))
        previous = current
    return min(previous[-1], limit)
