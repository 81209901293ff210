"""cluster/slurm/rayseg.sbatch, run by bash on a site of fakes: what it calls, where signals go, when it comes again."""

from __future__ import annotations

import os
import re
import signal
import sys
import tempfile
from importlib import import_module
from typing import Any

import pytest

from tests.integration.cluster.conftest import SYMMETRIC_RUN, Site
from tests.processes import facts, numbers

SECONDS = 30
TRAIN = ["train", "my_config.py", "train_cfg.max_iters=9", "--work-dir", "runs/a", "--workers", "8"]


def finished(site: Site, *arguments: str, code: int = 0, **more: str) -> tuple[int, str, str]:
    """A job whose trainer ends with a code by itself."""
    site.end(code)
    with site.job(*arguments, more=more) as job:
        return job.finish(SECONDS)


def stopped(site: Site, number: int, **more: str) -> tuple[int, str, str]:
    """A job whose batch script gets a signal while the trainer runs."""
    with site.job(*TRAIN, more=more) as job:
        job.wait_for(lambda: site.called("rayseg"), SECONDS, "the trainer runs")
        job.send(number)
        answer = job.finish(SECONDS)
        job.all_gone()
    return answer


def test_a_job_that_ends_by_itself(site: Site) -> None:
    assert finished(site, *TRAIN) == (0, "", "")
    srun, ray, trainer = (site.called(name) or {} for name in ("srun", "ray", "rayseg"))
    options = srun["arguments"][: srun["arguments"].index("ray")]
    assert {"--export=ALL", "--nodes=2", "--ntasks=2", "--ntasks-per-node=1", "--cpus-per-task=16"} <= set(options)
    assert ray["arguments"][:5] == ["symmetric-run", "--address", "10.0.0.7:17110", "--min-nodes", "2"]
    assert {"--num-cpus=16", "--num-gpus=4"} <= set(ray["arguments"])
    assert trainer["arguments"] == [*TRAIN, "--auto-resume"]
    assert trainer["environment"]["RAY_ADDRESS"] == "10.0.0.7:17110"
    assert "RAY_ADDRESS" not in ray["environment"]
    assert site.called("scontrol") is None
    assert list((site.path / "tmp").iterdir()) == []


def test_all_nodes_share_a_token_that_no_command_line_shows(site: Site) -> None:
    finished(site, *TRAIN)
    called = [site.called(name) or {} for name in ("srun", "ray", "rayseg")]
    (token,) = {call["environment"]["RAY_AUTH_TOKEN"] for call in called}
    assert re.fullmatch("[0-9a-f]{32}", token)
    assert not any(token in argument for call in called for argument in call["arguments"])
    finished(site, *TRAIN)
    assert (site.called("ray") or {})["environment"]["RAY_AUTH_TOKEN"] != token


def ray_options(site: Site, job_id: int) -> list[str]:
    """What ``ray start`` gets on each node."""
    finished(site, *TRAIN, SLURM_JOB_ID=str(job_id))
    arguments = (site.called("ray") or {})["arguments"]
    return arguments[1 : arguments.index("--")]


def test_ray_knows_the_options(site: Site) -> None:
    symmetric: Any = import_module("ray.scripts.symmetric_run")
    start: Any = import_module("ray.scripts.scripts").start
    cleaned = symmetric.curate_and_validate_ray_start_args(ray_options(site, 4711))
    head = start.make_context("start", ["--head", "--port=17110", *cleaned])
    worker = start.make_context("start", ["--address=10.0.0.7:17110", "--block", *cleaned])
    assert (head.params["num_gpus"], worker.params["num_cpus"]) == (4, 16)
    head_only = ("port", "redis_shard_ports", "include_dashboard")
    assert [worker.params[name] for name in head_only] == [None] * 3


def test_each_job_has_ports_of_its_own(site: Site) -> None:
    of_job = []
    for job_id in (4711, 4712):
        options = ray_options(site, job_id)
        address = options[options.index("--address") + 1]
        ports = {int(option.rpartition("=")[2]) for option in options if "port=" in option}
        of_job.append(ports | {int(address.rpartition(":")[2])})
        assert len(of_job[-1]) == 11
        assert all(1024 < port < 32768 for port in of_job[-1])
    assert not of_job[0] & of_job[1]


