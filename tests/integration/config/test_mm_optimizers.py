"""The optimizer and scheduler configs of MM's documentation: each loads, and does what it says."""

from __future__ import annotations

import importlib
import re
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from rayseg.config import check_config, load_config
from rayseg.core.errors import ConfigError
from rayseg.engine.runner import Runner
from rayseg.optim.build import build_optim_wrapper
from rayseg.optim.schedulers import build_param_schedulers
from rayseg.optim.wrapper import OptimWrapper
from tests.toys import toy_config

PAGE = Path(__file__).parents[3] / "docs" / "own-optimizer.md"


class ToyModel(nn.Module):
    """With the parameter names of MM's page on optimizers."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.ModuleDict({"layer0": nn.Linear(1, 1), "layer1": nn.Linear(1, 1)})
        self.head = nn.Sequential(OrderedDict(linear=nn.Linear(1, 1), bn=nn.BatchNorm1d(1)))


class ToyViT(nn.Module):
    """With the names that MM's ViT recipes exempt from weight decay."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Module()
        self.backbone.pos_embed = nn.Parameter(torch.zeros(1, 4, 2))
        self.backbone.cls_token = nn.Parameter(torch.zeros(1, 1, 2))
        self.backbone.ln1 = nn.LayerNorm(2)
        self.backbone.norm = nn.LayerNorm(2)
        self.backbone.fc = nn.Linear(2, 2)


def loaded(text: str, folder: Path) -> Any:
    """A config file with nothing but these lines, checked."""
    path = folder / "config.py"
    path.write_text(text)
    config = load_config(path)
    assert check_config(config, needs=()) == []
    return config


def built(text: str, folder: Path, model: nn.Module | None = None) -> OptimWrapper:
    return build_optim_wrapper(model or ToyModel(), loaded(text, folder)["optim_wrapper"])


SGD = "optimizer = dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=0.0001)\n"


@pytest.mark.parametrize(
    ("text", "kind", "settings"),
    [
        ("optim_wrapper = dict(type='OptimWrapper', optimizer=optimizer)", "OptimWrapper", {}),
        ("optim_wrapper = dict(optimizer=optimizer)", "OptimWrapper", {}),
        (
            "optim_wrapper = dict(type='AmpOptimWrapper', optimizer=optimizer, accumulative_counts=2)",
            "AmpOptimWrapper",
            {"accumulative_counts": 2},
        ),
        (
            "optim_wrapper = dict(type='AmpOptimWrapper', loss_scale='dynamic', dtype='float16', optimizer=optimizer)",
            "AmpOptimWrapper",
            {"loss_scale_value": 65536.0, "dtype": torch.float16},
        ),
        (
            "optim_wrapper = dict(type='AmpOptimWrapper', loss_scale=512., dtype='float16', optimizer=optimizer)",
            "AmpOptimWrapper",
            {"loss_scale_value": 512.0},
        ),
        (
            "optim_wrapper = dict(type='AmpOptimWrapper', loss_scale=512, dtype='float16', optimizer=optimizer)",
            "AmpOptimWrapper",
            {"loss_scale_value": 512.0},
        ),
        (
            "optim_wrapper = dict(type='AmpOptimWrapper', loss_scale=dict(init_scale=256., growth_interval=100), "
            "dtype='float16', optimizer=optimizer)",
            "AmpOptimWrapper",
            {"loss_scale_value": 256.0},
        ),
        (
            "optim_wrapper = dict(type='AmpOptimWrapper', dtype='bfloat16', optimizer=optimizer)",
            "AmpOptimWrapper",
            {"loss_scale_value": None, "dtype": torch.bfloat16},
        ),
        (
            "optim_wrapper = dict(optimizer=optimizer, accumulative_counts=4)",
            "OptimWrapper",
            {"accumulative_counts": 4},
        ),
    ],
)
def test_wrappers(text: str, kind: str, settings: dict[str, Any], tmp_path: Path) -> None:
    wrapper = built(SGD + text, tmp_path)
    assert type(wrapper).__name__ == kind
    (group,) = wrapper.param_groups
    assert (group["lr"], group["momentum"], group["weight_decay"]) == (0.01, 0.9, 0.0001)
    assert {name: getattr(wrapper, name) for name in settings} == settings


