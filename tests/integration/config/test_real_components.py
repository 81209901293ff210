# ruff: noqa: E501 (configs, written as their users write them)
"""Configs over the real components: what MM users write, the files in experiments/, and the examples in the docs."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import pytest

from rayseg.config import check_config, complete_config, load_config
from rayseg.core.errors import ConfigError

ROOT = Path(__file__).parents[3]
EXPERIMENTS = ROOT / "experiments"
WHOLE = sorted(path for path in EXPERIMENTS.rglob("*.py") if "_base_" not in path.parts)
PARTS = {
    room: sorted((EXPERIMENTS / "_base_" / room).glob("*.py"))
    for room in ("models", "datasets", "schedules", "runtime")
}

# Word for word from the project's first issue.
AS_MM_USERS_WRITE = """
default_hooks = dict(timer=dict(type='IterTimerHook'), logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=False), param_scheduler=dict(type='ParamSchedulerHook'),
                     checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=32000), sampler_seed=dict(type='DistSamplerSeedHook'), visualization=dict(type='SegVisualizationHook'))
custom_hooks = [dict(type='EMAHook', start_iters=500, priority='NORMAL')]
"""

RECIPE = """
model = dict(type='Segmentor', net=dict(type='smp.Unet', encoder_name='resnet18', encoder_weights=None),
             loss=[dict(type='CrossEntropyLoss'), dict(type='DiceLoss', loss_weight=0.5)], data_preprocessor=dict(mean='imagenet', std='imagenet'))
train_dataloader = dict(batch_size=4, num_workers=2, dataset=dict(type='FolderDataset', data_root='data/bluemarble', split='train',
    pipeline=[dict(type='RandomCrop', crop_size=(128, 128), cat_max_ratio=0.75), dict(type='RandomFlip', prob=0.5)]))