def test_before_the_time_limit_it_saves_and_is_queued_again(site: Site) -> None:
    code, out, err = stopped(site, signal.SIGUSR1)
    assert (code, err) == (130, "")
    assert "queued again" in out
    assert (site.called("rayseg") or {})["signal"] == "SIGUSR1"
    assert (site.called("scontrol") or {})["arguments"] == ["requeue", "4711"]
    assert list((site.path / "tmp").iterdir()) == []


def test_a_stop_for_good(site: Site) -> None:
    assert stopped(site, signal.SIGTERM)[0] == 130
    assert (site.called("rayseg") or {})["signal"] == "SIGTERM"
    assert site.called("scontrol") is None


@pytest.mark.parametrize("code", [0, 1, 2])
def test_no_second_try_where_it_is_no_use(site: Site, code: int) -> None:
    assert stopped(site, signal.SIGUSR1, STOPS_WITH=str(code))[0] == code
    assert site.called("scontrol") is None


@pytest.mark.parametrize("code", [1, 2, 130])
def test_a_job_that_nobody_stopped_is_not_queued_again(site: Site, code: int) -> None:
    assert finished(site, *TRAIN, code=code)[0] == code
    assert site.called("scontrol") is None


def test_a_time_limit_before_ray_is_up(site: Site) -> None:
    with site.job(*TRAIN, more={"RAY_IS": "starting"}) as job:
        job.wait_for(lambda: site.called("ray"), SECONDS, "Ray is starting")
        job.send(signal.SIGUSR1)
        code, _, _ = job.finish(SECONDS)
        job.all_gone()
    assert code == 128 + signal.SIGTERM
    assert site.called("rayseg") is None
    assert (site.called("scontrol") or {})["arguments"] == ["requeue", "4711"]


def test_it_is_not_queued_for_ever(site: Site) -> None:
    code, _, err = stopped(site, signal.SIGUSR1, SLURM_RESTART_COUNT="3", RAYSEG_MAX_REQUEUES="3")
    assert code == 130
    assert err == "error: rayseg.sbatch: queued again 3 times already (RAYSEG_MAX_REQUEUES)\n"
    assert site.called("scontrol") is None


def test_ray_that_cannot_start_is_a_failure(site: Site) -> None:
    code, _, err = finished(site, *TRAIN, RAY_IS="broken")
    assert code == 1
    assert err == "error: rayseg.sbatch: Ray did not start on the first node; its own lines are above\n"


@pytest.mark.slow
def test_nodes_that_do_not_end_by_themselves_are_ended(site: Site) -> None:
    assert finished(site, *TRAIN, OTHER_NODES="linger") == (0, "", "")


@pytest.mark.parametrize(
    ("arguments", "variables", "message"),
    [
        ([], {}, "found '', expected: train|tune CONFIG ... --work-dir DIR"),
        (["my_config.py"], {}, "found 'my_config.py', expected: train|tune CONFIG ... --work-dir DIR"),
        (["train", "my_config.py"], {}, "no --work-dir; a job that is queued again goes on from there"),
        (TRAIN, {"PATH": "/usr/bin:/bin"}, "no ray on PATH; name its environment with RAYSEG_VENV"),
    ],
    ids=["nothing", "no-verb", "no-work-dir", "no-ray"],
)
def test_bad_input_starts_nothing(site: Site, arguments: list[str], variables: dict[str, str], message: str) -> None:
    with site.job(*arguments, more=variables) as job:
        assert job.finish(SECONDS) == (2, "", f"error: rayseg.sbatch: {message}\n")
    assert site.called("srun") is None


