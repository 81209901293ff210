"""The file that a problem names is the one that set what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from rayseg.config import load_config
from rayseg.core.errors import ConfigError, Problem
from rayseg.orchestration.locating import located


@pytest.mark.parametrize(
    ("problem", "line"),
    [
        (Problem("none", "train_dataloader.dataset.data_root"), "base.py: train_dataloader.dataset.data_root: none"),
        (Problem("none", "train_dataloader.dataset.split"), "command line: train_dataloader.dataset.split: none"),
        (Problem("split: none", "train_dataloader.dataset"), "command line: train_dataloader.dataset: split: none"),
        (Problem("data_root: none", "train_dataloader.dataset"), "base.py: train_dataloader.dataset: data_root: none"),
        (Problem("none", "train_dataloader.dataset.new"), "base.py: train_dataloader.dataset.new: none"),
        (Problem("train_dataloader.dataset.split: none"), "command line: train_dataloader.dataset.split: none"),
        (Problem("none", "train_dataloader.dataset", "x.json"), "x.json: train_dataloader.dataset: none"),
        (Problem("Elsewhere: none"), "Elsewhere: none"),
        (Problem("none", "model.net"), "model.net: none"),
    ],
)
def test_the_file_that_set_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: Problem, line: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("base.py").write_text("train_dataloader = dict(dataset=dict(data_root='x'))")
    Path("a.py").write_text("_base_ = 'base.py'\ntrain_dataloader = dict(dataset=dict(size=1))")
    config = load_config("a.py", ["train_dataloader.dataset.split=y"])
    with pytest.raises(ConfigError) as error, located(config):
        raise ConfigError(problem)
    assert str(error.value) == line
