"""Registries that know tiny components instead of the real ones, and a complete config over them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rayseg.config import Config, check_config
from rayseg.core import registries
from rayseg.core.errors import ConfigError
from rayseg.core.registry import Registry

from tests.unit.config import components  # isort: skip

NAMES: dict[str, dict[str, type]] = {
    "HOOKS": {
        "IterTimerHook": components.Timer,
        "LoggerHook": components.Logger,
        "ParamSchedulerHook": components.Scheduler,
        "CheckpointHook": components.Checkpoint,
        "DistSamplerSeedHook": components.SamplerSeed,
        "SegVisualizationHook": components.Visualization,
        "EMAHook": components.EMA,
    },
    "LOOPS": {
        "IterBasedTrainLoop": components.Loop,
        "EpochBasedTrainLoop": components.EpochLoop,
        "ValLoop": components.EvalLoop,
        "TestLoop": components.EvalLoop,
    },
    "MODELS": {"Segmentor": components.Segmentor},
    "NETS": {"Net": components.Net, "OpenNet": components.OpenNet},
    "LOSSES": {"CrossEntropyLoss": components.Loss},
    "DATASETS": {"FolderDataset": components.Dataset, "Wrapped": components.Wrapped},
    "TRANSFORMS": {"RandomCrop": components.RandomCrop},
    "METRICS": {"IoUMetric": components.Metric},
    "OPTIM_WRAPPERS": {"OptimWrapper": components.Wrapper, "AmpOptimWrapper": components.AmpWrapper},
    "OPTIMIZERS": {"SGD": components.SGD, "AdamW": components.AdamW},
    "OPTIM_CONSTRUCTORS": {"DefaultOptimWrapperConstructor": components.Constructor},
    "PARAM_SCHEDULERS": {"PolyLR": components.PolyLR},
    "TRACKERS": {"Console": components.Console, "Remote": components.ExitingTracker, "Report": components.Report},
    "VIS_BACKENDS": {"Local": components.Local, "Board": components.Board, "Cloud": components.Cloud},
    "SAMPLERS": {},
}

BASE = """
model = dict(type='Segmentor', net=dict(type='Net', depth=2), loss=[dict(type='CrossEntropyLoss')])
train_dataloader = dict(batch_size=4, dataset=dict(type='FolderDataset', data_root='data',
    pipeline=[dict(type='RandomCrop', crop_size=(8, 8))]))
val_dataloader = dict(dataset=dict(split='val'))
train_cfg = dict(type='IterBasedTrainLoop', max_iters=10)
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1))
"""

Write = Callable[[dict[str, str]], str]


def problems_of(config: Config) -> list[str]:
    """The lines that the checker has for a bad config."""
    with pytest.raises(ConfigError) as error:
        check_config(config)
    return [str(problem) for problem in error.value.problems]


@pytest.fixture(autouse=True)
def tiny_components(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, known in NAMES.items():
        registry: Registry = getattr(registries, name)
        monkeypatch.setattr(registry, "_names", dict(known))
        monkeypatch.setattr(registry, "_libraries", {})


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes files, named by their path below the (new) current directory, and gives the name of the last."""
    monkeypatch.chdir(tmp_path)

    def write_files(files: dict[str, str]) -> str:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return name

    return write_files


@pytest.fixture
def base(write: Write) -> str:
    """``base.py``: a config without a fault."""
    return write({"base.py": BASE})