@pytest.mark.parametrize(
    ("arguments", "resume"),
    [
        (["tune", "s.py", "--work-dir=sweeps/a"], ["--auto-resume"]),
        (["train", "c.py", "--work-dir", "sweeps/a", "--resume"], []),
        (["train", "--auto-resume", "c.py", "--work-dir", "sweeps/a"], []),
    ],
    ids=["sweep", "said-resume", "said-auto-resume"],
)
def test_what_is_said_about_resuming(site: Site, arguments: list[str], resume: list[str]) -> None:
    assert finished(site, *arguments)[0] == 0
    assert (site.called("rayseg") or {})["arguments"] == [*arguments, *resume]


def test_an_environment_and_an_address_of_ones_own(site: Site) -> None:
    activate = site.path / "venv/bin/activate"
    activate.parent.mkdir(parents=True)
    activate.write_text("export ACTIVATED=yes\n")
    more = {"RAYSEG_VENV": str(site.path / "venv"), "RAYSEG_HEAD_IP": "10.9.9.9"}
    assert finished(site, *TRAIN, **more)[0] == 0
    assert (site.called("rayseg") or {})["environment"]["ACTIVATED"] == "yes"
    assert (site.called("ray") or {})["arguments"][2] == "10.9.9.9:17110"


CONFIG = """
model = dict(type='Segmentor', net=dict(type='tests.toys.ToyNet'), loss=dict(type='CrossEntropyLoss'))
train_dataloader = dict(batch_size=2, dataset=dict(type='tests.toys.ToyDataset'))
val_dataloader = dict(dataset=dict(type='tests.toys.ToyDataset', size=3, test_mode=True))
train_cfg = dict(type='IterBasedTrainLoop', max_iters=1000000, val_interval=1000000)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.001))
default_hooks = dict(logger=dict(type='LoggerHook', interval=5), checkpoint=dict(type='CheckpointHook', interval=-1))
randomness = dict(seed=3, threads=1)
"""


@pytest.fixture
def real(site: Site) -> Site:
    """The site with rayseg itself as the trainer, and a config that trains without end."""
    python = sys.executable
    site.add("rayseg", f"import os, sys; os.execv({python!r}, [{python!r}, '-m', 'rayseg.cli.main', *sys.argv[1:]])")
    (site.path / "tiny.py").write_text(CONFIG)
    return site


def goes_on_in_the_next_job(site: Site, *options: str) -> None:
    """A run is told of the time limit, and ends in a second job."""
    run_dir = site.path / "run"
    command = ["train", "tiny.py", "--work-dir", "run", "-q", *options]
    with site.job(*command) as job:
        job.wait_for(lambda: numbers(run_dir), 150, "the first logged line")
        job.send(signal.SIGUSR1)
        assert job.finish(90)[0] == 130
        job.all_gone()
    assert (site.called("scontrol") or {})["arguments"] == ["requeue", site.variables["SLURM_JOB_ID"]]
    at = facts(run_dir)["iter"]
    assert facts(run_dir)["status"] == "interrupted"
    with site.job(*command, f"train_cfg.max_iters={at + 5}", more={"SLURM_RESTART_COUNT": "1"}) as job:
        assert job.finish(150)[0] == 0
        job.all_gone()
    assert (facts(run_dir)["status"], facts(run_dir)["iter"], facts(run_dir)["attempt"]) == ("finished", at + 5, 2)


def test_a_real_run_goes_on_in_the_next_job(real: Site) -> None:
    goes_on_in_the_next_job(real, "--local")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_same_under_rays_own_symmetric_run(real: Site) -> None:
    with tempfile.TemporaryDirectory(prefix="rs") as scratch:  # a short path: Ray's sockets lie below it
        real.add("ray", SYMMETRIC_RUN)
        job_id = str(os.getpid())  # the ports
        one_node = {"SLURM_JOB_NUM_NODES": "1", "SLURM_CPUS_PER_TASK": "1", "SLURM_GPUS_ON_NODE": "0"}
        real.variables |= {"SLURM_JOB_ID": job_id, "RAYSEG_HEAD_IP": "127.0.0.1", "RAY_SCRATCH": scratch, **one_node}
        goes_on_in_the_next_job(real)
