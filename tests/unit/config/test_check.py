# ruff: noqa: C408, E501 (tables of configs, written as configs are)
from __future__ import annotations

import pytest

from rayseg.config import check_config, complete_config, find_search_leaves, load_config
from rayseg.core.errors import ConfigError

from tests.unit.config.conftest import BASE, Write, problems_of  # isort: skip


def test_a_good_config_has_no_problems_and_no_notes(base: str) -> None:
    config = load_config(base)
    assert check_config(config) == []
    assert check_config(complete_config(config)) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        # misspelt and missing names
        ("model = dict(net=dict(dept=3))", "child.py: model.net.dept: Net takes no 'dept' (found 3); did you mean 'depth'?"),
        ("model = dict(net=dict(xyzzy=3))", "child.py: model.net.xyzzy: Net takes no 'xyzzy' (found 3); it takes depth, width, channels, act"),
        ("model = dict(net=dict(_delete_=True, type='Net'))", "child.py: model.net: Net needs 'depth' (int)"),
        ("model = dict(net=dict(type='Nett', dept=1))", "child.py: model.net.type: unknown network 'Nett'; did you mean 'Net'?"),
        ("model = dict(net=dict(type='no.such.Net'))", "child.py: model.net.type: no module named 'no' (for 'no.such')"),
        ("model = dict(net=dict(type='tests.unit.config.components.Nett'))", "child.py: model.net.type: module 'tests.unit.config.components' has no 'Nett'; did you mean 'Net'?"),
        ("model = dict(net=dict(type='tests.unit.config.components.Net', dept=1))", "child.py: model.net.dept: tests.unit.config.components.Net takes no 'dept' (found 1); did you mean 'depth'?"),
        ("model = dict(net=dict(_delete_=True, depth=1))", "child.py: model.net: a network needs a 'type', found dict(depth=1)"),
        ("model = dict(net=dict(_delete_=True, type='OpenNet', encoder_name='x', encoder_nam='r'))", "child.py: model.net.encoder_nam: OpenNet has no 'encoder_nam' (found 'r'); did you mean 'encoder_name'?"),
        # wrong values
        ("model = dict(net=dict(depth='3'))", "child.py: model.net.depth: expected int, found '3'; write the number without quotes"),
        ("model = dict(net=dict(channels=8))", "child.py: model.net.channels: expected Sequence[int], found 8"),
        ("model = dict(net=None)", "child.py: model.net: expected dict(type=...) of a network, found None"),
        ("model = dict(loss=[dict(type='CrossEntropyLoss', reduction='men')])", "child.py: model.loss.0.reduction: expected 'mean' | 'sum', found 'men'; did you mean 'mean'?"),
        ("model = dict(data_preprocessor=dict(meen='imagenet'))", "child.py: model.data_preprocessor.meen: no such key (found 'imagenet'); did you mean 'mean'?"),
        ("data_preprocessor = dict(std=1)", "child.py: model.data_preprocessor.std: expected 'imagenet' | tuple[float, float, float], found 1"),
        # trailing commas
        ("train_cfg = dict(type='IterBasedTrainLoop', max_iters=1),", "child.py: train_cfg: expected dict(type=...) of a loop, found ({'type': 'IterBasedTrainLoop', 'max_iters': 1},). Is there a trailing comma?"),
        ("scaling = dict(num_workers=2),", "child.py: scaling: expected dict, found ({'num_workers': 2},). Is there a trailing comma?"),
        ("custom_hooks = [dict(type='EMAHook')],", "child.py: custom_hooks: expected list[dict(type=...) of a hook], found ([{'type': 'EMAHook'}],). Is there a trailing comma?"),
        ("load_from = 'x.pth',", "child.py: load_from: expected str, found ('x.pth',). Is there a trailing comma?"),
        # data
        ("train_dataloader = dict(batch_sise=4)", "child.py: train_dataloader.batch_sise: no such key (found 4); did you mean 'batch_size'?"),
        ("train_dataloader = dict(batch_size=0)", "child.py: train_dataloader.batch_size: expected int (at least 1) | None, found 0"),
        ("train_dataloader = dict(dataset=dict(pipeline=[dict(type='RandomCrop', crop_size=(1, 2, 3))]))", "child.py: train_dataloader.dataset.pipeline.0.crop_size: expected tuple[int, int], found (1, 2, 3)"),
        ("train_dataloader = dict(dataset=dict(data_rot=1))", "child.py: train_dataloader.dataset.data_rot: FolderDataset takes no 'data_rot' (found 1); did you mean 'data_root'?"),
        ("train_dataloader = dict(dataset=dict(data_root=3))", "child.py: train_dataloader.dataset.data_root: expected str, found 3"),
        ("train_dataloader = dict(_delete_=True, batch_size=1)", "child.py: train_dataloader: 'dataset' (dict(type=...) of a data set) is missing"),
        ("val_dataloader = dict(dataset=dict(split=1))", "child.py: val_dataloader.dataset.split: expected str, found 1"),
        ("val_evaluator = dict(type='IuMetric')", "child.py: val_evaluator.type: unknown metric 'IuMetric'; did you mean 'IoUMetric'?"),
        ("val_evaluator = [dict(type='IoUMetric', ignore_index='x')]", "child.py: val_evaluator.0.ignore_index: expected int | None, found 'x'"),
        ("val_evaluator = None", "child.py: val_evaluator: None beside a val_dataloader; set val_dataloader=None to leave it out"),
        # the loop
        ("train_cfg = dict(max_iters=1.5)", "child.py: train_cfg.max_iters: expected int, found 1.5"),
        ("train_cfg = dict(type='EpochBasedTrainLoop')", ["base.py: train_cfg.max_iters: EpochBasedTrainLoop takes no 'max_iters' (found 10); IterBasedTrainLoop takes it (left over from base.py; _delete_=True beside the new 'type' drops it)", "child.py: train_cfg: EpochBasedTrainLoop needs 'max_epochs' (int)"]),
        # optimization
        ("optim_wrapper = dict(dtype='bfloat16')", "child.py: optim_wrapper.dtype: OptimWrapper takes no 'dtype' (found 'bfloat16'); AmpOptimWrapper takes it"),
        ("optim_wrapper = dict(type='AmpOptimWrapper', dtype='bf16')", "child.py: optim_wrapper.dtype: expected 'float16' | 'bfloat16', found 'bf16'; did you mean 'bfloat16'?"),
        ("optim_wrapper = dict(optimizer=dict(type='AdamW', momentum=0.9))", "child.py: optim_wrapper.optimizer.momentum: AdamW takes no 'momentum' (found 0.9); SGD takes it"),
        ("optim_wrapper = dict(optimizer=dict(lr='1e-4'))", "child.py: optim_wrapper.optimizer.lr: expected float, found '1e-4'; write the number without quotes"),
        ("optim_wrapper = dict(_delete_=True, type='OptimWrapper')", "child.py: optim_wrapper: 'optimizer' is missing"),
        ("optim_wrapper = dict(accumulative_count=2)", "child.py: optim_wrapper.accumulative_count: OptimWrapper takes no 'accumulative_count' (found 2); did you mean 'accumulative_counts'?"),
        ("optim_wrapper = dict(constructor='DefaultConstructor')", "child.py: optim_wrapper.constructor: unknown optimizer wrapper constructor 'DefaultConstructor'; did you mean 'DefaultOptimWrapperConstructor'?"),
        ("optim_wrapper = dict(paramwise_cfg=dict(norm_decay=0.))", "child.py: optim_wrapper.paramwise_cfg.norm_decay: no such key (found 0.0); did you mean 'norm_decay_mult'?"),
        ("optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(head=dict(lr_mult='x'))))", "child.py: optim_wrapper.paramwise_cfg.custom_keys.head.lr_mult: expected float, found 'x'"),
        ("param_scheduler = [dict(type='PolyLR', by_epoch='no')]", "child.py: param_scheduler.0.by_epoch: expected bool, found 'no'; did you mean False?"),
        ("param_scheduler = dict(type='PloyLR')", "child.py: param_scheduler.type: unknown parameter scheduler 'PloyLR'; did you mean 'PolyLR'?"),
        # hooks and trackers
        ("default_hooks = dict(checkpoint=dict(intervall=1))", "child.py: default_hooks.checkpoint.intervall: CheckpointHook takes no 'intervall' (found 1); did you mean 'interval'?"),
        ("default_hooks = dict(checkpont=dict(interval=1))", "child.py: default_hooks.checkpont: a hook needs a 'type', found dict(interval=1); did you mean 'checkpoint'?"),
        ("custom_hooks = [dict(type='EMAHok')]", "child.py: custom_hooks.0.type: unknown hook 'EMAHok'; did you mean 'EMAHook'?"),
        ("custom_hooks = [dict(type='EMAHook', priority='NORMEL')]", "child.py: custom_hooks.0.priority: expected an int from 0 to 100 or one of HIGHEST, VERY_HIGH, HIGH, ABOVE_NORMAL, NORMAL, BELOW_NORMAL, LOW, VERY_LOW, LOWEST, found 'NORMEL'; did you mean 'NORMAL'?"),
        ("custom_hooks = dict(type='EMAHook')", "child.py: custom_hooks: expected list[dict(type=...) of a hook], found dict(type='EMAHook')"),
        ("vis_backends = [dict(type='Bord')]", "child.py: vis_backends.0.type: unknown visualization backend 'Bord'; did you mean 'Board'?"),
        ("visualizer = dict(type='V', vis_backends=[dict(type='Cloud', projekt='p')])", "child.py: visualizer.vis_backends.0.projekt: Cloud takes no 'projekt' (found 'p'); did you mean 'project'?"),
        ("visualizer = dict(type='V', alhpa=0.5)", "child.py: visualizer.alhpa: no such key (found 0.5); did you mean 'alpha'?"),
        ("trackers = dict(console=dict(type='Console', width='x'))", "child.py: trackers.console.width: expected int, found 'x'"),
        # settings
        ("scaling = dict(num_worker=2)", "child.py: scaling.num_worker: no such key (found 2); did you mean 'num_workers'?"),
        ("scaling = dict(strategy='PAK')", "child.py: scaling.strategy: expected 'PACK' | 'SPREAD' | 'STRICT_PACK' | 'STRICT_SPREAD', found 'PAK'; did you mean 'PACK'?"),
        ("randomness = dict(deterministic='no')", "child.py: randomness.deterministic: expected bool, found 'no'; did you mean False?"),
        ("env_cfg = dict(control_interval=0)", "child.py: env_cfg.control_interval: expected int (at least 1), found 0"),
        ("tune = dict(mode='maximise')", "child.py: tune.mode: expected 'max' | 'min' | None, found 'maximise'"),
        ("tune = dict(num_sample=3)", "child.py: tune.num_sample: no such key (found 3); did you mean 'num_samples'?"),
        ("log_level = 'INF'", "child.py: log_level: expected 'DEBUG' | 'INFO' | 'WARNING' | 'ERROR' | 'CRITICAL', found 'INF'; did you mean 'INFO'?"),
        ("resume = 'yes'", "child.py: resume: expected bool, found 'yes'; did you mean True?"),
        ("auto_scale_lr = dict(enable=True, base_batch_size=16)", "child.py: auto_scale_lr.enable: expected False, found True; the learning rate is never scaled here: set optim_wrapper.optimizer.lr for your batch"),
        ("custom_imports = dict(imports=3)", "child.py: custom_imports.imports: expected str | list[str], found 3"),
        ("custom_imports = dict(import_=['x'])", "child.py: custom_imports.import_: no such key (found ['x']); did you mean 'imports'?"),
        # sections
        ("modle = dict(net=1)", "child.py: modle: no such section; did you mean 'model'?"),
        ("num_workers = 4", "child.py: num_workers: no such section; say scaling.num_workers (training workers) or train_dataloader.num_workers (loader processes of each)"),
        ("model = None", "child.py: model: the section is missing"),
        # secrets
        ("trackers = dict(remote=dict(type='Remote', api_key='abc'))", "child.py: trackers.remote.api_key: a secret does not belong in a config; write '${env:API_KEY}'"),
        ("checkpoint_store = dict(url='http://me:abc@host/x')", "child.py: checkpoint_store.url: a secret does not belong in a config, found 'http://me:***@host/x'; write '${env:NAME}' for it"),
        # search leaves
        ("from rayseg.search import *\nmodel = dict(net=dict(depth=loguniform(1, 3)))", "child.py: model.net.depth: expected int, found loguniform(1, 3); its values are float"),
        ("from rayseg.search import *\nmodel = dict(net=choice(a=dict(type='Net', depth=1), b=dict(type='Net', dept=1)))", "child.py: model.net[b].dept: Net takes no 'dept' (found 1); did you mean 'depth'?"),
        ("from rayseg.search import *\nvariants = dict(v=choice(a={}, b={'modle.net.depth': 1}))", "child.py: variants.v[b].modle.net.depth: no such section 'modle'; did you mean 'model'?"),
        ("from rayseg.search import *\nvariants = dict(v=choice(a={}, b={'model.net.dept': 1}))", "child.py: variants.v[b]: model.net.dept: Net takes no 'dept' (found 1); did you mean 'depth'?"),
        ("variants = dict(v=dict(a=1))", "child.py: variants.v: expected choice(...) over dicts of dotted keys, found dict(a=1)"),
    ],
)  # fmt: skip
def test_bad_input(write: Write, text: str, message: str | list[str]) -> None:
    config = load_config(write({"base.py": BASE, "child.py": f"_base_ = 'base.py'\n{text}"}))
    expected = [message] if isinstance(message, str) else message
    assert problems_of(config) == expected
    assert problems_of(complete_config(config)) == expected


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("num_workers=4", "num_workers: no such section; say scaling.num_workers (training workers) or train_dataloader.num_workers (loader processes of each)"),
        ("lr=0.1", "lr: no such section; say optim_wrapper.optimizer.lr"),
        ("model.nett.depth=2", "model.nett: Segmentor takes no 'nett' (found dict(depth=2)); did you mean 'net'?"),
        ("train_cfg.max_iter=2", "train_cfg.max_iter: IterBasedTrainLoop takes no 'max_iter' (found 2); did you mean 'max_iters'?"),
        ("randomness.deterministic=true", "randomness.deterministic: expected bool, found 'true'; did you mean True?"),
        ("model.net=dict(depth=2", "model.net: expected dict(type=...) of a network, found 'dict(depth=2'"),
    ],
)  # fmt: skip
def test_bad_overrides(base: str, override: str, message: str) -> None:
    assert problems_of(load_config(base, [override])) == [f"command line: {message}"]


