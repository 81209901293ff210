"""Where the configs of an MMSegmentation release are, if they are anywhere: they are no part of this repository."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

VARIABLE = "RAYSEG_MM_CONFIGS"
HOW = (
    f"set {VARIABLE} to the folder mmseg/.mim/configs of the unpacked wheel "
    "(pip download --no-deps mmsegmentation==1.2.2; python -m zipfile -e mmsegmentation-*.whl DIR)"
)


def mm_configs() -> Path | None:
    """The folder of MM's configs: what the environment says, or that of an installed mmseg."""
    if given := os.environ.get(VARIABLE):
        return Path(given)
    found = importlib.util.find_spec("mmseg")
    folder = Path(found.origin).parent / ".mim" / "configs" if found and found.origin else None
    return folder if folder and folder.is_dir() else None
