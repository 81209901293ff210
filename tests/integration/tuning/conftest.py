"""One Ray for all tests here, and a user's directory with a config that is swept in seconds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rayseg.config.settings import Scaling
from rayseg.orchestration.cluster import connected
from rayseg.tuning import SweepResult, tune
from rayseg.tuning.journal import read_journal

from tests.processes import wait_until  # isort: skip

CONFIG = """
from rayseg.search import *
model = dict(type='Segmentor', net=dict(type='user_code.Net'), loss=dict(type='CrossEntropyLoss'),
             data_preprocessor=dict(mean=[127.5, 127.5, 127.5], std=[64.0, 64.0, 64.0]))
train_dataloader = dict(batch_size=2, dataset=dict(type='tests.toys.ToyDataset', size=8))
val_dataloader = dict(batch_size=4, dataset=dict(type='tests.toys.ToyDataset', size=4, first=100, test_mode=True))
train_cfg = dict(type='IterBasedTrainLoop', max_iters=12, val_interval=4)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=loguniform(1e-3, 1e-1), momentum=0.9))
default_hooks = dict(checkpoint=dict(interval=3, max_keep_ckpts=2), visualization=None, logger=dict(interval=2))
randomness = dict(seed=3, threads=1)
env_cfg = dict(control_interval=1)
trackers = dict(report=None, tensorboard=None)
tune = dict(metric='mIoU', num_samples=4, max_concurrent=2, searcher=dict(type='Random', seed=5))
"""


@dataclass(frozen=True)
class Workspace:
    """A user's directory: ``tiny.py`` and ``user_code.py``."""

    path: Path

    @property
    def config(self) -> Path:
        """The config file."""
        return self.path / "tiny.py"

    def tune(self, name: str, overrides: dict[str, Any] | None = None, **arguments: Any) -> SweepResult:
        """Sweep it in this process's Ray; the directory's name is ``name``."""
        return tune(self.config, work_dir=self.path / name, overrides=overrides or {}, **arguments)

    def command(self, name: str, overrides: dict[str, Any] | None = None) -> list[str]:
        """The same as a command line."""
        changes = [f"{key}={value!r}" for key, value in (overrides or {}).items()]
        return ["tune", str(self.config), *changes, "--work-dir", str(self.path / name)]


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Written once."""
    path = tmp_path_factory.mktemp("sweeps")
    (path / "tiny.py").write_text(CONFIG)
    shutil.copy(Path(__file__).parent / "user_code.py", path)
    return Workspace(path)


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    """The address of a local Ray, started as rayseg starts it, to which this process is connected."""
    with connected(Scaling(num_workers=2)):
        import ray

        yield ray.get_runtime_context().gcs_address


@pytest.fixture(scope="session")
def undisturbed(workspace: Workspace, cluster: str) -> SweepResult:
    """Four random trials to which nothing happens."""
    return workspace.tune("undisturbed", {"custom_hooks": [{"type": "user_code.Hold", "trials": [], "at": 7}]})


def events(sweep_dir: Path, *kinds: str, trial: str | None = None) -> list[dict[str, Any]]:
    """The journal's lines of these kinds, of one trial or of all; none before there is a journal."""
    if not (sweep_dir / "journal.jsonl").exists():
        return []
    return [
        line
        for line in read_journal(sweep_dir)
        if (not kinds or line["event"] in kinds) and trial in (None, line.get("trial"))
    ]


def held(sweep_dir: Path, *trials: str) -> bool:
    """Whether each of them waits in its Hold hook."""
    return all(list((sweep_dir / "trials" / trial).glob("held_*")) for trial in trials)


def rows(result: SweepResult) -> list[dict[str, Any]]:
    """The rows of a sweep, without its times."""
    return [{key: value for key, value in row.items() if key != "seconds"} for row in result.trials]


def run_facts(sweep_dir: Path, trial: str) -> dict[str, Any]:
    """The ``run.json`` of a trial."""
    facts: dict[str, Any] = json.loads((sweep_dir / "trials" / trial / "run.json").read_text())
    return facts


def trial_processes_gone(sweep_dir: Path, seconds: float = 60) -> None:
    """Wait until no process prints into the directory of a trial, nor of a trial's workers."""
    logs = str(sweep_dir / "trials")

    def found() -> list[str]:
        links = []
        for link in Path("/proc").glob("[0-9]*/fd/1"):
            try:
                target = str(link.readlink())
            except OSError:
                continue
            links += [target] if target.startswith(logs) else []
        return links

    wait_until(lambda: not found(), seconds, "no process of a trial is left")
