"""``ray job submit --working-dir . -- rayseg train ...`` against a head that this test starts, as it stands."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import Command  # isort: skip
from tests.ray_head import PACKAGES, ray_head  # isort: skip

CONFIG = """
model = dict(type='Segmentor', net=dict(type='my_net.Net'), loss=dict(type='CrossEntropyLoss'))
train_dataloader = dict(batch_size=2, dataset=dict(type='tests.toys.ToyDataset'))
val_dataloader = dict(dataset=dict(type='tests.toys.ToyDataset', size=3, test_mode=True))
train_cfg = dict(type='IterBasedTrainLoop', max_iters=4, val_interval=4)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01))
randomness = dict(seed=3, threads=1)
scaling = dict(num_workers=2)
"""
NET = """
from torch import nn


class Net(nn.Conv2d):
    def __init__(self, num_classes: int) -> None:
        super().__init__(3, num_classes, 1)
"""


@pytest.fixture
def head(tmp_path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """The address of a head of its own, and the environment that reaches it."""
    with ray_head(tmp_path) as started:
        yield started


@pytest.mark.slow
def test_a_submitted_job_trains(head: tuple[str, dict[str, str]], tmp_path: Path) -> None:
    address, variables = head
    project = tmp_path / "project"
    project.mkdir()
    (project / "tiny.py").write_text(CONFIG)
    (project / "my_net.py").write_text(NET)
    submit = [str(PACKAGES / "ray"), "job", "submit", "--address", address, "--working-dir", "."]
    with Command([*submit, "--", "rayseg", "train", "tiny.py"], project, variables) as job:
        code, out, err = job.finish(240)
    assert code == 0, out + err
    assert "succeeded" in out + err
    (run_dir,) = (tmp_path / "home" / "work_dirs" / "tiny").glob("[0-9]*")
    assert str(run_dir) in out, "the job prints where the run is"
    facts = json.loads((run_dir / "run.json").read_text())
    assert (facts["status"], facts["iter"], facts["world_size"]) == ("finished", 4, 2)
    assert (run_dir / "code" / "my_net.py").read_text() == NET
