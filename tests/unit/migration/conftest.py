"""Configs as MM's users write them, in ``configs/`` and made by tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rayseg.core.errors import ConfigError
from rayseg.core.registries import OPTIM_CONSTRUCTORS

CONFIGS = Path(__file__).parent / "configs"
COMPLETE = sorted(path.name for path in CONFIGS.glob("*.py"))

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write an MM config that is ``text`` after the bases of ``configs/``, and work in its directory."""
    monkeypatch.chdir(tmp_path)

    def make(text: str, name: str = "mm.py", bases: Any = ("resnet50", "cityscapes", "runtime", "sgd_20k")) -> Path:
        for base in bases:
            (tmp_path / f"base_{base}.py").write_text((CONFIGS / "_base_" / f"{base}.py").read_text())
        path = tmp_path / name
        path.write_text(f"_base_ = {[f'base_{base}.py' for base in bases]}\n{text}\n")
        return path

    return make


def problems_of(error: ConfigError) -> list[str]:
    """Problems as lines, without those of constructors that a later version registers."""
    known = OPTIM_CONSTRUCTORS.known()
    later = "LearningRateDecayOptimizerConstructor" not in known
    return [f"{p.key}: {p.message}" for p in error.problems if not (later and p.key == "optim_wrapper.constructor")]
