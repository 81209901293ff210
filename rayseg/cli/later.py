"""Verbs that this version does not have yet; their names are kept, so that a script learns it from one line."""

from __future__ import annotations

import typer

from rayseg.cli.output import BAD_INPUT, print_errors

VERBS = {
}


def register(app: typer.Typer) -> None:
    """Add the verbs; each takes any arguments and ends with exit code 2."""
    for verb, text in VERBS.items():
        settings = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}
        app.command(verb, help=f"Not in this version: {text}", context_settings=settings)(_refusal(verb))


def _refusal(verb: str):  # type: ignore[no-untyped-def]
    def refuse() -> int:
        print_errors([f"rayseg {verb} comes with a later version"])
        return BAD_INPUT

    return refuse