@pytest.mark.parametrize("dataset", ["dict(type='FolderDataset', data_root='d'),", "'data'", "dict(data_root='d')"])
def test_a_wrong_training_data_set_is_one_problem(write: Write, dataset: str) -> None:
    text = f"{BASE}\ntrain_dataloader = dict(dataset=({dataset}))\nval_dataloader = dict(dataset=dict(split='val'))"
    found = problems_of(load_config(write({"a.py": text})))
    assert len(found) == 1
    assert found[0].startswith("a.py: train_dataloader.dataset: ")


def test_all_at_once_and_twenty_shown(base: str) -> None:
    overrides = [f"model.net.unknown_{i}=1" for i in range(30)]
    with pytest.raises(ConfigError) as error:
        check_config(load_config(base, overrides))
    assert len(error.value.problems) == 30
    lines = str(error.value).splitlines()
    assert len(lines) == 21
    assert lines[-1] == "... and 10 more"


def test_sections_that_are_missing(write: Write) -> None:
    config = load_config(write({"a.py": "model = dict(type='Segmentor', net=dict(type='Net', depth=1), loss=[])"}))
    assert [line.partition(": ")[2] for line in problems_of(config)] == [
        f"{name}: the section is missing" for name in ("train_dataloader", "train_cfg", "optim_wrapper")
    ]
    assert check_config(config, needs=["model"]) == []


