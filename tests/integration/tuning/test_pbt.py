"""Population based training with Ray: what a child inherits, what changes in it, its schedule replayed, and restarts."""

from __future__ import annotations

import csv
import json
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from rayseg.config import load_config
from rayseg.engine.checkpoint_store import Checkpoint, CheckpointStore
from rayseg.engine.state import TRAINING_FILE, load_model_file, load_torch
from rayseg.orchestration import train
from rayseg.tuning.journal import JOURNAL_FILE, read_journal

from tests.processes import numbers, rayseg  # isort: skip

LR = "optim_wrapper.optimizer.lr"
CONFIG = """
from rayseg.search import *
model = dict(type='Segmentor', net=dict(type='tests.toys.ToyNet', width=choice([6, 8])),
             loss=dict(type='CrossEntropyLoss'))
train_dataloader = dict(batch_size=2, dataset=dict(type='tests.toys.ToyDataset', size=8))
val_dataloader = dict(batch_size=4, dataset=dict(type='tests.toys.ToyDataset', size=4, first=100, test_mode=True))
train_cfg = dict(type='IterBasedTrainLoop', max_iters=18, val_interval=6)
optim_wrapper = dict(type='OptimWrapper', paramwise_cfg=dict(bias_lr_mult=uniform(1.5, 3.0)),
                     optimizer=dict(type='SGD', lr=loguniform(1e-4, 1e-1), momentum=0.9))
param_scheduler = [dict(type='PolyLR', power=0.9, by_epoch=False)]
default_hooks = dict(checkpoint=dict(interval=3, max_keep_ckpts=1, save_best='mIoU'), visualization=None,
                     logger=dict(interval=2))
randomness = dict(seed=choice([3, 4, 5]))
env_cfg = dict(control_interval=1)
scaling = dict(resources_per_worker={'CPU': 0.5})
trackers = dict(report=None)
tune = dict(metric='mIoU', num_samples=3, searcher=dict(type='Random', seed=1),
            scheduler=dict(type='PBT', perturbation_interval=6, quantile_fraction=0.34))
"""
TIMES = {"time", "iter_time", "data_time", "eta_s", "samples_per_s", "memory_mb", "host_memory_mb"}


def journal(sweep_dir: Path, event: str) -> list[dict[str, Any]]:
    if not (sweep_dir / JOURNAL_FILE).exists():
        return []
    return [line for line in read_journal(sweep_dir) if line["event"] == event]


def apart_from_times(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in line.items() if key not in TIMES} for line in lines]


def checkpoint(sweep_dir: Path, trial: str, name: str) -> Checkpoint:
    return CheckpointStore(sweep_dir / "trials" / trial / "checkpoints").load(name)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("population")
    (path / "pbt.py").write_text(CONFIG)
    return path


def tune(workspace: Path, name: str, *overrides: str) -> Path:
    """A whole sweep, in a process of its own."""
    with rayseg("tune", "pbt.py", *overrides, "--work-dir", name, cwd=workspace) as command:
        code, out, err = command.finish(240)
        assert code == 0, f"{out}\n{err}"
        command.all_gone()
    return workspace / name


@pytest.fixture(scope="module")
def sweep(workspace: Path) -> Path:
    """A sweep of three direct trials that nothing happens to; every checkpoint is kept."""
    return tune(workspace, "whole", "default_hooks.checkpoint.max_keep_ckpts=-1")


def test_a_child_inherits_the_donors_state_bit_for_bit(sweep: Path) -> None:
    exploited = journal(sweep, "exploited")
    assert [line["iter"] for line in exploited] == [6, 12], "one of three, at each comparison"
    last = exploited[-1]
    at = last["checkpoint"]
    donor, child = checkpoint(sweep, last["donor"], at), checkpoint(sweep, last["trial"], at)
    assert child.files == donor.files
    for name, tensor in load_model_file(donor).items():
        assert torch.equal(load_model_file(child)[name], tensor)
    assert numbers(sweep / "trials" / last["trial"])[:3] == numbers(sweep / "trials" / last["donor"])[:3]


