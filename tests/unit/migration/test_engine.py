"""The engine's sections: what stays, and what MM alone reads."""

from __future__ import annotations

from typing import Any

import pytest

from rayseg.migration import Migration, migrate

from tests.unit.migration.conftest import Write  # isort: skip


def about(migration: Migration, key: str) -> list[str]:
    return [f"{line.kind} {line.key}" for line in migration.lines if line.key.startswith(key)]


def test_scopes_fall_away(write: Write) -> None:
    text = """
optim_wrapper = dict(type='mmengine.OptimWrapper', optimizer=dict(type='mmengine.SGD'))
train_cfg = dict(type='mmengine.IterBasedTrainLoop')
default_hooks = dict(checkpoint=dict(type='mmengine.CheckpointHook'))
val_evaluator = dict(type='mmseg.IoUMetric')
"""
    sections = migrate(write(text)).sections
    assert sections["optim_wrapper"]["type"] == "OptimWrapper"
    assert sections["optim_wrapper"]["optimizer"]["type"] == "SGD"
    assert sections["train_cfg"]["type"] == "IterBasedTrainLoop"
    assert sections["default_hooks"]["checkpoint"]["type"] == "CheckpointHook"
    assert sections["val_evaluator"]["type"] == "IoUMetric"


@pytest.mark.parametrize(
    "constructor", ["LearningRateDecayOptimizerConstructor", "LayerDecayOptimizerConstructor", "my_project.Constructor"]
)
def test_constructors_stay(write: Write, constructor: str) -> None:
    migration = migrate(write(f"optim_wrapper = dict(constructor='{constructor}', paramwise_cfg=dict(num_layers=12))"))
    wrapper = migration.sections["optim_wrapper"]
    assert (wrapper["constructor"], wrapper["paramwise_cfg"]) == (constructor, {"num_layers": 12})
    assert about(migration, "optim_wrapper") == []


def test_a_constructor_of_no_known_name(write: Write) -> None:
    migration = migrate(write("optim_wrapper = dict(constructor='MyConstructor')"))
    assert migration.sections["optim_wrapper"]["constructor"] == "MyConstructor"
    assert about(migration, "optim_wrapper") == ["missing optim_wrapper.constructor"]


def test_a_constructor_that_only_mm_has(write: Write) -> None:
    text = """
optim_wrapper = dict(constructor='ForceDefaultOptimWrapperConstructor',
                     paramwise_cfg=dict(bias_decay_mult=0, force_default_settings=True))
"""
    migration = migrate(write(text))
    wrapper = migration.sections["optim_wrapper"]
    assert "constructor" not in wrapper
    assert wrapper["paramwise_cfg"] == {"bias_decay_mult": 0}
    assert about(migration, "optim_wrapper") == ["differs optim_wrapper.constructor"]


def test_apex_becomes_torchs_amp(write: Write) -> None:
    migration = migrate(write("optim_wrapper = dict(type='ApexOptimWrapper', opt_level='O1', loss_scale='dynamic')"))
    wrapper = migration.sections["optim_wrapper"]
    assert wrapper["type"] == "AmpOptimWrapper"
    assert not {"opt_level", "loss_scale"} & set(wrapper)


@pytest.mark.parametrize("by_epoch", ["", "by_epoch=True, "])
def test_a_schedule_that_never_acted_is_left_out(write: Write, by_epoch: str) -> None:
    text = f"param_scheduler = [dict(type='StepLR', {by_epoch}step_size=3), dict(type='PolyLR', by_epoch=False)]"
    migration = migrate(write(text))
    assert migration.sections["param_scheduler"] == [{"type": "PolyLR", "by_epoch": False}]
    assert about(migration, "param_scheduler") == ["differs param_scheduler.0"]


def test_a_schedule_in_epochs_that_acts_each_iteration_stays(write: Write) -> None:
    schedule = {"type": "PolyLR", "by_epoch": True, "convert_to_iter_based": True}
    migration = migrate(write(f"param_scheduler = {schedule}"))
    assert migration.sections["param_scheduler"] == schedule


def test_mmsegs_poly_with_a_ratio_stays(write: Write) -> None:
    schedule = {"type": "PolyLRRatio", "eta_min_ratio": 0.03, "power": 0.9, "by_epoch": False}
    migration = migrate(write(f"param_scheduler = {schedule}"))
    assert migration.sections["param_scheduler"] == schedule
    assert about(migration, "param_scheduler") == []


@pytest.mark.parametrize(
    ("hook", "stays", "lines"),
    [
        ("dict(type='EarlyStoppingHook', monitor='mIoU')", True, []),
        ("dict(type='ProfilerHook')", True, []),
        ("dict(type='my_project.MyHook')", True, []),
        ("dict(type='mmdet.MemoryProfilerHook')", False, ["missing custom_hooks.0"]),
    ],
)
def test_hooks(write: Write, hook: str, stays: bool, lines: list[str]) -> None:
    migration = migrate(write(f"custom_hooks = [{hook}]"))
    assert (len(migration.sections.get("custom_hooks", [])), about(migration, "custom_hooks")) == (stays, lines)


