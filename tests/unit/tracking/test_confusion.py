"""Confusion matrices as pictures."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from rayseg.tracking.confusion import confusion_path, draw_confusion, write_confusion


@pytest.mark.parametrize("name", ["\N{AUTOMOBILE}", "$\\frac{", "a $b$ c", "", "../<b>&", "x" * 300])
def test_a_class_may_have_any_name(tmp_path: Path, name: str):
    write_confusion(tmp_path, "val", 2, [name, "land"], [[3, 1], [0, 2]])
    target = draw_confusion(confusion_path(tmp_path, "val", 2), tmp_path / "drawn.png")
    with Image.open(target) as image:
        assert image.width > 100