def test_the_changed_values_are_in_the_childs_config_and_optimizer(sweep: Path) -> None:
    last = journal(sweep, "exploited")[-1]
    config = load_config(sweep / "trials" / last["trial"] / "config.py")
    base, schedule = config["optim_wrapper"], config["custom_hooks"][-1]["changes"]
    assert schedule == last["schedule"]
    donors = load_config(sweep / "trials" / last["donor"] / "config.py")
    assert (base, config["randomness"], config["model"]) == (
        donors["optim_wrapper"], donors["randomness"], donors["model"],
    )  # fmt: skip
    groups = load_torch(checkpoint(sweep, last["trial"], "iter_15"), TRAINING_FILE)["optim_wrapper"]["optimizer"]
    rate, mult = last["changes"][LR], last["changes"]["optim_wrapper.paramwise_cfg.bias_lr_mult"]
    found = {group["name"]: group for group in groups["param_groups"]}
    left = (1 - 15 / 17) ** 0.9  # of PolyLR, whose last step is the 17th
    assert found["default"]["initial_lr"] == pytest.approx(rate)
    assert found["bias"]["initial_lr"] == pytest.approx(rate * mult)
    assert found["bias"]["lr"] == pytest.approx(rate * mult * left)


def test_the_lineage_is_written(sweep: Path) -> None:
    wanted: dict[str, list[Any]] = {f"{number:04d}": [] for number in range(3)}
    for line in journal(sweep, "exploited"):
        entry = {key: line[key] for key in ("iter", "donor", "checkpoint", "changes")}
        wanted[line["trial"]].append(entry)
    assert json.loads((sweep / "lineage.json").read_text()) == wanted
    pins = [CheckpointStore(sweep / "trials" / trial / "checkpoints").pins() for trial in wanted]
    assert {label for labels in pins for label in labels} == {"best_mIoU"}, "nothing else is held"


def test_a_childs_config_trained_from_the_start_gives_its_numbers(sweep: Path, tmp_path: Path) -> None:
    """The schedule that the sweep found, replayed by the hook: every number of every line."""
    child = sweep / "trials" / journal(sweep, "exploited")[-1]["trial"]
    run = train(child / "config.py", work_dir=tmp_path / "replay", local=True)
    assert run.status == "finished"
    assert apart_from_times(numbers(tmp_path / "replay")) == apart_from_times(numbers(child))
    assert json.loads((child / "run.json").read_text())["best"] == run.best


def test_a_driver_killed_at_a_takeover_leaves_no_trace(workspace: Path, sweep: Path) -> None:
    """Whether the child had already taken over or not. A donor keeps its checkpoint although it keeps only one."""
    killed = workspace / "killed"
    with rayseg("tune", "pbt.py", "--work-dir", "killed", cwd=workspace) as driver:
        driver.wait_for(lambda: journal(killed, "exploited"), 120, "a takeover")
        driver.send(signal.SIGKILL)
        driver.finish(10)
        driver.all_gone()
    with rayseg("tune", "killed", "--resume", cwd=workspace) as driver:
        code, out, err = driver.finish(240)
        assert code == 0, f"{out}\n{err}"
    assert (killed / "lineage.json").read_text() == (sweep / "lineage.json").read_text()
    assert outcome(killed) == outcome(sweep)


def outcome(sweep_dir: Path) -> list[dict[str, str]]:
    with (sweep_dir / "trials.csv").open() as file:
        return [{key: row[key] for key in row if key != "seconds"} for row in csv.DictReader(file)]


def test_trials_of_two_workers(workspace: Path) -> None:
    """Their workers train on while the others are waited for; the child goes back to the donor's checkpoint."""
    shorter = ("train_cfg.max_iters=12", "default_hooks.checkpoint.max_keep_ckpts=-1", "tune.num_samples=2")
    sweep_dir = tune(workspace, "nested", *shorter, "scaling.num_workers=2")
    (line,) = journal(sweep_dir, "exploited")
    donor, child = (checkpoint(sweep_dir, line[who], "iter_6") for who in ("donor", "trial"))
    assert donor.facts["world_size"] == 2
    assert child.files == donor.files
    groups = load_torch(checkpoint(sweep_dir, line["trial"], "iter_9"), TRAINING_FILE)["optim_wrapper"]["optimizer"]
    assert groups["param_groups"][0]["initial_lr"] == pytest.approx(line["changes"][LR])
    assert [row["status"] for row in outcome(sweep_dir)] == ["finished"] * 2
