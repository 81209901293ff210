"""rayseg config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rayseg.cli.options import CfgOptions, Json, Overrides, Quiet, Source, all_overrides
from rayseg.cli.output import OK, Output


def config(
    source: Source,
    overrides: Overrides = None,
    cfg_options: CfgOptions = None,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Print the resolved config, or every error in it.

    What is printed loads to the same config. Exit code 2 if it is invalid.
    """
    import sys

    from rayseg.config import check_config, complete_config
    from rayseg.config.check import TRAINING_SECTIONS
    from rayseg.orchestration.source import read_source

    out = Output(json, quiet)
    read, _ = read_source(source, all_overrides(overrides, cfg_options))
    trains = any(read.get(name) is not None for name in TRAINING_SECTIONS if name != "model")
    notes = check_config(read, TRAINING_SECTIONS if trains else ("model",))
    completed = complete_config(read)
    if json:
        out.answer({"config": _json_value(completed), "text": completed.dump(), "notes": notes})
    elif not quiet:
        sys.stdout.write(completed.dump())
    if not quiet:
        sys.stderr.write("".join(f"note: {note}\n" for note in notes))
    return OK


def _json_value(value: Any) -> Any:
    """A config's value as JSON: leaves as YAML writes them, classes by their path."""
    from rayseg.config.search import SEARCH_KEY, Choice, Range
    from rayseg.config.tree import is_code

    if isinstance(value, Mapping):
        return {str(key): _json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json_value(item) for item in value]
    if isinstance(value, Choice):
        options = [_json_value(option) for option in value.options]
        named = dict(zip(value.labels, options, strict=True)) if value.labels else options
        return {SEARCH_KEY: value.kind, "options" if value.kind == "choice" else "values": named}
    if isinstance(value, Range):
        bounds = {"low": value.low, "high": value.high}
        return {SEARCH_KEY: value.kind, **bounds, **({} if value.q is None else {"q": value.q})}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return f"{value.__module__}.{value.__qualname__}" if is_code(value) else repr(value)
