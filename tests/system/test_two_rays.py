"""Another Ray that is started on the machine does not touch a run."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.distributed import free_port
from tests.processes import Command, numbers, rayseg
from tests.ray_head import PACKAGES, answers

CONFIG = """
model = dict(type='Segmentor', net=dict(type='tests.toys.ToyNet'), loss=dict(type='CrossEntropyLoss'))
train_dataloader = dict(batch_size=2, dataset=dict(type='tests.toys.ToyDataset'))
val_dataloader = dict(dataset=dict(type='tests.toys.ToyDataset', size=3, test_mode=True))
train_cfg = dict(type='IterBasedTrainLoop', max_iters=10000000, val_interval=10000000)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01))
default_hooks = dict(logger=dict(interval=500), checkpoint=dict(interval=-1))
trackers = dict(report=None, tensorboard=None)
randomness = dict(seed=3, threads=1)
scaling = dict(num_workers=1)
"""
LINES_MEANWHILE = 12  # half a minute of training: Ray Train's watcher looks each second


@pytest.mark.slow
def test_a_ray_that_is_started_meanwhile_takes_no_workers_away(tmp_path: Path) -> None:
    (tmp_path / "tiny.py").write_text(CONFIG)
    (tmp_path / "user").mkdir()
    ports = ("port", "dashboard-port", "dashboard-agent-listen-port", "ray-client-server-port")
    options = [f"--{name}={free_port()}" for name in ports]
    address = f"http://127.0.0.1:{options[1].partition('=')[2]}"
    open_to_all = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0", "HOME": str(tmp_path / "user")}
    open_to_all["PATH"] = f"{PACKAGES}{os.pathsep}{os.environ['PATH']}"
    start = [str(PACKAGES / "ray"), "start", "--head", "--block", "--num-cpus=1", *options]
    run_dir = tmp_path / "run"
    with rayseg("train", "tiny.py", "--work-dir", "run", "-q", cwd=tmp_path, environment=open_to_all) as run:
        run.wait_for((run_dir / "metrics.jsonl").exists, 120, "the run trains")
        with Command(start, tmp_path, open_to_all, output=tmp_path / "head.txt") as other:
            other.wait_for(lambda: answers(address), 90, "another Ray is up")
            reached = len(numbers(run_dir)) + LINES_MEANWHILE
            run.wait_for(lambda: len(numbers(run_dir)) >= reached, 120, "the run goes on")
        run.send(signal.SIGTERM)
        assert run.finish(60)[0] == 130
