"""One Ray, one small data set on disk, and one undisturbed run for all tests here."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rayseg.config.settings import Scaling
from rayseg.orchestration import train
from rayseg.orchestration.cluster import connected
from rayseg.orchestration.results import RunResult
from tests.tiny_folder import write_tiny_folder

EMA = {"type": "EMAHook", "momentum": 0.2}
CONFIG = """
model = dict(type='Segmentor', net=dict(type='user_code.BatchNormNet'), loss=dict(type='CrossEntropyLoss'),
             data_preprocessor=dict(mean=[127.5, 127.5, 127.5], std=[64.0, 64.0, 64.0]))
train_dataloader = dict(batch_size=2, dataset=dict(type='FolderDataset', data_root={root!r}, split='train',
    pipeline=[dict(type='RandomCrop', crop_size=(16, 16)), dict(type='RandomFlip', prob=0.5)]))
val_dataloader = dict(dataset=dict(split='val'))
train_cfg = dict(type='IterBasedTrainLoop', max_iters=12, val_interval=6)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.05, momentum=0.9))
param_scheduler = [dict(type='PolyLR', power=0.9, begin=0, end=12, by_epoch=False)]
default_hooks = dict(logger=dict(type='LoggerHook', interval=2),
                     checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=4, save_best='mIoU'))
custom_hooks = [{ema!r}]
randomness = dict(seed=3, threads=1)
env_cfg = dict(control_interval=2)
scaling = dict(num_workers=2)
"""


@dataclass(frozen=True)
class Workspace:
    """A user's directory: ``tiny.py``, ``user_code.py`` and a data set."""

    path: Path

    @property
    def config(self) -> Path:
        """The config file."""
        return self.path / "tiny.py"

    def train(self, name: str, *hooks: dict[str, Any], **arguments: Any) -> RunResult:
        """Run it in this process's Ray, with more hooks than the config has."""
        overrides = {**arguments.pop("overrides", {})}
        if hooks:
            overrides["custom_hooks"] = [EMA, *hooks]
        return train(self.config, work_dir=self.path / name, overrides=overrides, **arguments)

    def command(self, name: str, *hooks: dict[str, Any]) -> list[str]:
        """The same as a command line."""
        hook_list = f"custom_hooks={[EMA, *hooks]!r}"
        return ["train", str(self.config), hook_list, "--work-dir", str(self.path / name)]


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Written once, with ten training and five validation images."""
    path = tmp_path_factory.mktemp("workspace")
    write_tiny_folder(path / "data", train=10, val=5)
    (path / "tiny.py").write_text(CONFIG.format(root=str(path / "data"), ema=EMA))
    shutil.copy(Path(__file__).parent / "user_code.py", path)
    return Workspace(path)


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    """The address of a local Ray, started as rayseg starts it, to which this process is connected."""
    with connected(Scaling(num_workers=2)):
        import ray

        yield ray.get_runtime_context().gcs_address


@pytest.fixture(scope="session")
def undisturbed(workspace: Workspace, cluster: str) -> RunResult:
    """A run of two Ray workers to which nothing happens."""
    return workspace.train("undisturbed")


TIMES = {"time", "iter_time", "data_time", "eta_s", "samples_per_s", "memory_mb", "host_memory_mb"}


def apart_from_times(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Lines of ``metrics.jsonl`` without what depends on the machine's mood."""
    return [{key: value for key, value in line.items() if key not in TIMES} for line in lines]