@pytest.mark.parametrize(
    ("clip_grad", "expected"),
    [
        ("dict(max_norm=1)", 1.0),
        ("dict(max_norm=0.01, norm_type=2)", 0.01),
        ("dict(type='value', clip_value=0.2)", 0.2),
        ("dict(clip_value=0.2)", 0.2),
    ],
)
def test_clipping(clip_grad: str, expected: float, tmp_path: Path) -> None:
    """The last of them is in MM's page, and fails there at the first step."""
    wrapper = built(f"optim_wrapper = dict(optimizer=dict(type='SGD', lr=1.0), clip_grad={clip_grad})", tmp_path)
    parameter = wrapper.param_groups[0]["params"][0]
    before = parameter.item()
    wrapper.update_params(parameter.sum() * 100)
    assert before - parameter.item() == pytest.approx(expected, rel=1e-3)


SPLIT = """optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.01, weight_decay=0.0001),
    paramwise_cfg=dict(custom_keys={
    'backbone.layer0': dict(lr_mult=0, decay_mult=0), 'backbone': dict(lr_mult=1), 'head': dict(lr_mult=0.1)}))"""
VIT = """optim_wrapper = dict(type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=6e-5, betas=(0.9, 0.999), weight_decay=0.01),
    paramwise_cfg=dict(custom_keys={'pos_embed': dict(decay_mult=0.), 'cls_token': dict(decay_mult=0.),
                                    'norm': dict(decay_mult=0.)}))"""


@pytest.mark.parametrize(
    ("text", "model", "expected"),
    [
        (
            "optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.01, weight_decay=0.0001), "
            "paramwise_cfg=dict(norm_decay_mult=0))",
            ToyModel,
            {"default": (0.01, 0.0001, 6), "norm": (0.01, 0.0, 2)},
        ),
        (
            "optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.01, weight_decay=0.0001), "
            "paramwise_cfg=dict(bias_lr_mult=2., bias_decay_mult=0.))",
            ToyModel,
            {"default": (0.01, 0.0001, 4), "bias": (0.02, 0.0, 3), "bias-2": (0.01, 0.0, 1)},
        ),
        (
            SPLIT,
            ToyModel,
            {"default": (0.01, 0.0001, 2), "backbone.layer0": (0.0, 0.0, 2), "head": (0.001, 0.0001, 4)},
        ),
        (VIT, ToyViT, {"default": (6e-5, 0.01, 4), "pos_embed-cls_token-norm": (6e-5, 0.0, 4)}),
    ],
)
def test_groups(text: str, model: Any, expected: dict[str, Any], tmp_path: Path) -> None:
    table = built(text, tmp_path, model()).group_table
    assert {row.name: (row.lr, row.weight_decay, row.tensors) for row in table} == {
        name: pytest.approx(row) for name, row in expected.items()
    }


def curve(text: str, folder: Path, by_epoch_loop: bool, value: str = "lr") -> list[float]:
    """lr / 0.01 (or momentum / 0.9) in each of 24 iterations, 2 an epoch."""
    config = loaded(SGD + "optim_wrapper = dict(optimizer=optimizer)\n" + text, folder)
    wrapper = build_optim_wrapper(ToyModel(), config["optim_wrapper"])
    schedulers = build_param_schedulers(
        config["param_scheduler"], wrapper, epoch_length=2, max_iters=24, by_epoch_loop=by_epoch_loop
    )
    found = []
    for iteration in range(1, 25):
        found.append(wrapper.get_lr()["lr"][0] / 0.01 if value == "lr" else wrapper.get_momentum()["momentum"][0] / 0.9)
        for scheduler in schedulers:
            if not scheduler.by_epoch or iteration % 2 == 0:
                scheduler.step()
    return found


