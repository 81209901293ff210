"""The classes of a data set: names, colours and the ignore index, from the config or from a file beside the data."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rayseg.core.errors import ConfigError, Problem

DESCRIPTIONS = ("dataset.json", "classes.json", "classes.txt")
Colours = list[list[int]]


def resolve_classes(
    root: Path,
    classes: Sequence[str] | str | None,
    palette: Sequence[Sequence[int]] | None,
    metainfo: Mapping[str, Any] | None = None,
) -> tuple[tuple[str, ...], Colours | None]:
    """Class names, and their colours where anything says them.

    What is given directly wins over ``metainfo`` (MM's), and that over the first of ``dataset.json``,
    ``classes.json``, ``classes.txt`` in ``root``. A JSON file holds a list of names, or ``{"classes": [...],
    "palette": [[r, g, b], ...]}``; a text file one name a line. ``classes`` may itself be the path of such a file,
    relative to ``root`` or the current directory. Names are not guessed from masks: a set of masks need not hold
    every class.

    Raises:
        ConfigError: nothing says the classes, or what does is malformed.
    """
    given = dict(metainfo or {})
    names = classes if classes is not None else given.get("classes")
    colours = palette if palette is not None else given.get("palette")
    if names is None or isinstance(names, str):
        found, found_colours = _read(_file_of(root, names))
        names = found
        colours = colours if colours is not None else found_colours
    elif colours is None and (file := _described(root)) is not None:
        found, found_colours = _read(file)
        colours = found_colours if tuple(found) == tuple(names) else None
    checked = _checked_names(names)
    return checked, None if colours is None else _checked_palette(colours, checked)


def _described(root: Path) -> Path | None:
    return next((root / name for name in DESCRIPTIONS if (root / name).is_file()), None)


def _file_of(root: Path, name: str | None) -> Path:
    if name is None:
        file = _described(root)
        if file is None:
            raise ConfigError(
                f"classes: not given, and none of {', '.join(DESCRIPTIONS)} in {root}; "
                "say classes=['background', ...] in the order of the mask values"
            )
        return file
    for place in (root / name, Path(name).expanduser().absolute()):
        if place.is_file():
            return place
    raise ConfigError(f"classes: no file {name!r} in {root} or the current directory (one name is classes=[{name!r}])")


def _read(file: Path) -> tuple[Sequence[str], Any]:
    text = file.read_text(encoding="utf-8")
    if file.suffix != ".json":
        return [line.strip() for line in text.splitlines() if line.strip()], None
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(Problem(f"not JSON: {error}", file=str(file))) from None
    if isinstance(content, dict):
        if "classes" not in content:
            raise ConfigError(Problem("expected a key 'classes' with a list of names", file=str(file)))
        return content["classes"], content.get("palette")
    return content, None


def _checked_names(names: Any) -> tuple[str, ...]:
    if not isinstance(names, Sequence) or not names or not all(isinstance(name, str) and name for name in names):
        raise ConfigError(f"classes: expected a list of names, found {names!r}")
    twice = sorted({name for name in names if list(names).count(name) > 1})
    if twice:
        raise ConfigError(f"classes: {twice[0]!r} stands there twice")
    return tuple(names)


def _checked_palette(palette: Any, names: tuple[str, ...]) -> Colours:
    try:
        colours = [[int(channel) for channel in colour] for colour in palette]
    except (TypeError, ValueError):
        raise ConfigError(f"palette: expected one [r, g, b] for each class, found {palette!r}") from None
    wrong = [colour for colour in colours if len(colour) != 3 or not all(0 <= channel <= 255 for channel in colour)]
    if wrong:
        raise ConfigError(f"palette: expected [r, g, b] of 0–255, found {wrong[0]}")
    if len(colours) != len(names):
        raise ConfigError(f"palette: {len(colours)} colours for {len(names)} classes")
    return colours