val_dataloader = dict(dataset=dict(split='val'))
train_cfg = dict(type='IterBasedTrainLoop', max_iters=300, val_interval=100)
optim_wrapper = dict(type='AmpOptimWrapper', dtype='bfloat16', optimizer=dict(type='AdamW', lr=2e-3), clip_grad=dict(max_norm=1.0))
param_scheduler = [dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=30), dict(type='PolyLR', power=0.9, by_epoch=False, begin=30)]
scaling = dict(num_workers=2)
"""


def problems(text: str, folder: Path) -> list[str]:
    path = folder / "a.py"
    path.write_text(text)
    try:
        check_config(load_config(path))
    except ConfigError as error:
        return [f"{problem.key}: {problem.message}" for problem in error.problems]
    return []


def test_hooks_as_mm_users_write_them(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text(RECIPE + AS_MM_USERS_WRITE)
    config = load_config(path)
    assert check_config(config) == []
    completed = complete_config(config)
    assert completed.default_hooks == config.default_hooks
    (tmp_path / "dumped.py").write_text(completed.dump())
    assert load_config(tmp_path / "dumped.py") == completed


@pytest.mark.parametrize("path", WHOLE, ids=lambda path: path.stem)
def test_every_experiment_is_valid_and_survives_its_own_dump(path: Path, tmp_path: Path) -> None:
    completed = complete_config(load_config(path))
    of_the_encoder = ": only the **kwargs of smp.DPT takes it"
    assert [note for note in check_config(completed) if not note.endswith(of_the_encoder)] == []
    (tmp_path / "dumped.py").write_text(completed.dump())
    assert load_config(tmp_path / "dumped.py") == completed


@pytest.mark.parametrize("model", PARTS["models"], ids=lambda path: path.stem)
@pytest.mark.parametrize("schedule", PARTS["schedules"], ids=lambda path: path.stem)
@pytest.mark.parametrize("dataset", PARTS["datasets"], ids=lambda path: path.stem)
def test_parts_of_base_fit_each_other(model: Path, schedule: Path, dataset: Path, tmp_path: Path) -> None:
    bases = [str(path) for path in (model, dataset, schedule, *PARTS["runtime"])]
    assert problems(f"_base_ = {bases!r}", tmp_path) == []


@pytest.mark.parametrize(
    ("line", "key", "message"),
    [
        ("model['net']['encoder_nam'] = 'x'", "model.net.encoder_nam", "did you mean 'encoder_name'?"),
        ("model['net']['type'] = 'smp.Unett'", "model.net.type", "did you mean 'smp.Unet'?"),
        ("model['loss'] = dict(type='CrossEntropy')", "model.loss.type", "did you mean 'CrossEntropyLoss'?"),
        ("optim_wrapper['optimizer']['lr'] = '1e-3'", "optim_wrapper.optimizer.lr", "write the number without quotes"),
        ("optim_wrapper['optimizer']['type'] = 'AdmW'", "optim_wrapper.optimizer.type", "did you mean 'AdamW'?"),
        ("optim_wrapper['type'] = 'OptimWrapper'", "optim_wrapper.dtype", "takes no 'dtype'"),
        ("optim_wrapper['optimiser'] = 1", "optim_wrapper.optimiser", "did you mean 'optimizer'?"),
        ("train_cfg['max_iter'] = 5", "train_cfg.max_iter", "did you mean 'max_iters'?"),
        ("train_cfg['max_iters'] = 3e2", "train_cfg.max_iters", "expected int, found 300.0; write 300"),
        ("custom_hooks = [dict(type='EMAHok')]", "custom_hooks.0.type", "did you mean 'EMAHook'?"),
        ("custom_hooks = [dict(type='EMAHook', start_iter=5)]", "custom_hooks.0.start_iter", "did you mean 'start_iters'?"),
        ("custom_hooks = [dict(type='EMAHook', priority='NORML')]", "custom_hooks.0.priority", "did you mean 'NORMAL'?"),
        ("default_hooks = dict(checkpoint=dict(intervall=5))", "default_hooks.checkpoint.intervall", "did you mean 'interval'?"),
        ("param_scheduler[1]['powr'] = 1.0", "param_scheduler.1.powr", "did you mean 'power'?"),
        ("val_evaluator = dict(type='IouMetric')", "val_evaluator.type", "did you mean 'IoUMetric'?"),
        ("train_dataloader['dataset']['pipeline'][0]['crop_sise'] = 3", "train_dataloader.dataset.pipeline.0.crop_sise", "did you mean 'crop_size'?"),
        ("train_dataloader['dataset'] = train_dataloader['dataset'],", "train_dataloader.dataset", "Is there a trailing comma?"),
        ("scaling['num_worker'] = 2", "scaling.num_worker", "did you mean 'num_workers'?"),
        ("trackers = dict(mlflow=dict(type='MLflo', token='abc'))", "trackers.mlflow.token", "a secret does not belong in a config"),
    ],
)  # fmt: skip
def test_one_mistake(line: str, key: str, message: str, tmp_path: Path) -> None:
    found = problems(RECIPE + line, tmp_path)
    assert [text for text in found if text.startswith(f"{key}: ") and message in text], found


def test_several_mistakes_come_at_once(tmp_path: Path) -> None:
    text = RECIPE + "train_cfg['max_iter'] = 5\nmodel['loss'] = dict(type='CrossEntropy')\nscaling['num_worker'] = 2\n"
    assert {line.partition(":")[0] for line in problems(text, tmp_path)} == {
        "train_cfg.max_iter",
        "model.loss.type",
        "scaling.num_worker",
    }


def test_the_data_set_beside_a_concatenated_one_needs_a_type(tmp_path: Path) -> None:
    text = "train_dataloader['dataset'] = dict(type='ConcatDataset', datasets=[train_dataloader['dataset']])\n"
    (problem,) = problems(RECIPE + text, tmp_path)
    assert problem.startswith("val_dataloader.dataset: ")
    assert "'type'" in problem
    assert problems(f"{RECIPE}{text}val_dataloader = dict()\n", tmp_path) == []


def blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


@pytest.mark.parametrize("page", ["README.md", "docs/config.md"])
def test_configs_in_the_docs_are_valid(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "experiments" / "docs"
    folder.mkdir(parents=True)
    (tmp_path / "experiments" / "_base_").symlink_to(EXPERIMENTS / "_base_")
    (folder / "my_hooks.py").write_text(blocks("docs/own-hook.md")[0])
    configs = [block for block in blocks(page) if block.startswith("_base_")]
    assert configs
    for text in configs:
        assert problems(text, folder) == []
    sys.modules.pop("my_hooks", None)


def test_the_hook_of_the_docs_passes_its_own_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hook, config, test = blocks("docs/own-hook.md")
    (tmp_path / "my_hooks.py").write_text(hook)
    (tmp_path / "own_hook_test.py").write_text(test)
    monkeypatch.syspath_prepend(str(tmp_path))
    module = importlib.import_module("own_hook_test")
    module.test_the_norm_is_noted_at_intervals_and_the_largest_survives()
    assert problems(RECIPE + config, tmp_path) == []
    for name in ("my_hooks", "own_hook_test"):
        sys.modules.pop(name, None)
