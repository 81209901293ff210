"""The pictures of a run directory: overlays of validation and test, and confusion matrices."""

from __future__ import annotations

from collections.abc import Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from rayseg.tracking.confusion import CONFUSION_DIR, draw_confusion

VISUALS_DIR = "visuals"
KINDS = {VISUALS_DIR: ".png", CONFUSION_DIR: ".json"}


@dataclass(frozen=True)
class Picture:
    """A picture of a run.

    Attributes:
        name: the path of its file, relative to the run directory.
        path: the PNG file.
        mode: ``val`` or ``test``.
        iter: completed iterations when it was made.
        tag: which one it is, the same at every iteration: ``r04_c06.png``, ``confusion_matrix.png``.
    """

    name: str
    path: Path
    mode: str
    iter: int
    tag: str


def run_pictures(run_dir: Path, known: Container[str] = ()) -> list[Picture]:
    """The pictures whose names are not ``known``, by iteration; a confusion matrix is not drawn yet."""
    found = [
        picture
        for top, suffix in KINDS.items()
        for path in (run_dir / top).rglob(f"*{suffix}")
        if (picture := _picture(run_dir, path)) is not None and picture.name not in known
    ]
    return sorted(found, key=lambda picture: (picture.iter, picture.name))


@contextmanager
def drawn(picture: Picture) -> Iterator[Picture]:
    """The picture with a PNG as its path; what has to be drawn for it is taken away afterwards.

    Raises:
        DataError: the file that it is drawn from is damaged.
    """
    if picture.path.suffix == ".png":
        yield picture
        return
    with TemporaryDirectory() as folder:
        yield replace(picture, path=draw_confusion(picture.path, Path(folder, picture.tag)))


def _picture(run_dir: Path, path: Path) -> Picture | None:
    """``<top>/<mode>/iter_<n>/<tag>`` or ``<top>/<mode>/iter_<n>.json``; None for any other or a hidden file."""
    relative = path.relative_to(run_dir)
    _, mode, folder, *rest = (*relative.parts, "")
    digits = folder.removeprefix("iter_").removesuffix(".json")
    tag = "/".join(rest[:-1]) or "confusion_matrix.png"
    if not digits.isdecimal() or any(part.startswith(".") for part in relative.parts):
        return None
    return Picture(relative.as_posix(), path, mode, int(digits), tag)
