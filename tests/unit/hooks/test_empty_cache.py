"""EmptyCacheHook: when it empties the cache."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch

from tests.unit.engine.training import At, epochs, train, validation


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, 2 + 2),
        ({"after_epoch": False}, 0),
        ({"before_epoch": True}, 2 * (2 + 2)),
        ({"before_epoch": True, "after_epoch": False}, 2 + 2),
        ({"after_epoch": False, "after_iter": True}, 8 + 2 * 2),
    ],
)
def test_when(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, bool], expected: int) -> None:
    """Two epochs of four iterations, each with a validation of two batches."""
    calls: Counter[str] = Counter()
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: calls.update(["empty"]))
    hook = {"type": "EmptyCacheHook", **options}
    train(tmp_path, train_cfg=epochs(2), custom_hooks=[hook], val_dataloader=validation(8), param_scheduler=None)
    assert calls["empty"] == expected


def test_without_a_gpu_it_does_nothing(tmp_path: Path) -> None:
    hook = {"type": "EmptyCacheHook", "before_epoch": True, "after_iter": True}
    reached: list[int] = []
    end = At("after_train_iter", 3, lambda runner: reached.append(runner.iter))
    train(tmp_path, end, train_cfg=epochs(1), custom_hooks=[hook], param_scheduler=None)
    assert reached == [3]
