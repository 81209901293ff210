"""``rayseg submit``, ``status``, ``logs`` and ``stop`` against a head of its own, with the token that Ray wants."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import rayseg
from rayseg.submission import submitting
from tests.distributed import free_port
from tests.processes import Command, wait_until
from tests.ray_head import ray_head
from tests.system.conftest import Answer, Rayseg

CONFIG = """
model = dict(type='Segmentor', net=dict(type='my_net.Net'), loss=dict(type='CrossEntropyLoss'))
train_dataloader = dict(batch_size=2, dataset=dict(type='tests.toys.ToyDataset'))
val_dataloader = dict(dataset=dict(type='tests.toys.ToyDataset', size=3, test_mode=True))
train_cfg = dict(type='IterBasedTrainLoop', max_iters=4, val_interval=4)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01))
default_hooks = dict(logger=dict(type='LoggerHook', interval=1000))
randomness = dict(seed=3, threads=1)
scaling = dict(num_workers=1)
"""
NET = """
import os
import time

from torch import nn

from rayseg.engine.hook import Hook


class Net(nn.Conv2d):
    def __init__(self, num_classes: int) -> None:
        super().__init__(3, num_classes, 1)


class Breaks(Hook):
    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        raise ValueError(f'it broke with {os.environ["RAYSEG_TEST_SECRET"][:4]}')


class SlowToEnd(Hook):
    def after_train(self, runner):
        time.sleep(5)  # longer than Ray itself waits between SIGTERM and SIGKILL
"""
ENDLESS = ("train_cfg.max_iters=10000000", "train_cfg.val_interval=10000000", "default_hooks.checkpoint.interval=-1")
SECRET = "hush-hush-value"


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[str, str]]]:
    """The address of a head, and the environment that reaches it."""
    with ray_head(tmp_path_factory.mktemp("head")) as started:
        yield started


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A working directory with a config, code, and what must not go."""
    path = tmp_path / "project"
    path.mkdir()
    (path / "tiny.py").write_text(CONFIG)
    (path / "my_net.py").write_text(NET)
    (path / ".env").write_text("KEY=1")
    return path


