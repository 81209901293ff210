"""``rayseg tune`` as a user types it: from the dry run to the best config, which gives its score again."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from tests.processes import REPOSITORY

from tests.system.conftest import Rayseg  # isort: skip
from tests.system.test_layer_decay_experiments import tiles  # noqa: F401  isort: skip

SPACE = """
from rayseg.search import choice, loguniform
optim_wrapper = choice(
    sgd=dict(optimizer=dict(type='SGD', lr=loguniform(1e-3, 1e-1))),
    adam=dict(type='AmpOptimWrapper', dtype='bfloat16', accumulative_counts=choice([1, 2]),
              optimizer=dict(type='AdamW', lr=loguniform(1e-4, 1e-2))),
)
default_hooks = dict(checkpoint=dict(interval=2), visualization=None)
tune = dict(num_samples=2, metric='mIoU')
"""


@pytest.fixture
def sweep(config: Path) -> Path:
    """``tiny.py`` with an open optimizer wrapper."""
    config.write_text(config.read_text() + SPACE)
    return config


def scores(run_dir: Path) -> list[tuple[int, float, float]]:
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return [(line["iter"], line["mIoU"], line["loss"]) for line in lines if line["mode"] == "val"]


def test_the_plan(rayseg: Rayseg, sweep: Path, tmp_path: Path) -> None:
    answer = rayseg("tune", sweep, "--dry-run")
    assert answer.code == 0, answer.err
    lines = [" ".join(line.split()) for line in answer.out.splitlines()]
    assert "space 4 dimensions, infinitely many points" in lines
    assert "accumulative_counts: choice: 1, 2" in lines
    assert "trials 2 of up to 4 iterations, by Random(), none stopped early" in lines
    assert "checked whole 3 trials, each option of each choice in at least one:" in lines
    assert not (tmp_path / "work_dirs").exists()
    facts = json.loads(rayseg("tune", sweep, "--dry-run", "--json", "tune.num_samples=5").out)
    assert facts["trials"] == 5
    assert facts["resources"]["workers_per_trial"] == 1
    assert [entry["draw"]["optim_wrapper"] for entry in facts["checked"]] == ["sgd", "adam", "adam"]


def test_a_leaf_from_the_command_line(rayseg: Rayseg, config: Path) -> None:
    lr = "optim_wrapper.optimizer.lr=grid([0.1, 0.01])"
    facts = json.loads(rayseg("tune", config, "--dry-run", "--json", lr).out)
    assert facts["space"] == {
        "size": 2,
        "dimensions": [
            {
                "name": "optim_wrapper.optimizer.lr",
                "key": "optim_wrapper.optimizer.lr",
                "kind": "grid",
                "options": [0.1, 0.01],
            }
        ],
    }
    assert facts["trials"] == 2
    refused = rayseg("train", config, lr, "--local")
    assert refused.code == 2
    assert refused.errors == [
        "command line: optim_wrapper.optimizer.lr: still open: 'rayseg tune' draws it, here give it a value"
    ]


def test_a_sweep_and_its_best_config(rayseg: Rayseg, sweep: Path, tmp_path: Path) -> None:
    answer = rayseg("tune", sweep, "--work-dir", "sweep", "--json")
    assert answer.code == 0, answer.err
    found = json.loads(answer.out)
    directory = tmp_path / "sweep"
    assert found["status"] == "finished"
    assert [row["status"] for row in found["trials"]] == ["finished"] * 2
    trials = [scores(directory / "trials" / row["trial"]) for row in found["trials"]]
    best = [max(score for _, score, _ in trial) for trial in trials]
    assert found["best"]["value"] == max(best)
    rows = list(csv.DictReader((directory / "trials.csv").read_text().splitlines()))
    assert [float(row["mIoU"]) for row in rows] == best
    assert f"by trial {found['best']['trial']} at iteration" in (directory / "report.html").read_text()
    assert rayseg("report", "sweep", "--out", "again.html").out.split()[-1] == "again.html"

    assert rayseg("train", directory / "best_config.py", "--local", "--work-dir", "again").code == 0
    assert scores(tmp_path / "again") == scores(directory / "trials" / found["best"]["trial"])

    assert rayseg("tune", sweep, "--work-dir", "sweep").errors == [
        f"{directory} already holds a sweep: go on with --resume, or name another --work-dir"
    ]
    before = [row["seconds"] for row in rows]
    more = rayseg("tune", "sweep", "--resume", "--num-samples", "3", "--json")
    assert more.code == 0, more.err
    rows = json.loads(more.out)["trials"]
    assert len(rows) == 3
    assert [str(row["seconds"]) for row in rows[:2]] == before  # not run again
    exported = rayseg("tune", "sweep", "--export-best", "2")
    assert exported.out.splitlines() == [f"sweep/best_0{n}_{name}.py" for n, name in enumerate(_ranked(rows)[:2], 1)]


def _ranked(rows: list[dict[str, Any]]) -> list[str]:
    return [row["trial"] for row in sorted(rows, key=lambda row: -row["mIoU"])]


def test_the_experiment_is_checked_whole(rayseg: Rayseg, tiles: Path) -> None:  # noqa: F811
    experiment = REPOSITORY / "experiments" / "sweeps" / "bluemarble_optim.py"
    facts = json.loads(
        rayseg("tune", experiment, "--dry-run", "--json", f"train_dataloader.dataset.data_root={tiles}").out
    )
    names = {dimension["name"] for dimension in facts["space"]["dimensions"]}
    assert {
        "optim_wrapper",
        "optim_wrapper.optimizer",
        "optim_wrapper.optimizer[SGD].lr",
        "variants.layer_decay",
    } <= names
    assert facts["trials"] == 8
