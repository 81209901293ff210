"""A tiny data set, a config over it, and the command line called in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rayseg.cli.main import main

CONFIG = """
model = dict(type='Segmentor', net=dict(type='torch.nn.Conv2d', in_channels=3, out_channels=2, kernel_size=1),
             loss=dict(type='CrossEntropyLoss'))
train_dataloader = dict(batch_size=2, dataset=dict(type='FolderDataset', data_root={root!r}, split='train',
    pipeline=[dict(type='RandomCrop', crop_size=(16, 16))]))
val_dataloader = dict(dataset=dict(split='val'))
train_cfg = dict(type='IterBasedTrainLoop', max_iters=4, val_interval=2)
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1))
"""


@dataclass(frozen=True)
class Answer:
    """What a command line gave back."""

    code: int
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        """The error lines, without their mark."""
        return [line.removeprefix("error: ") for line in self.err.splitlines() if line.startswith("error: ")]


Rayseg = Callable[..., Answer]


@pytest.fixture
def rayseg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Rayseg:
    """``rayseg(*arguments)`` in an empty current directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAYSEG_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def call(*arguments: str | Path) -> Answer:
        capfd.readouterr()
        code = main([str(argument) for argument in arguments])
        printed = capfd.readouterr()
        return Answer(code, printed.out, printed.err)

    return call


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Six training and three validation images of 24×24 px with masks of two classes."""
    root, rng = tmp_path / "data", np.random.default_rng(0)
    for split, count in (("train", 6), ("val", 3)):
        for folder in ("images", "annotations"):
            (root / folder / split).mkdir(parents=True)
        for index in range(count):
            pixels = rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / "images" / split / f"{index}.png")
            Image.fromarray((pixels[..., 0] > 127).astype(np.uint8)).save(root / "annotations" / split / f"{index}.png")
    (root / "classes.txt").write_text("dark\nbright\n")
    return root


@pytest.fixture
def config(tmp_path: Path, data: Path) -> Path:
    """``tiny.py``: a config without a fault."""
    path = tmp_path / "tiny.py"
    path.write_text(CONFIG.format(root=str(data)))
    return path
