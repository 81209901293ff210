"""The runs that are compared: the same weights, losses and scores for MMEngine and for rayseg."""

from __future__ import annotations

from itertools import product
from typing import Any

ITERS = 20
LOOPS: dict[str, dict[str, Any]] = {
    "iter": {"type": "IterBasedTrainLoop", "max_iters": ITERS, "val_interval": 4},
    "epoch": {"type": "EpochBasedTrainLoop", "max_epochs": ITERS // 4, "val_interval": 1},
}
ORDERS = ("iter", "epoch")


def weights_at(iteration: int) -> tuple[list[float], list[float]]:
    """The weights (3) and the buffer (2) after iteration ``iteration``, which counts from 0."""
    step = iteration + 1
    return [float(step), 10.0 / step, float(step * step % 7)], [0.5 * step, 100.0 - step]


def losses(iteration: int) -> float:
    """The loss of an iteration, which counts from 0."""
    return float((iteration * 37 + 11) % 23) / 4


def scores() -> list[dict[str, float]]:
    """The metrics of each validation."""
    script = [(0.3, 2.0), (0.5, 1.5), (0.5, 1.75), (0.4, 1.0), (0.6, 1.25)]
    return [{"mIoU": miou, "loss": loss} for miou, loss in script]


CHECKPOINTS: list[dict[str, Any]] = [
    {"interval": interval, "save_begin": begin, "max_keep_ckpts": keep, "save_last": last, "save_best": best}
    for interval, begin, keep, last, best in product(
        (-1, 2, 3), (0, 3), (-1, 1, 2), (True, False), (None, "mIoU", ["mIoU", "loss"])
    )
]
CUSTOM: list[dict[str, Any]] = [
    {"data_src": "my_loss", "method_name": method, "window_size": window, "log_name": f"my_{method}_{window}"}
    for method, window in product(("mean", "min", "max"), (3, "global"))
]
CUSTOM += [
    {"data_src": "x", "method_name": "max", "window_size": 5},
    {"data_src": "lr", "method_name": "mean", "window_size": 2, "log_name": "lr_mean"},
]
EPOCH: list[dict[str, Any]] = [  # in iteration loops MMEngine refuses an entry without window_size, such as the first
    {"data_src": "x", "method_name": "current", "log_name": "x_now"},
]
EPOCH += [
    {"data_src": "my_loss", "method_name": method, "window_size": "epoch", "log_name": f"my_{method}_epoch"}
    for method in ("mean", "min", "max")
]
LOGS: list[tuple[str, dict[str, Any]]] = [
    ("iter", {}),
    ("iter", {"window_size": 3}),
    ("iter", {"window_size": 6, "custom_cfg": CUSTOM}),
    ("iter", {"window_size": 6, "mean_pattern": r"^x$"}),
    ("epoch", {}),
    ("epoch", {"window_size": 6, "custom_cfg": [*CUSTOM, *EPOCH]}),
]
EMA: list[tuple[str, dict[str, Any]]] = [
    ("iter", {"ema_type": kind, "interval": interval, "update_buffers": buffers, **more, **begin})
    for (kind, more), interval, buffers, begin in product(
        (
            ("ExponentialMovingAverage", {"momentum": 0.1}),
            ("MomentumAnnealingEMA", {"momentum": 0.05, "gamma": 5}),
            ("StochasticWeightAverage", {}),
        ),
        (1, 3),
        (False, True),
        ({}, {"begin_iter": 6}),
    )
]
EMA += [
    ("epoch", {"ema_type": "ExponentialMovingAverage", "momentum": 0.1, "begin_epoch": begin}) for begin in (0, 1, 2, 5)
]
