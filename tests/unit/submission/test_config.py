"""A job before it leaves: its config is checked, its command line is made, what it misses on the cluster is said."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

import pytest

from rayseg.core.errors import ConfigError
from rayseg.submission.config import Job, check_job, require_packed, variables_not_sent, variables_to_send
from rayseg.submission.packing import select

CONFIG = """
model = dict(type='Segmentor', net=dict(type='torch.nn.Conv2d', in_channels=3, out_channels=3, kernel_size=1),
             loss=dict(type='CrossEntropyLoss'))
train_dataloader = dict(batch_size=2, dataset=dict(type='tests.toys.ToyDataset'))
train_cfg = dict(type='IterBasedTrainLoop', max_iters=4)
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1))
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with ``configs/tiny.py``; the current one is another."""
    path = tmp_path / "project"
    (path / "configs").mkdir(parents=True)
    (path / "configs" / "tiny.py").write_text(CONFIG)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    return path


def checked(root: Path, source: str | Path = "configs/tiny.py", *overrides: str, **options: Any) -> Job:
    return check_job("train", source, overrides, options, root)


def test_the_command_line_of_a_job(root: Path) -> None:
    job = checked(
        root,
        "configs/tiny.py",
        "experiment_name='two words'",
        work_dir=Path("a b"),
        workers=2,
        auto_resume=True,
        local=False,
        resume=None,
    )
    assert job.command().startswith("rayseg train configs/tiny.py 'experiment_name=")
    assert job.command().endswith(" --work-dir 'a b' --workers 2 --auto-resume")
    assert shlex.split(job.command())[3] == "experiment_name='two words'"
    assert job.stem == "tiny"
    assert Path.cwd() == root.parent / "elsewhere"


def test_where_a_config_may_be(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert checked(root, root / "configs" / "tiny.py").source == "configs/tiny.py"
    monkeypatch.chdir(root / "configs")
    assert checked(root, "tiny.py").source == "configs/tiny.py"
    there = checked(root, "/nowhere/here/run_7", resume=True)
    assert (there.source, there.config, there.stem) == ("/nowhere/here/run_7", None, "run_7")
    outside = root.parent / "outside.py"
    outside.write_text(CONFIG)
    assert checked(root, outside).source == str(outside)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("configs/tiny.py", "train_cfg.max_iter=1"), {}, "train_cfg.max_iter: IterBasedTrainLoop takes no"),
        (("configs/tiny.py", "randomness.seed=choice([1, 2])"), {}, "randomness.seed: still open"),
        (("configs/tinny.py",), {}, "no such file; did you mean"),
        (("configs/tiny.py",), {"workdir": "x"}, "rayseg train has no option 'workdir'; did you mean 'work_dir'?"),
        (("configs/tiny.py",), {"work_dir": ""}, "--work-dir .*: empty"),
        (("configs/tiny.py",), {"auto_resume": True}, "--auto-resume needs a --work-dir"),
        (("run",), {}, "run: a run directory does not go with a job; give its absolute path there"),
    ],
)
def test_what_is_refused(arguments: tuple[str, ...], options: dict[str, Any], message: str, root: Path) -> None:
    (root / "run").mkdir()
    (root / "run" / "config.py").write_text(CONFIG)
    with pytest.raises(ConfigError, match=message):
        checked(root, *arguments, **options)


@pytest.mark.parametrize("verb", ["tran", "test"])
def test_a_verb_that_no_job_runs(verb: str, root: Path) -> None:
    with pytest.raises(ConfigError, match=r"^rayseg submit: .*a job runs train or tune, not"):
        check_job(verb, "configs/tiny.py", (), {}, root)


def test_a_sweep_may_leave_leaves_open(root: Path) -> None:
    job = check_job("tune", "configs/tiny.py", ["randomness.seed=choice([1, 2])"], {"num_samples": 4}, root)
    assert job.command() == "rayseg tune configs/tiny.py 'randomness.seed=choice([1, 2])' --num-samples 4"


def test_a_variable_that_is_not_set_here_is_no_error(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ELSEWHERE", raising=False)
    monkeypatch.setenv("WANDB_API_KEY", "secret-key")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "secret-token")
    trackers = "trackers=dict(wandb=dict(type='WandB', project='${env:ELSEWHERE}'))"
    config = checked(root, "configs/tiny.py", trackers).config
    assert variables_not_sent(config, {}) == [
        "the config needs ELSEWHERE, which is not sent: set it on the cluster, or add --env ELSEWHERE",
        "WANDB_API_KEY is set here and not sent: --env WANDB_API_KEY sends it",
    ]
    assert variables_not_sent(config, {"ELSEWHERE": "a", "WANDB_API_KEY": "b"}) == []
    assert variables_not_sent(None, {}) == []


def test_variables_to_send(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "value")
    assert variables_to_send(["MY_KEY"]) == {"MY_KEY": "value"}
    for given, message in (
        ("MY_KEYS", "--env MY_KEYS: not set here; did you mean 'MY_KEY'?"),
        ("MY_KEY=value", "--env MY_KEY: give the name only; its value is taken from here"),
        ("MY-KEY", "--env 'MY-KEY': expected the name of an environment variable"),
    ):
        with pytest.raises(ConfigError) as caught:
            variables_to_send([given])
        assert str(caught.value) == message


def test_files_of_the_config_must_go(root: Path) -> None:
    (root / "base").mkdir()
    (root / "base" / "schedule.py").write_text("randomness = dict(seed=1)\n")
    (root / "checkpoints").mkdir()
    (root / "checkpoints" / "r18.pth").touch()
    (root / "configs" / "tiny.py").write_text(
        f"_base_ = ['../base/schedule.py']\nload_from='checkpoints/r18.pth'\n{CONFIG}"
    )
    job = checked(root)
    require_packed(job, select(root, include=["checkpoints/r18.pth"]))
    (root / ".rayignore").write_text("base/\n")
    with pytest.raises(ConfigError) as caught:
        require_packed(job, select(root))
    assert sorted(map(str, caught.value.problems)) == [
        "configs/tiny.py: _base_: base/schedule.py does not go with the job (ignored); --include base/schedule.py",
        "configs/tiny.py: load_from: checkpoints/r18.pth does not go with the job (runs); "
        "--include checkpoints/r18.pth",
    ]


def test_a_base_outside_of_the_working_directory(root: Path) -> None:
    (root.parent / "schedule.py").write_text("randomness = dict(seed=1)\n")
    (root / "configs" / "tiny.py").write_text(f"_base_ = ['../../schedule.py']\n{CONFIG}")
    with pytest.raises(ConfigError, match=r"schedule\.py is outside of the working directory; name one that holds it"):
        require_packed(checked(root), select(root))


def test_data_roots_below_the_working_directory(root: Path) -> None:
    data = "train_dataloader.dataset=dict(type='FolderDataset', data_root='data/fields', split='train')"
    val = "val_dataloader=dict(dataset=dict(type='FolderDataset', data_root='/shared/fields', split='val'))"
    assert set(checked(root, "configs/tiny.py", data, val).data_roots(root)) == {root / "data" / "fields"}
    assert os.listdir(root) == ["configs"]