@pytest.fixture
def here(
    head: tuple[str, dict[str, str]], project: Path, monkeypatch: pytest.MonkeyPatch, rayseg: Rayseg
) -> Callable[..., Answer]:
    """``rayseg`` in the project, as somebody who may use the head."""
    address, variables = head
    monkeypatch.chdir(project)
    for name in ("HOME", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
        monkeypatch.setenv(name, variables[name])
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", address)
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH", raising=False)
    return rayseg


def facts(head: tuple[str, dict[str, str]], run: str) -> dict[str, Any]:
    """``run.json`` of a run that a job wrote to the relative directory ``run``."""
    return json.loads(Path(head[1]["RAYSEG_HOME"], run, "run.json").read_text())


@pytest.mark.slow
def test_a_job_trains_on_workers(here: Rayseg, head: Any, project: Path) -> None:
    answer = here("submit", "--json", "--", "train", "tiny.py", "--work-dir", "done", "randomness.seed=4")
    assert answer.code == 0, answer.err
    job = json.loads(answer.out)
    assert (job["status"], job["exit_code"], job["address"]) == ("succeeded", 0, head[0])
    assert job["command"] == "rayseg train tiny.py randomness.seed=4 --work-dir done"
    run = facts(head, "done")
    assert (run["status"], run["iter"], run["seed"], run["world_size"]) == ("finished", 4, 4, 1)
    assert f"{project}: 2 files, " in answer.err
    assert "left out: .env (secret)\n" in answer.err
    assert answer.err.count("finished: 4 iterations") == 1, "the log is streamed, once"
    assert "kills this job" not in answer.err


@pytest.mark.slow
def test_a_sweep_is_a_job_as_well(here: Rayseg, head: Any) -> None:
    space = "optim_wrapper.optimizer.lr=choice([0.01, 0.1])"
    limits = ["--num-samples", "2", "--work-dir", "sweep"]
    answer = here("submit", "--", "tune", "tiny.py", space, "tune=dict(metric='mIoU')", *limits)
    assert answer.code == 0, answer.out + answer.err
    sweep = json.loads(Path(head[1]["RAYSEG_HOME"], "sweep", "sweep.json").read_text())
    assert sweep["status"] == "finished"
    wrong = here("submit", "--", "tune", "tiny.py", space, "tune=dict(metrik='mIoU')", *limits)
    assert (wrong.code, wrong.out) == (2, "")
    assert "did you mean 'metric'?" in wrong.errors[0]


def test_a_failed_run_gives_its_own_exit_code_and_no_secret(
    here: Rayseg, head: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYSEG_TEST_SECRET", SECRET)
    answer = here(
        "submit",
        "--env",
        "RAYSEG_TEST_SECRET",
        "--name",
        "fails",
        "--",
        *local("custom_hooks=[dict(type='my_net.Breaks')]"),
    )
    assert answer.code == 1
    assert "it broke with hush" in answer.out, "the variable has arrived"
    assert answer.errors == ["job fails failed, exit code 1"]
    assert SECRET not in answer.out + answer.err
    shown = here("status", "fails", "--json")
    assert (json.loads(shown.out)["exit_code"], SECRET in shown.out) == (1, False)
    again = here("submit", "--name", "fails", "--", *local())
    assert (again.code, again.errors) == (
        2,
        [f"--name fails: there is a job of that name at {head[0]}; names are used once"],
    )


def test_what_only_the_cluster_finds_wrong_is_2_as_well(here: Rayseg) -> None:
    answer = here("submit", "--", *local(), "train_dataloader.dataset.size=0")
    assert answer.code == 2, answer.out + answer.err


def test_no_wait_then_status_logs_and_stop(here: Rayseg, head: Any) -> None:
    hook = "custom_hooks=[dict(type='my_net.SlowToEnd')]"
    sent = here("submit", "--no-wait", "--name", "long", "--", *local(hook, *ENDLESS), "--work-dir", "long")
    assert sent.code == 0, sent.err
    assert sent.out.splitlines()[-4:] == [
        "job long is submitted",
        "  follow it: rayseg logs --follow long",
        "  how it stands: rayseg status long",
        "  save and end: rayseg stop long",
    ]
    wait_until(lambda: "Iter(train)" in here("logs", "long").out, 60, "the run is under way")
    assert here("status", "long").out.startswith("long  running  ")
    assert json.loads(here("status", "--json").out)["jobs"][0]["job"] == "long"
    assert here("status", "lang").errors == [f"lang: no such job at {head[0]}; did you mean 'long'?"]

    stopped = here("stop", "long")
    assert stopped.code == 0, stopped.err
    run = facts(head, "long")
    assert (run["status"], run["last_checkpoint"]) == ("interrupted", f"iter_{run['iter']}")
    assert f"saved as iter_{run['iter']}" in stopped.out
    assert json.loads(here("status", "long", "--json").out)["exit_code"] == 130
    assert here("logs", "long", "--follow").code == 130
    assert here("stop", "long").out.splitlines()[0] == "long has ended before: stopped"


def test_ctrl_c_leaves_the_job(here: Rayseg, head: Any, project: Path) -> None:
    output = project.parent / "followed.txt"
    call = [sys.executable, "-m", "rayseg.cli.main", "submit", "--name", "left", "--", *local(*ENDLESS)]
    environment = {**head[1], "RAY_API_SERVER_ADDRESS": head[0]}
    with Command(call, project, environment, output=output) as followed:
        followed.wait_for(lambda: "Running entrypoint" in output.read_text(), 60, "the log comes")
        followed.send(signal.SIGINT, group=True)
        assert followed.finish(30)[0] == 130
        assert output.read_text().splitlines()[-4:] == [
            "job left goes on",
            "  follow it: rayseg logs --follow left",
            "  how it stands: rayseg status left",
            "  save and end: rayseg stop left",
        ]
    assert here("status", "left").out.startswith("left  running  ")
    assert here("stop", "left").code == 0


def test_another_torch_is_refused_by_the_job(here: Rayseg, monkeypatch: pytest.MonkeyPatch) -> None:
    there = submitting.versions_here()
    expect(monkeypatch, torch="2.9.1")
    printed: list[str] = []
    job = rayseg.submit("train", "tiny.py", options={"local": True}, say=printed.append, write=printed.append)
    assert (job.status, job.exit_code) == ("failed", 2)
    assert (
        f"other versions than those that the job was checked with: torch {there['torch']} instead of 2.9.1"
        in "".join(printed)
    )


def test_another_ray_or_python_is_refused_before_anything_is_sent(
    here: Rayseg, head: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = here("status").out
    for name in ("ray", "python"):
        expect(monkeypatch, **{name: "1.2.3"})
        answer = here("submit", "--", *local())
        assert answer.code == 2
        assert answer.errors[0].startswith(
            f"{head[0]} has other versions than those that the job was checked with: {name} "
        )
        assert answer.errors[0].endswith("instead of 1.2.3; install the same, or submit with --any-versions")
    assert here("status").out == before


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"RAY_AUTH_TOKEN": None, "RAY_AUTH_MODE": None}, "the cluster wants a token: set RAY_AUTH_MODE=token, and "),
        ({"RAY_AUTH_TOKEN": None}, "the cluster wants a token: set RAY_AUTH_MODE=token, and "),
        ({"RAY_AUTH_MODE": "disabled"}, "the cluster wants a token: set RAY_AUTH_MODE=token, and "),
        ({"RAY_AUTH_TOKEN": "0" * 32}, "the cluster does not accept the token of RAY_AUTH_TOKEN; "),
    ],
)
@pytest.mark.parametrize("verb", [("submit", "--", "train", "tiny.py"), ("status",)], ids=["submit", "status"])
def test_a_token_that_is_missing_or_wrong(
    verb: tuple[str, ...],
    variables: dict[str, str | None],
    expected: str,
    here: Rayseg,
    head: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name)
    answer = here(*verb)
    assert answer.code == 2
    assert len(answer.err.splitlines()) == 1
    assert answer.errors[0].startswith(f"{head[0]}: {expected}")


