"""Population based training with Ray: what a child inherits, what changes in it, its schedule replayed, restarts."""

from __future__ import annotations

import csv
import json
import signal
from pathlib import Path
from typing import Any

import pytest

from rayseg.config import load_config
from rayseg.engine.checkpoint_store import CheckpointStore
from rayseg.orchestration import train
from rayseg.tuning.journal import JOURNAL_FILE, read_journal

from tests.processes import numbers, rayseg  # isort: skip

MINUTES = 6
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
custom_hooks = [dict(type='pbt_notes.Notes')]
env_cfg = dict(control_interval=1)
scaling = dict(resources_per_worker={'CPU': 0.5})
trackers = dict(report=None)
tune = dict(metric='mIoU', num_samples=3, searcher=dict(type='Random', seed=1),
            scheduler=dict(type='PBT', perturbation_interval=6, quantile_fraction=0.34))
"""
HOOK = """
import hashlib, json
from rayseg import Hook

class Notes(Hook):
    def before_train_iter(self, runner, batch_idx, data_batch=None):
        digest = hashlib.sha256()
        for parameter in runner.model.parameters():
            digest.update(parameter.detach().numpy().tobytes())
        groups = {group['name']: [group['initial_lr'], group['lr']] for group in runner.optim_wrapper.param_groups}
        with open(runner.work_dir / 'notes.jsonl', 'a') as file:
            file.write(json.dumps({'iter': runner.iter, 'weights': digest.hexdigest(), 'groups': groups}) + '\\n')
"""
TIMES = {"time", "iter_time", "data_time", "eta_s", "samples_per_s", "memory_mb", "host_memory_mb"}


def journal(sweep_dir: Path, event: str) -> list[dict[str, Any]]:
    if not (sweep_dir / JOURNAL_FILE).exists():
        return []
    return [line for line in read_journal(sweep_dir) if line["event"] == event]


def apart_from_times(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in line.items() if key not in TIMES} for line in lines]


def notes(sweep_dir: Path, trial: str, at: int) -> dict[str, Any]:
    """What the hook noted last before an iteration of a trial: a hash of the weights, two rates of each group."""
    found = [line for line in numbers(sweep_dir / "trials" / trial, "notes.jsonl") if line["iter"] == at]
    return found[-1]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("population")
    (path / "pbt.py").write_text(CONFIG)
    (path / "pbt_notes.py").write_text(HOOK)
    return path


def tune(workspace: Path, name: str, *overrides: str) -> Path:
    """A whole sweep, in a process of its own."""
    with rayseg("tune", "pbt.py", *overrides, "--work-dir", name, cwd=workspace) as command:
        code, out, err = command.finish(MINUTES * 60)
        assert code == 0, f"{out}\n{err}"
        command.all_gone(120)
    return workspace / name


@pytest.fixture(scope="module")
def sweep(workspace: Path) -> Path:
    """A sweep of three direct trials that nothing happens to."""
    return tune(workspace, "whole")


def test_a_child_inherits_the_donors_state_bit_for_bit(sweep: Path) -> None:
    exploited = journal(sweep, "exploited")
    assert [line["iter"] for line in exploited] == [6, 12], "one of three, at each comparison"
    last = exploited[-1]
    donor, child = notes(sweep, last["donor"], 12), notes(sweep, last["trial"], 12)
    assert child["weights"] == donor["weights"]
    assert child["groups"] != donor["groups"]
    one, other = (numbers(sweep / "trials" / last[who]) for who in ("donor", "trial"))
    assert [line for line in other if line["iter"] < 12] == [line for line in one if line["iter"] < 12]


def test_the_changed_values_are_in_the_childs_config_and_optimizer(sweep: Path) -> None:
    last = journal(sweep, "exploited")[-1]
    config = load_config(sweep / "trials" / last["trial"] / "config.py")
    base, schedule = config["optim_wrapper"], config["custom_hooks"][-1]["changes"]
    assert schedule == last["schedule"]
    donors = load_config(sweep / "trials" / last["donor"] / "config.py")
    assert (base, config["randomness"], config["model"]) == (
        donors["optim_wrapper"], donors["randomness"], donors["model"],
    )  # fmt: skip
    rate, mult = last["changes"][LR], last["changes"]["optim_wrapper.paramwise_cfg.bias_lr_mult"]
    for at in (12, 15):
        groups = notes(sweep, last["trial"], at)["groups"]
        left = (1 - at / 17) ** 0.9  # of PolyLR, whose last step is the 17th
        assert groups["default"] == pytest.approx([rate, rate * left])
        assert groups["bias"] == pytest.approx([rate * mult, rate * mult * left])


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


@pytest.mark.slow
def test_a_driver_killed_at_a_takeover_leaves_no_trace(workspace: Path, sweep: Path) -> None:
    """Whether the child had already taken over or not. A donor keeps its checkpoint although it keeps only one."""
    killed = workspace / "killed"
    with rayseg("tune", "pbt.py", "--work-dir", "killed", cwd=workspace) as driver:
        driver.wait_for(lambda: journal(killed, "exploited"), 120, "a takeover")
        driver.send(signal.SIGKILL)
        driver.finish(10)
        driver.all_gone(120)
    with rayseg("tune", "killed", "--resume", cwd=workspace) as driver:
        code, out, err = driver.finish(MINUTES * 60)
        assert code == 0, f"{out}\n{err}"
    assert (killed / "lineage.json").read_text() == (sweep / "lineage.json").read_text()
    assert outcome(killed) == outcome(sweep)


def outcome(sweep_dir: Path) -> list[dict[str, str]]:
    with (sweep_dir / "trials.csv").open() as file:
        return [{key: row[key] for key in row if key != "seconds"} for row in csv.DictReader(file)]


@pytest.mark.slow
def test_trials_of_two_workers(workspace: Path) -> None:
    """Their workers train on while the others are waited for; the child goes back to the donor's checkpoint."""
    shorter = ("train_cfg.max_iters=12", "tune.num_samples=2", "default_hooks.checkpoint.max_keep_ckpts=-1")
    sweep_dir = tune(workspace, "nested", *shorter, "scaling.num_workers=2")
    (line,) = journal(sweep_dir, "exploited")
    donor, child = (notes(sweep_dir, line[who], 6) for who in ("donor", "trial"))
    assert child["weights"] == donor["weights"]
    assert child["groups"]["default"][0] == pytest.approx(line["changes"][LR])
    assert [row["status"] for row in outcome(sweep_dir)] == ["finished"] * 2
