"""Several nodes, simulated on this machine: a sweep over them, a node that comes late, one that is lost."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.processes import REPOSITORY, Command, numbers, rayseg, wait_until
from tests.tiny_folder import write_tiny_folder

CONFIG = """
model = dict(type='Segmentor', net=dict(type='user_code.BatchNormNet'), loss=dict(type='CrossEntropyLoss'),
             data_preprocessor=dict(mean=[127.5, 127.5, 127.5], std=[64.0, 64.0, 64.0]))
train_dataloader = dict(batch_size=1, dataset=dict(type='FolderDataset', data_root={root!r}, split='train',
    pipeline=[dict(type='RandomFlip', prob=0.5)]))
val_dataloader = dict(dataset=dict(split='val'))
train_cfg = dict(type='IterBasedTrainLoop', max_iters=12, val_interval=6)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.05, momentum=0.9))
default_hooks = dict(logger=dict(interval=2), checkpoint=dict(interval=4), visualization=None)
trackers = dict(report=None)
randomness = dict(seed=3, threads=1)
env_cfg = dict(control_interval=2)
scaling = dict(num_workers=2, strategy='SPREAD')
"""
TIMES = {"time", "iter_time", "data_time", "eta_s", "samples_per_s", "memory_mb", "host_memory_mb"}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``tiny.py``, ``user_code.py`` and a data set."""
    path = tmp_path_factory.mktemp("project")
    write_tiny_folder(path / "data", train=8, val=3)
    (path / "tiny.py").write_text(CONFIG.format(root=str(path / "data")))
    shutil.copy(REPOSITORY / "tests" / "integration" / "orchestration" / "user_code.py", path)
    shutil.copy(Path(__file__).with_name("node_code.py"), path)
    return path


@pytest.fixture(scope="module")
def cluster(project: Path) -> Iterator[dict[str, str]]:
    """Three nodes of one CPU beside a head without any; the environment that reaches them."""
    script = [sys.executable, str(Path(__file__).with_name("cluster_of_nodes.py")), str(project)]
    quiet = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}
    with Command(script, project, quiet, output=project / "cluster.txt") as running:
        running.wait_for((project / "address").exists, 120, "the nodes are up")
        yield {"RAY_ADDRESS": (project / "address").read_text(), "RAY_AUTH_MODE": "disabled"}
    running.all_gone()


def scores(run_dir: Path) -> list[dict[str, Any]]:
    return [{key: value for key, value in line.items() if key not in TIMES} for line in numbers(run_dir)]


def test_a_sweep_over_nodes(project: Path, cluster: dict[str, str]) -> None:
    meet = f"custom_hooks=[dict(type='node_code.Meet', place={str(project / 'meet')!r})]"
    changes = [
        meet,
        "scaling.num_workers=1",
        "optim_wrapper.optimizer.lr=grid([0.1, 0.03, 0.01])",
        "train_cfg.max_iters=6",
    ]
    with rayseg(
        "tune", "tiny.py", *changes, "--work-dir", "sweep", "--json", cwd=project, environment=cluster
    ) as sweep:
        code, out, err = sweep.finish(200)
    assert code == 0, err
    assert [row["status"] for row in json.loads(out)["trials"]] == ["finished"] * 3
    events = [json.loads(line) for line in (project / "sweep/journal.jsonl").read_text().splitlines()]
    assert len({event["node"] for event in events if event["event"] == "started"}) > 1


def test_what_never_comes_is_not_waited_for_longer_than_said(project: Path, cluster: dict[str, str]) -> None:
    arguments = ["train", "tiny.py", "--workers", "8", "--work-dir", "never", "scaling.start_timeout_s=1.5"]
    with rayseg(*arguments, "train_dataloader.batch_size=1", cwd=project, environment=cluster) as run:
        code, out, err = run.finish(120)
    assert (code, out) == (2, "")
    shortage = "8 workers of 1 CPU each cannot be placed: the cluster has 3 CPU, room for 3"
    assert err.splitlines() == [
        f"waiting up to 1.5 s: {shortage}",
        f"error: scaling.num_workers: {shortage} after 1.5 s (scaling.start_timeout_s); use --workers 3, "
        "a smaller scaling.resources_per_worker, or train with --local",
    ]
    assert not (project / "never").exists()


