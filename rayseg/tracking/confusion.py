"""Confusion matrices of a run as files: written at each validation, drawn for people when a tracker wants one."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path

from rayseg.core.errors import DataError
from rayseg.tracking.files import RecordingError, replace_file
from rayseg.tracking.json_lines import encode

CONFUSION_DIR = "confusion"
MAX_LABELLED = 30  # classes whose names and shares are written beside the cells
MAX_LETTERS = 40  # of a name there
INCHES = (4.0, 14.0)


def confusion_path(run_dir: Path, mode: str, at_iter: int) -> Path:
    """``confusion/<mode>/iter_<n>.json`` of a run directory."""
    return run_dir / CONFUSION_DIR / mode / f"iter_{at_iter}.json"


def write_confusion(run_dir: Path, mode: str, at_iter: int, classes: Sequence[str], matrix: list[list[int]]) -> None:
    """Write a matrix down; ``matrix[label][prediction]`` counts pixels of the whole data set.

    Raises:
        RecordingError: the file could not be written.
    """
    path = confusion_path(run_dir, mode, at_iter)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RecordingError(path, error) from error
    replace_file(path, encode({"classes": list(classes), "matrix": matrix}).encode() + b"\n")


def read_confusion(path: Path) -> tuple[list[str], list[list[int]]]:
    """Classes, and pixels by label and prediction.

    Raises:
        DataError: the file is damaged.
    """
    try:
        value = json.loads(path.read_bytes())
        classes, matrix = [str(name) for name in value["classes"]], [list(map(int, row)) for row in value["matrix"]]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: no confusion matrix: {error}") from error
    if len(matrix) != len(classes) or any(len(row) != len(classes) for row in matrix):
        raise DataError(f"{path}: no confusion matrix: {len(classes)} classes, {len(matrix)} rows")
    return classes, matrix


def draw_confusion(path: Path, target: Path) -> Path:
    """Draw a matrix as a PNG: each row shows where the pixels of a label went, in shares of the label. Returns target.

    Raises:
        DataError: the file is damaged.
    """
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    warnings.filterwarnings("ignore", "Glyph .* missing from")  # a class has a name that the font cannot draw
    classes, matrix = read_confusion(path)
    counts = np.array(matrix, dtype=np.float64)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(max(INCHES[0], 2 + 0.5 * len(classes)), INCHES[1])
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    cells = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(cells, ax=axes, label="share of the label's pixels")
    axes.set_xlabel("prediction")
    axes.set_ylabel("label")
    if len(classes) <= MAX_LABELLED:
        names = [name if len(name) <= MAX_LETTERS else f"{name[:MAX_LETTERS]}…" for name in classes]
        axes.set_xticks(range(len(classes)), names, rotation=45, ha="right", parse_math=False)
        axes.set_yticks(range(len(classes)), names, parse_math=False)
        for row, column in np.argwhere(shares >= 0.005):
            share = shares[row, column]
            color = "white" if share > 0.5 else "black"
            axes.text(column, row, f"{100 * share:.1f}", ha="center", va="center", color=color, fontsize=8)
    figure.savefig(target, dpi=120)
    return target