def test_notes(write: Write) -> None:
    text = (
        "model = dict(net=dict(_delete_=True, type='OpenNet', encoder_name='r', dilation=3))\n"
        "default_scope = 'mmseg'\nlauncher = 'none'\nvis_backends = [dict(type='Local')]\n"
        "visualizer = dict(type='SegLocalVisualizer')\ntta_pipeline = []\ntta_model = dict(type='SegTTAModel')\n"
        "auto_scale_lr = dict(enable=False, base_batch_size=16)\n"
        "custom_imports = dict(imports=['no_such_module'], allow_failed_imports=True)\n"
    )
    config = load_config(write({"base.py": BASE, "child.py": f"_base_ = 'base.py'\n{text}"}))
    assert check_config(config) == [
        "child.py: custom_imports.imports: importing 'no_such_module' failed: "
        "ModuleNotFoundError: No module named 'no_such_module'",
        "model.net.dilation: only the **kwargs of OpenNet takes it",
        "default_scope: names have no scopes here",
        "visualizer: pictures are made by SegVisualizationHook, in 'default_hooks'",
        "launcher: workers are started by Ray Train, as 'scaling' says",
        "auto_scale_lr: the learning rate is never scaled; the start prints the global batch",
        "tta_model: nothing reads it",
        "tta_pipeline: nothing reads it",
    ]