@pytest.mark.parametrize(
    ("hook", "limits", "lines"),
    [
        ("monitor='mIoU', min_delta=0.5", {"min_delta": 0.005}, ["differs custom_hooks.0.min_delta"]),
        ("monitor='mAcc', stopping_threshold=75", {"stopping_threshold": 0.75}, ["differs custom_hooks.0.stopping_t"]),
        ("monitor='mIoU', stopping_threshold=None", {"stopping_threshold": None}, []),
        ("monitor='loss', min_delta=0.5", {"min_delta": 0.5}, []),
    ],
)
def test_limits_of_scores_become_fractions(write: Write, hook: str, limits: dict[str, Any], lines: list[str]) -> None:
    migration = migrate(write(f"custom_hooks = [dict(type='mmengine.EarlyStoppingHook', {hook})]"))
    assert limits.items() <= migration.sections["custom_hooks"][0].items()
    assert [line[: len("differs custom_hooks.0.stopping_t")] for line in about(migration, "custom_hooks")] == lines


def test_a_plateaus_threshold_in_percent_becomes_a_fraction(write: Write) -> None:
    plateau = "dict(type='ReduceOnPlateauLR', monitor='mIoU', by_epoch=False, threshold=0.5, threshold_rule='{}')"
    relative, absolute = (migrate(write(f"param_scheduler = {plateau.format(rule)}")) for rule in ("rel", "abs"))
    assert relative.sections["param_scheduler"]["threshold"] == 0.5
    assert absolute.sections["param_scheduler"]["threshold"] == 0.005
    assert about(absolute, "param_scheduler") == ["differs param_scheduler.threshold"]


def test_a_default_hook_that_is_turned_off_stays_off(write: Write) -> None:
    migration = migrate(
        write("default_hooks = dict(timer=None, visualization=dict(_delete_=True, type='DetVisualizationHook'))")
    )
    hooks = migration.sections["default_hooks"]
    assert hooks["timer"] is None
    assert "visualization" not in hooks
    assert about(migration, "default_hooks") == ["missing default_hooks.visualization"]


def test_backends_of_the_visualizer_count(write: Write) -> None:
    text = """
visualizer = dict(vis_backends=[dict(type='WandbVisBackend'), dict(type='LocalVisBackend'), dict(type='AimVisBackend')])
"""
    migration = migrate(write(text))
    assert [backend["type"] for backend in migration.sections["vis_backends"]] == [
        "WandbVisBackend",
        "LocalVisBackend",
        "TensorboardVisBackend",
    ]
    assert about(migration, "vis_backends") == ["missing vis_backends.2"]


@pytest.mark.parametrize(
    ("text", "section", "expected", "lines"),
    [
        (
            "val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'], output_dir='x', format_only=True)",
            "val_evaluator",
            {"type": "IoUMetric", "iou_metrics": ["mIoU"]},
            ["dropped val_evaluator.output_dir", "dropped val_evaluator.format_only"],
        ),
        (
            "val_evaluator = dict(_delete_=True, type='CityscapesMetric', output_dir='x')",
            "val_evaluator",
            {"type": "IoUMetric"},
            ["missing val_evaluator"],
        ),
        ("val_cfg = dict(fp16=True)", "val_cfg", {"type": "ValLoop"}, ["dropped val_cfg.fp16"]),
        (
            "train_cfg = dict(dynamic_intervals=[(100, 10)])",
            "train_cfg",
            {"type": "IterBasedTrainLoop", "max_iters": 20000, "val_interval": 2000},
            ["missing train_cfg.dynamic_intervals"],
        ),
        (
            "auto_scale_lr = dict(enable=True, base_batch_size=16)",
            "auto_scale_lr",
            None,
            ["missing auto_scale_lr"],
        ),
        ("auto_scale_lr = dict(enable=False, base_batch_size=16)", "auto_scale_lr", None, []),
        (
            "load_from = 'https://models.example/net.pth'",
            "load_from",
            "https://models.example/net.pth",
            ["differs load_from"],
        ),
        ("resume = True", "resume", True, []),
        ("randomness = dict(seed=304)", "randomness", {"seed": 304}, []),
        ("model_wrapper_cfg = dict(type='MMFSDP')", "model_wrapper_cfg", None, ["missing model_wrapper_cfg"]),
        ("model_wraper = dict()", "model_wraper", None, []),
        ("val_dataloder = dict(batch_size=3)", "val_dataloder", None, ["missing val_dataloder"]),
        ("runner = dict(type='IterBasedRunner')", "runner", None, ["dropped runner"]),
    ],
)
def test_sections(write: Write, text: str, section: str, expected: Any, lines: list[str]) -> None:
    migration = migrate(write(text))
    assert (migration.sections.get(section), about(migration, section)) == (expected, lines)


def test_a_word_that_mm_never_read_is_left_out(write: Write) -> None:
    text = "optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'theta': dict(wd_mult=0.0, lr_mult=2.0)}))"
    migration = migrate(write(text))
    assert migration.sections["optim_wrapper"]["paramwise_cfg"]["custom_keys"] == {"theta": {"lr_mult": 2.0}}
    assert [line.do for line in migration.lines if "wd_mult" in line.key] == ["say decay_mult=0.0 if that was meant"]