@pytest.mark.parametrize(
    ("text", "by_epoch_loop", "expected"),
    [
        (
            "param_scheduler = dict(type='MultiStepLR', by_epoch=True, milestones=[8, 11], gamma=0.1)",
            True,
            [1.0] * 16 + [0.1] * 6 + [0.01] * 2,
        ),
        (
            "param_scheduler = dict(type='MultiStepLR', by_epoch=True, milestones=[8, 11], convert_to_iter_based=True)",
            False,
            [1.0] * 16 + [0.1] * 6 + [0.01] * 2,
        ),
        (
            "param_scheduler = [dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=5), "
            "dict(type='MultiStepLR', by_epoch=True, begin=0, end=12, milestones=[8, 11], gamma=0.1)]",
            True,
            [0.001 + 0.999 * t / 4 for t in range(5)] + [1.0] * 11 + [0.1] * 6 + [0.01] * 2,
        ),
        ("param_scheduler = dict(type='ConstantLR', factor=0.1, by_epoch=False, end=4)", False, [0.1] * 3 + [1.0] * 21),
        (
            "param_scheduler = [dict(type='PolyLR', eta_min=1e-4, power=0.9, begin=0, end=24, by_epoch=False)]",
            False,
            [0.01 + 0.99 * (1 - t / 23) ** 0.9 for t in range(24)],
        ),
        (
            "param_scheduler = "
            "[dict(type='LinearParamScheduler', param_name='lr', start_factor=0.5, end=3, by_epoch=False)]",
            False,
            [0.5, 0.75] + [1.0] * 22,
        ),
    ],
)
def test_schedules(text: str, by_epoch_loop: bool, expected: list[float], tmp_path: Path) -> None:
    assert curve(text, tmp_path, by_epoch_loop) == pytest.approx(expected)


def test_momentum_beside_the_learning_rate(tmp_path: Path) -> None:
    text = """param_scheduler = [
        dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=12),
        dict(type='LinearMomentum', start_factor=0.001, by_epoch=False, begin=0, end=12)]"""
    expected = [0.001 + 0.999 * min(t, 11) / 11 for t in range(24)]
    assert curve(text, tmp_path, False) == pytest.approx(expected)
    assert curve(text, tmp_path, False, "momentum") == pytest.approx(expected)


def problems(text: str, folder: Path) -> str:
    with pytest.raises(ConfigError) as error:
        loaded(text, folder)
    return str(error.value)


def test_an_argument_left_over_from_the_other_wrapper_says_so(tmp_path: Path) -> None:
    (tmp_path / "base.py").write_text(
        "optim_wrapper = dict(type='AmpOptimWrapper', loss_scale=512., dtype='float16', optimizer=dict(type='SGD'))"
    )
    found = problems("_base_ = ['base.py']\noptim_wrapper = dict(type='OptimWrapper')", tmp_path)
    for name in ("loss_scale", "dtype"):
        assert f"OptimWrapper takes no '{name}'" in found
    assert "AmpOptimWrapper takes it (left over from" in found
    assert "_delete_=True beside the new 'type' drops it" in found


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ("type='ApexOptimWrapper', optimizer=dict(type='SGD')", "no optimizer wrapper 'ApexOptimWrapper': NVIDIA Apex"),
        ("type='ApexOptimWrapper', opt_level='O1', optimizer=dict(type='SGD')", "'AmpOptimWrapper' does the same"),
        ("type='OptimWrapperDict', optimizer=dict(type='SGD')", "see docs/own-optimizer.md"),
        ("optimizer=dict(type='Lion', lr=1e-4)", "as 'lion_pytorch.Lion'"),
        ("optimizer=dict(type='DAdaptAdam', lr=1.0)", "as 'dadaptation.DAdaptAdam'"),
        ("optimizer=dict(type='AdamW8bit', lr=1e-4)", "as 'bitsandbytes.optim.AdamW8bit'"),
        ("type='AmpOptimWrapper', dtype='float32', optimizer=dict(type='SGD')", "optim_wrapper.dtype: expected"),
    ],
)
def test_names_that_are_not_here_say_what_to_use(section: str, expected: str, tmp_path: Path) -> None:
    found = problems(f"optim_wrapper = dict({section})", tmp_path)
    assert expected in found
    assert found.count("\n") == 0, "one problem, one line"


def test_the_examples_of_ones_own_pass_their_own_test_and_train(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts, config, test = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "my_optim.py").write_text(parts)
    (tmp_path / "own_optim_test.py").write_text(test)
    monkeypatch.syspath_prepend(str(tmp_path))
    module = importlib.import_module("own_optim_test")
    tests = [item for name, item in vars(module).items() if name.startswith("test_")]
    assert len(tests) == 2
    for run in tests:
        run()
    sections = loaded(config, tmp_path)
    own = {name: sections[name] for name in ("optim_wrapper", "param_scheduler")}
    runner = Runner.from_config(toy_config(**own), work_dir=tmp_path / "run")
    assert type(runner.optim_wrapper).__name__ == "NoisyOptimWrapper"
    assert {group["name"] for group in runner.optim_wrapper.param_groups} == {"encoder", "head"}
    assert runner.train() == {"status": "finished", "iter": 12}
    for name in ("my_optim", "own_optim_test"):
        sys.modules.pop(name, None)