RUNTIME = """
import os
default_hooks = dict(timer=dict(type='IterTimerHook'), logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=False), param_scheduler=dict(type='ParamSchedulerHook'),
                     checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=32000), sampler_seed=dict(type='DistSamplerSeedHook'), visualization=dict(type='SegVisualizationHook'))
custom_hooks = [dict(type='EMAHook', start_iters=500, priority='NORMAL')]
env_cfg = dict(cudnn_benchmark=True, mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0), dist_cfg=dict(backend='nccl'))
log_level = 'INFO'
log_processor = dict(by_epoch=False)
load_from = None
resume = False
norm_cfg = dict(type='SyncBN', requires_grad=True)
"""


def test_an_mm_style_tree(write: Write) -> None:
    path = write(
        {
            "_base_/default_runtime.py": RUNTIME,
            "_base_/data.py": (
                "crop_size = (8, 8)\ndataset_type = 'FolderDataset'\n"
                "train_pipeline = [dict(type='RandomCrop', crop_size=crop_size, cat_max_ratio=0.75)]\n"
                "train_dataloader = dict(batch_size=4, num_workers=4, persistent_workers=True,\n"
                "    dataset=dict(type=dataset_type, data_root='d', pipeline=train_pipeline))\n"
                "val_dataloader = dict(batch_size=1, dataset=dict(type=dataset_type, data_root='d', split='val'))\n"
                "test_dataloader = val_dataloader\n"
                "val_evaluator = dict(type='IoUMetric')\ntest_evaluator = val_evaluator"
            ),
            "_base_/schedule.py": (
                "optimizer = dict(type='SGD', lr=0.01, momentum=0.9)\n"
                "optim_wrapper = dict(type='OptimWrapper', optimizer=optimizer, clip_grad=None)\n"
                "param_scheduler = [dict(type='PolyLR', power=0.9, by_epoch=False)]\n"
                "train_cfg = dict(type='IterBasedTrainLoop', max_iters=100, val_interval=10)\n"
                "val_cfg = dict(type='ValLoop')\ntest_cfg = dict(type='TestLoop')"
            ),
            "unet/unet.py": (
                "_base_ = ['../_base_/default_runtime.py', '../_base_/data.py', '../_base_/schedule.py']\n"
                "model = dict(type='Segmentor', net=dict(type='Net', depth=3), loss=dict(type='CrossEntropyLoss'))\n"
                "train_dataloader = dict(dataset=dict(pipeline=_base_.train_pipeline + [{{_base_.train_pipeline.0}}]))\n"
            ).replace("{{_base_.train_pipeline.0}}", "'{{_base_.train_pipeline.0}}'"),
        }
    )
    config = complete_config(load_config(path, ["train_cfg.max_iters=7"]))
    assert check_config(config) == []
    assert config.train_cfg.max_iters == 7
    assert config.default_hooks.checkpoint == dict(type="CheckpointHook", by_epoch=False, interval=32000)
    assert len(config.train_dataloader.dataset.pipeline) == 2
    assert load_config(write({"dumped.py": config.dump()})) == config


