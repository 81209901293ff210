"""The network, data set and transform of docs/own-model.md and docs/own-data.md, run as they are printed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.processes import REPOSITORY

from tests.system.conftest import Rayseg  # isort: skip

REST = """
train_cfg = dict(type='IterBasedTrainLoop', max_iters=4, val_interval=2)
optim_wrapper = dict(optimizer=dict(type='AdamW', lr=0.01))
"""


def blocks(page: str) -> list[str]:
    """The Python blocks of a page."""
    return re.findall(r"```python\n(.*?)```", (REPOSITORY / "docs" / page).read_text(), re.DOTALL)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A config of the pages' parts, with their modules beside it."""
    net, model = blocks("own-model.md")
    data, loaders, transform = blocks("own-data.md")
    (tmp_path / "my_net.py").write_text(net)
    (tmp_path / "my_data.py").write_text(data)
    (tmp_path / "my_transforms.py").write_text(transform)
    (tmp_path / "own.py").write_text(model + loaders + REST)
    return tmp_path / "own.py"


def test_they_train(own: Path, rayseg: Rayseg) -> None:
    answer = rayseg("train", own, "--local", "--work-dir", "run", "--json")
    assert answer.code == 0, answer.err
    found = json.loads(answer.out)
    assert found["iter"] == 4
    assert 0 <= found["metrics"]["IoU.disc"] <= 1
    kept = {path.name for path in (own.parent / "run" / "code").iterdir()}
    assert {"my_net.py", "my_data.py"} <= kept


def test_a_slip_is_one_line(own: Path, rayseg: Rayseg) -> None:
    (line,) = rayseg("train", own, "--local", "model.net.widht=8").errors
    assert line == ("command line: model.net.widht: my_net.TwoScales takes no 'widht' (found 8); did you mean 'width'?")


def test_the_transform(own: Path, config: Path, rayseg: Rayseg) -> None:
    pipeline = "train_dataloader.dataset.pipeline=[dict(type='my_transforms.Darken', factor=0.25)]"
    answer = rayseg("train", config, pipeline, "--local", "--work-dir", "dark", "-q")
    assert answer.code == 0, answer.err


def test_the_picture_of_the_visualizers_page(config: Path, rayseg: Rayseg, tmp_path: Path) -> None:
    hook = blocks("visualizer.md")[1]
    (tmp_path / "my_pictures.py").write_text(hook)
    hooks = "custom_hooks=[dict(type='my_pictures.InputPicture')]"
    answer = rayseg("train", config, hooks, "--local", "--work-dir", "run", "-q", "default_hooks.logger.interval=1")
    assert answer.code == 0, answer.err
    assert (tmp_path / "run/visuals/train/iter_0/input.png").is_file()
    first = json.loads((tmp_path / "run/metrics.jsonl").read_text().splitlines()[0])
    assert 0 < first["brightness"] < 255
