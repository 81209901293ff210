"""What the command line prints: text for people, one JSON object for programs, errors as lines on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any

from rayseg.core.errors import ConfigError

OK, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130


class Output:
    """Where a verb prints.

    Args:
        json: stdout gets one JSON object, text goes to stderr.
        quiet: no text but errors.
    """

    def __init__(self, json: bool = False, quiet: bool = False) -> None:
        self.json = json
        self.quiet = quiet

    def say(self, *lines: str) -> None:
        """Text for people."""
        self.write("".join(f"{line}\n" for line in lines))

    def write(self, text: str) -> None:
        """A piece of text for people, as it is."""
        if not self.quiet:
            stream = sys.stderr if self.json else sys.stdout
            stream.write(text)
            stream.flush()

    def answer(self, facts: Mapping[str, Any]) -> None:
        """The machine-readable object, if one is wanted."""
        if self.json:
            from rayseg.tracking.json_lines import encode

            sys.stdout.write(encode(dict(facts), indent=2) + "\n")
            sys.stdout.flush()

    def console(self) -> Any:
        """What shows a run to people while it goes on."""
        from rayseg.tracking.console import Console

        return Console(quiet=self.quiet, json=self.json)


def print_errors(messages: Iterable[str]) -> None:
    """One line each on stderr."""
    sys.stderr.write("".join(f"error: {message}\n" for message in messages))
    sys.stderr.flush()


def problems_of(error: Exception) -> list[dict[str, str]]:
    """What is wrong, as JSON values."""
    if isinstance(error, ConfigError):
        return [{"file": p.file, "key": p.key, "message": p.message} for p in error.problems]
    return [{"file": "", "key": "", "message": str(error)}]