def test_yaml_is_checked_alike(write: Write) -> None:
    text = "_base_: base.py\noptim_wrapper: {optimizer: {lr: 1e-4, momentum: no}}\nscalng: {num_workers: 2}"
    assert problems_of(load_config(write({"base.py": BASE, "a.yaml": text}))) == [
        "a.yaml: scalng: no such section; did you mean 'scaling'?",
        "a.yaml: optim_wrapper.optimizer.momentum: expected float, found 'no'",
    ]


SWEEP = """
_base_ = 'base.py'
from rayseg.search import choice, grid, loguniform, randint, uniform
model = dict(net=choice(a=dict(type='Net', depth=randint(1, 4)), b=dict(type='tests.unit.config.components.OpenNet', encoder_name='x')))
train_dataloader = dict(dataset=dict(data_root=choice(['a', 'b'])), batch_size=grid([1, 2]))
optim_wrapper = choice(
    sgd=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=loguniform(1e-3, 1e-1), momentum=0.9)),
    amp=dict(type='AmpOptimWrapper', dtype='bfloat16', accumulative_counts=choice([1, 2]), optimizer=dict(type='AdamW', lr=uniform(0, 1))))
variants = dict(v=choice(plain={}, long={'train_cfg.max_iters': 20, 'model.net': dict(_delete_=True, type='Net', depth=2)}))
tune = dict(metric='mIoU', mode='max', num_samples=8, max_concurrent=2, scheduler=dict(type='ASHA', grace_iters=100), searcher=dict(type='Optuna', seed=0))
"""


def test_search_leaves_are_accepted_and_named(write: Write) -> None:
    config = load_config(write({"base.py": BASE, "a.py": SWEEP}))
    assert check_config(config) == []
    assert list(find_search_leaves(complete_config(config))) == [
        "model.net", "train_dataloader.batch_size", "train_dataloader.dataset.data_root", "optim_wrapper", "variants.v",
    ]  # fmt: skip
