"""``mmengine.dataset``: what a hook needs to switch the augmentation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rayseg.data.pipeline import Pipeline
from rayseg.engine.current import find_runner

__all__ = ["Compose"]

IGNORE_INDEX = 255


class Compose(Pipeline):
    """Transforms in order, for ``dataset.pipeline``; they are called with (image, mask), as all are here.

    Args:
        transforms: configs, or live objects.

    Raises:
        ConfigError: one cannot be built.
    """

    def __init__(self, transforms: Sequence[Any] | None) -> None:
        runner = find_runner()
        metainfo = getattr(runner, "metainfo", {})
        super().__init__(transforms or (), metainfo.get("ignore_index", IGNORE_INDEX), test_mode=False)
