"""cluster/slurm/rayseg.sbatch under Slurm itself, on two hosts."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.cluster.conftest import SCRIPT
from tests.integration.cluster.slurm_site import HOSTS, SlurmSite, missing, slurm_site
from tests.processes import facts, numbers, wait_until
from tests.tiny_folder import write_tiny_folder

WHY_NOT = missing()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(WHY_NOT is not None, reason=f"no Slurm of its own: {WHY_NOT}"),
]
CONFIG = """
model = dict(type='Segmentor', net=dict(type='tests.toys.ToyNet'), loss=dict(type='CrossEntropyLoss'))
train_dataloader = dict(batch_size=2, dataset=dict(type='FolderDataset', data_root='data', split='train',
    pipeline=[dict(type='RandomFlip', prob=0.5)]))
val_dataloader = dict(dataset=dict(split='val'))
train_cfg = dict(type='IterBasedTrainLoop', max_iters=1000000, val_interval=1000000)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.001))
default_hooks = dict(logger=dict(interval=50), checkpoint=dict(interval=50, max_keep_ckpts=2))
trackers = dict(report=None, tensorboard=None)
randomness = dict(seed=3, threads=1)
failure = dict(max_failures=1)
scaling = dict(num_workers=2, strategy='SPREAD', use_gpu=False)
"""
OPTIONS = ["--nodes=2", "--cpus-per-task=2", "--gpus-per-node=0", "--time=20"]


@pytest.fixture(scope="module")
def site() -> Iterator[SlurmSite]:
    """Slurm on two hosts, with a data set and a config that trains without end."""
    with tempfile.TemporaryDirectory(prefix="rs") as path, slurm_site(Path(path)) as made:
        write_tiny_folder(made.path / "data", train=8, val=4)
        (made.path / "tiny.py").write_text(CONFIG)
        yield made


def submit(site: SlurmSite, *arguments: str) -> str:
    """The batch script as a job on both hosts; gives the job's id."""
    return site.run("sbatch", "--parsable", *OPTIONS, str(SCRIPT), *arguments)


def log_of(site: SlurmSite, job: str) -> str:
    """What the job has printed."""
    return (site.path / f"rayseg-{job}.log").read_text()


def test_a_lost_ray_and_a_time_limit(site: SlurmSite) -> None:
    run_dir = site.path / "run"

    def further(iterations: int) -> None:
        reached = last_iter() + iterations
        wait_until(lambda: last_iter() >= reached, 180, f"iteration {reached}: {site.state(job)}")

    def last_iter() -> int:
        return max((line["iter"] for line in numbers(run_dir)), default=0)

    job = submit(site, "train", "tiny.py", "--work-dir", "run", "-q")
    further(150)
    (raylet,) = site.processes("host-b", "raylet")
    os.kill(raylet, signal.SIGKILL)
    wait_until(lambda: facts(run_dir)["attempt"] == 2, 120, "the workers are started again on the first host")
    further(150)
    site.run("scancel", "--batch", "--signal=USR1", job)
    wait_until(lambda: site.state(job) == "PENDING" and site.is_idle(), 120, "the job is queued again")
    assert facts(run_dir)["status"] == "interrupted"
    site.run("scontrol", "update", f"JobId={job}", "StartTime=now")  # not after Slurm's two minutes
    further(150)
    assert facts(run_dir)["attempt"] == 3
    site.run("scancel", "--batch", "--signal=TERM", job)
    wait_until(lambda: site.state(job) == "FAILED", 120, "the job ends for good")
    assert "saved before the time limit, queued again" in log_of(site, job)
    logged = [line["iter"] for line in numbers(run_dir) if line["mode"] == "train"]
    assert logged == list(range(50, logged[-1] + 1, 50))
    for host in HOSTS:
        assert not site.processes(host, "raylet")


def test_data_that_only_the_first_host_has(site: SlurmSite) -> None:
    site.run("srun", "--nodes=1", "--nodelist=host-a", "cp", "-r", "data", "/tmp/data")
    job = submit(site, "train", "tiny.py", "--work-dir", "other", "train_dataloader.dataset.data_root=/tmp/data")
    wait_until(lambda: site.state(job) == "FAILED", 180, "the job is refused")
    assert "error: node 10.213.77.3 (host-b): it has no /tmp/data/images/train/" in log_of(site, job)
    assert not (site.path / "other" / "checkpoints").exists()
