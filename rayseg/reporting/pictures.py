"""Pictures of a run, small enough to stand inside the page."""

from __future__ import annotations

import base64
import io
import json
import struct
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rayseg.reporting.iterations import newest_first
from rayseg.reporting.values import as_number, as_rows
from rayseg.tracking.table import percent

MAX_PICTURES = 16
WORST, LAST = 6, 6  # the rest is for the best iteration's
MAX_WIDTH, MAX_HEIGHT = 1000, 2000
QUALITY = 80
MAX_BYTES = 6_000_000  # of all data URIs together


@dataclass(frozen=True)
class Picture:
    """A picture of the page.

    Attributes:
        uri: ``data:image/jpeg;base64,...``
        name: its path below the iteration's directory.
        score: for people, empty when there is none.
        width: pixels.
        height: pixels.
    """

    uri: str
    name: str
    score: str
    width: int
    height: int


@dataclass(frozen=True)
class Gallery:
    """Pictures under one heading."""

    title: str
    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class _Wish:
    title: str
    files: Sequence[tuple[Path, str, str]]  # path, name, score


def read_galleries(run_dir: Path, best_iter: float, notes: list[str]) -> list[Gallery]:
    """The worst pictures of the last validation, others of it, and those of the best iteration; at most 16.

    Args:
        run_dir: the run directory.
        best_iter: iteration of the best validation, NaN when there is none.
        notes: takes a line for what is damaged or left out.
    """
    room, size = MAX_PICTURES, 0
    galleries = []
    for wish in _wishes(run_dir, best_iter, notes):
        pictures = []
        for path, name, score in wish.files[:room]:
            if size > MAX_BYTES:
                notes.append(f"pictures after {name} are left out: the page would grow too large")
                break
            picture = encode(path, name, score, notes)
            if picture is not None:
                size += len(picture.uri)
                pictures.append(picture)
        room -= len(pictures)
        if pictures:
            galleries.append(Gallery(wish.title, tuple(pictures)))
    return galleries


def encode(path: Path, name: str, score: str, notes: list[str]) -> Picture | None:
    """A picture as a JPEG of at most 1000 x 2000 pixels in a data URI; None, and a note, when it cannot be read."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # large pictures are what people draw here; beyond twice that it is an error
            with Image.open(path) as image:
                image.thumbnail((MAX_WIDTH, MAX_HEIGHT))
                flat = Image.new("RGB", image.size, "white")
                flat.paste(image.convert("RGB"), mask=image.getchannel("A") if image.mode == "RGBA" else None)
        buffer = io.BytesIO()
        flat.save(buffer, "JPEG", quality=QUALITY, optimize=True)
    except (OSError, ValueError, SyntaxError, struct.error, Image.DecompressionBombError) as error:
        notes.append(f"the picture {path.name} is left out: {error}")
        return None
    uri = "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
    return Picture(uri, name, score, flat.width, flat.height)


def _wishes(run_dir: Path, best_iter: float, notes: list[str]) -> list[_Wish]:
    folders, word = _folders(run_dir)
    if not folders:
        return []
    at_iter, last = folders[0]
    wishes = []
    if worst := _worst(last, notes):
        wishes.append(_Wish(f"Worst images of the last {word} (iteration {at_iter})", worst[:WORST]))
    shown = {name for _, name, _ in worst[:WORST]}
    others = [entry for entry in _regular(last) if entry[1] not in shown]
    wishes.append(
        _Wish(f"{'More images' if worst else 'Images'} of the last {word} (iteration {at_iter})", others[:LAST])
    )
    best = [path for folder_iter, path in folders[1:] if folder_iter == best_iter]
    return [
        *wishes,
        *(_Wish(f"Images of the best {word} (iteration {best_iter:.0f})", _regular(path)) for path in best),
    ]


def _folders(run_dir: Path) -> tuple[list[tuple[int, Path]], str]:
    """The validations' pictures, newest first, and what they are of; the tests' when there are none."""
    for mode, word in (("val", "validation"), ("test", "test")):
        folders = [(at_iter, path) for at_iter, path in newest_first(run_dir / "visuals" / mode) if _has_pictures(path)]
        if folders:
            return folders, word
    return [], ""


def _has_pictures(folder: Path) -> bool:
    return folder.is_dir() and next(folder.rglob("*.png"), None) is not None


def _regular(folder: Path) -> list[tuple[Path, str, str]]:
    """All pictures but the worst ones, in the order of their names."""
    files = sorted(path.relative_to(folder) for path in folder.rglob("*.png"))
    return [(folder / file, file.with_suffix("").as_posix(), "") for file in files if file.parts[0] != "worst"]


def _worst(folder: Path, notes: list[str]) -> list[tuple[Path, str, str]]:
    """The pictures that worst.json names, lowest score first; only files that lie in the folder."""
    try:
        rows = as_rows(json.loads((folder / "worst.json").read_bytes()))
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        notes.append(f"worst.json of {folder.name} is left out: {error}")
        return []
    found = []
    root = folder.resolve()
    for row in rows:
        path = folder / str(row.get("picture", ""))
        if path.resolve().is_relative_to(root) and path.is_file():
            name = path.relative_to(folder).with_suffix("").as_posix().removeprefix("worst/")
            found.append((path, name, f"mIoU {percent(as_number(row.get('mIoU')))}"))
    return found