def test_what_is_wrong_here_is_said_without_a_cluster(
    here: Rayseg, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", f"http://127.0.0.1:{free_port()}")
    for arguments, expected in (
        (
            ("train", "tiny.py", "train_cfg.max_iter=3"),
            "command line: train_cfg.max_iter: IterBasedTrainLoop takes no 'max_iter'",
        ),
        (("train", "tiny.py", "randomness.seed=choice([1, 2])"), "command line: randomness.seed: still open: "),
        (("train", "tinny.py"), "tinny.py: no such file; did you mean 'tiny.py'?"),
        (("train", "tiny.py", "--worker", "2"), "No such option: --worker"),
        (("train", "tiny.py", "--auto-resume"), "--auto-resume needs a --work-dir"),
        (("trian", "tiny.py"), "rayseg submit: a job runs train or tune, not 'trian'; did you mean 'train'?"),
    ):
        answer = here("submit", "--", *arguments)
        assert (answer.code, answer.out, len(answer.err.splitlines())) == (2, "", 1)
        assert answer.errors[0].startswith(expected)
    answer = here("submit", "--", "train", "tiny.py")
    assert answer.code == 2
    assert answer.errors[0].endswith(": no cluster's dashboard answers there (Connection refused)")


def test_gigabytes_are_refused(here: Rayseg, project: Path) -> None:
    with (project / "features.bin").open("wb") as file:
        os.truncate(file.fileno(), 3 * 2**30)
    answer = here("submit", "--", "train", "tiny.py")
    assert (answer.code, len(answer.err.splitlines())) == (2, 1)
    assert "more than --max-size 100 (MiB); the largest: features.bin (3.0 GiB), " in answer.errors[0]


def local(*overrides: str) -> list[str]:
    """A run in the job's own process, which begins sooner."""
    return ["train", "tiny.py", "--local", *overrides]


def expect(monkeypatch: pytest.MonkeyPatch, **versions: str) -> None:
    """Submit as from an environment with other versions."""
    found = {**REAL_VERSIONS, **versions}
    monkeypatch.setattr(submitting, "versions_here", lambda: found)


REAL_VERSIONS = submitting.versions_here()
