"""What a resume may change, by key path."""

from __future__ import annotations

from typing import Any

import pytest

from rayseg.orchestration.changes import MISSING, refused_changes

SAVED: dict[str, Any] = {
    "model": {"type": "Segmentor", "net": {"type": "Net", "width": 8}},
    "train_cfg": {"type": "IterBasedTrainLoop", "max_iters": 100, "val_interval": 10},
    "train_dataloader": {"batch_size": 4, "num_workers": 2, "dataset": {"type": "Data", "size": (3, 4)}},
    "default_hooks": {"logger": {"interval": 10}, "checkpoint": {"interval": 5, "save_best": "mIoU"}},
    "custom_hooks": [{"type": "EMAHook", "interval": 1, "momentum": 0.1}],
    "param_scheduler": [{"type": "PolyLR", "end": 100, "power": 0.9}],
    "trackers": {"mlflow": {"type": "MLflow"}},
    "scaling": {"num_workers": 2},
    "randomness": {"seed": 1},
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """A copy with one leaf replaced."""
    import copy

    tree = copy.deepcopy(SAVED)
    at: Any = tree
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    for part in parents:
        at = at.setdefault(part, {}) if isinstance(at, dict) else at[part]
    at[last] = value
    return tree


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("train_cfg.max_iters", 200),
        ("train_cfg.val_interval", 3),
        ("train_cfg.val_begin", 3),
        ("train_dataloader.num_workers", 0),
        ("train_dataloader.pin_memory", True),
        ("default_hooks.logger.interval", 1),
        ("default_hooks.checkpoint.interval", 1),
        ("default_hooks.checkpoint.max_keep_ckpts", 3),
        ("default_hooks.visualization.max_images", 3),
        ("param_scheduler.0.end", 200),
        ("custom_hooks.0.policy", "skip"),
        ("trackers", {}),
        ("trackers.wandb", {"type": "WandB"}),
        ("scaling.num_workers", 4),
        ("scaling.resources_per_worker", {"CPU": 2}),
        ("failure", {"max_failures": 3}),
        ("env_cfg.control_interval", 3),
        ("log_processor.window_size", 3),
        ("work_dir", "elsewhere"),
        ("resume", True),
    ],
)
def test_what_may_change(path: str, value: Any) -> None:
    assert refused_changes(SAVED, changed(path, value)) == []
    assert refused_changes(changed(path, value), SAVED) == []


@pytest.mark.parametrize(
    ("path", "value", "before", "after"),
    [
        ("model.net.width", 16, "8", "16"),
        ("model.net.depth", 2, MISSING, "2"),
        ("train_dataloader.batch_size", 8, "4", "8"),
        ("train_cfg.type", "EpochBasedTrainLoop", "'IterBasedTrainLoop'", "'EpochBasedTrainLoop'"),
        ("default_hooks.checkpoint.save_best", "loss", "'mIoU'", "'loss'"),
        ("custom_hooks.0.momentum", 0.2, "0.1", "0.2"),
        ("param_scheduler.0.power", 1.0, "0.9", "1.0"),
        ("randomness.seed", 2, "1", "2"),
        ("randomness.seed", 1.0, "1", "1.0"),
        ("env_cfg.compile", True, MISSING, "True"),
    ],
)
def test_what_may_not_change(path: str, value: Any, before: str, after: str) -> None:
    assert refused_changes(SAVED, changed(path, value)) == [(path, before, after)]
    assert refused_changes(changed(path, value), SAVED) == [(path, after, before)]


def test_what_is_gone_or_new_in_a_list_is_told() -> None:
    fewer = changed("custom_hooks", [])
    assert {key for key, _, _ in refused_changes(SAVED, fewer)} >= {"custom_hooks.0.type", "custom_hooks.0.momentum"}
    more = changed("custom_hooks", [*SAVED["custom_hooks"], {"type": "EmptyCacheHook"}])
    assert refused_changes(SAVED, more) == [("custom_hooks.1.type", MISSING, "'EmptyCacheHook'")]


def test_the_same_said_otherwise_is_no_change() -> None:
    assert refused_changes(SAVED, changed("train_dataloader.dataset.size", [3, 4])) == []
    assert refused_changes(SAVED, changed("model.net.dropout", None)) == []


def test_a_live_class_is_the_path_that_the_saved_config_names_it_by() -> None:
    """A notebook gives classes; ``config.py`` holds their paths."""
    from collections import OrderedDict

    saved, live = changed("model.net.type", "collections.OrderedDict"), changed("model.net.type", OrderedDict)
    assert refused_changes(saved, live) == []
    assert [key for key, _, _ in refused_changes(SAVED, live)] == ["model.net.type"]


def test_the_order_of_keys_means_nothing() -> None:
    assert refused_changes(SAVED, dict(reversed(SAVED.items()))) == []


def test_all_are_told_at_once() -> None:
    other = changed("model.net.width", 16)
    other["randomness"] = {"seed": 5, "deterministic": True}
    assert [key for key, _, _ in refused_changes(SAVED, other)] == [
        "model.net.width",
        "randomness.seed",
        "randomness.deterministic",
    ]
