"""``ray job submit --working-dir . -- rayseg train ...`` against a head that this test starts, as it stands."""

from __future__ import annotations

import json
import os
import secrets
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.distributed import free_port  # isort: skip
from tests.processes import Command, wait_until  # isort: skip

PACKAGES = Path(sys.executable).parent
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


def environment(home: Path) -> dict[str, str]:
    """Of the head and of who submits: a token of their own, and the environment's programs."""
    return {
        "PATH": f"{PACKAGES}{os.pathsep}{os.environ['PATH']}",
        "RAYSEG_HOME": str(home),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(16),
        "RAY_USAGE_STATS_ENABLED": "0",
    }


def answers(address: str) -> bool:
    """Whether the head's job server is up; it asks for a token, which is an answer too."""
    try:
        urllib.request.urlopen(f"{address}/api/version", timeout=2).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


@pytest.fixture
def head(tmp_path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """The address of a head with two CPUs on ports of its own, and the environment that reaches it."""
    variables = environment(tmp_path / "home")
    port = free_port()
    ports = {"port": free_port(), "dashboard-port": port, "dashboard-agent-listen-port": free_port()}
    options = [f"--{name}={value}" for name, value in ports.items()]
    command = [str(PACKAGES / "ray"), "start", "--head", "--block", "--num-cpus=2", "--include-dashboard=true"]
    with Command([*command, *options], tmp_path, variables, output=tmp_path / "head.txt") as started:
        started.wait_for(lambda: answers(f"http://127.0.0.1:{port}"), 90, "the head answers")
        yield f"http://127.0.0.1:{port}", variables
    wait_until(lambda: not answers(f"http://127.0.0.1:{port}"), 30, "the head is gone")


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