@pytest.mark.slow
def test_a_lost_node_changes_nothing(project: Path, cluster: dict[str, str]) -> None:
    hook = {"type": "node_code.NameNode", "at": 7, "name": str(project / "node"), "done": str(project / "go_on")}
    arguments = ["train", "tiny.py", "failure.max_failures=2", f"custom_hooks=[{hook!r}]", "-q"]
    with rayseg(*arguments, "--work-dir", "lost", cwd=project, environment=cluster) as run:
        run.wait_for((project / "node").exists, 150, "the hook has named its node")
        kill(project, *(project / "node").read_text().split())
        (project / "go_on").touch()
        code, _, err = run.finish(200)
    assert code == 0, err
    with rayseg(*arguments, "--work-dir", "undisturbed", cwd=project, environment=cluster) as run:
        code, _, err = run.finish(200)
    assert code == 0, err
    assert scores(project / "lost") == scores(project / "undisturbed")
    facts = json.loads((project / "lost" / "run.json").read_text())
    assert facts["attempt"] == 2
    assert "died" in facts["attempts"][1]["reason"]
    assert facts["attempts"][1]["start_from"] == "iter_4"
    assert facts["attempts"][1]["idle_s"] > 0


@pytest.mark.slow
def test_a_late_node_is_waited_for(project: Path, cluster: dict[str, str]) -> None:
    """Two nodes are left; the third comes while the run waits."""
    arguments = ["train", "tiny.py", "--workers", "3", "--work-dir", "late", "train_cfg.max_iters=3", "-q"]
    with rayseg(*arguments, cwd=project, environment=cluster) as run:
        run.wait_for(lambda: _waits(run), 100, "it says what it waits for")
        (project / "add").touch()
        code, _, err = run.finish(200)
    assert code == 0, err
    assert json.loads((project / "late" / "run.json").read_text())["world_size"] == 3


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["deadline", "killed"])
def test_a_drained_node_is_saved_before_it_goes(project: Path, cluster: dict[str, str], ending: str) -> None:
    """Ray's own notice, no checkpoint by itself, and not one failure that the run allows."""
    changes = ["default_hooks.checkpoint.interval=100", "failure.max_failures=0", "-q"]
    here, later = ({"type": "node_code.NameNode", "at": at, "name": str(project / f"{ending}_at_{at}"),
                    "done": str(project / f"{ending}_past_{at}")} for at in (7, 11))  # fmt: skip
    arguments = ["train", "tiny.py", *changes, f"custom_hooks=[{here!r}, {later!r}]", "--work-dir", ending]
    log = project / ending / "log.txt"
    with rayseg(*arguments, cwd=project, environment=cluster) as run:
        run.wait_for((project / f"{ending}_at_7").exists, 150, "the hook has named its node")
        node, pid = (project / f"{ending}_at_7").read_text().split()
        drain(node, cluster, seconds=600 if ending == "killed" else 20)
        run.wait_for(lambda: "will be taken away in" in log.read_text(), 60, "the run knows of it")
        (project / f"{ending}_past_7").touch()
        run.wait_for((project / f"{ending}_at_11").exists, 60, "it goes on")
        if ending == "killed":
            kill(project, node, pid)
        (project / "add").touch()  # another one for those that come after
        wait_until(lambda: not Path("/proc", pid).exists(), 60, "Ray has ended the process")
        (project / f"{ending}_past_11").touch()
        code, _, err = run.finish(200)
    assert code == 0, err
    attempts = json.loads((project / ending / "run.json").read_text())["attempts"]
    assert [attempt["start_from"] for attempt in attempts] == [None, "iter_9"]
    assert attempts[1]["lost_iters"] <= 2
    assert ("was taken away" if ending == "deadline" else "died") in attempts[1]["reason"]
    with rayseg("train", "tiny.py", *changes, "--work-dir", f"{ending}_not", cwd=project, environment=cluster) as run:
        code, _, err = run.finish(200)
    assert code == 0, err
    assert scores(project / ending) == scores(project / f"{ending}_not")


def kill(project: Path, node: str, pid: str) -> None:
    """Kill a node, and wait until a process of it has gone too."""
    (project / "kill.partial").write_text(node)
    (project / "kill.partial").rename(project / "kill")
    wait_until(lambda: not (project / "kill").exists(), 60, "the node is killed")
    wait_until(lambda: not Path("/proc", pid).exists(), 60, "the process has gone with its node")


def drain(node: str, cluster: dict[str, str], seconds: int) -> None:
    """Tell Ray that a node will be taken away, as a cloud does."""
    ray = str(Path(sys.executable).with_name("ray"))
    reason = ["--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "spot"]
    command = [ray, "drain-node", "--address", cluster["RAY_ADDRESS"], "--node-id", node, *reason]
    command += ["--deadline-remaining-seconds", str(seconds)]
    done = subprocess.run(command, env={**os.environ, **cluster}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def _waits(run: Command) -> bool:
    assert run.process.stderr is not None
    return run.process.stderr.readline().startswith("waiting up to 600 s: 3 workers of 1 CPU each cannot be placed")
