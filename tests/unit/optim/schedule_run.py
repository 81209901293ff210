"""A run of schedules for the tests: stepped, saved and resumed as the engine does, and every name's formula."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from rayseg.optim.schedulers import build_param_schedulers
from rayseg.optim.wrapper import OptimWrapper

LR = 0.01
HEAD_LR = 0.1


def wrapper_of(lr: float = LR) -> OptimWrapper:
    weights = [nn.Parameter(torch.zeros(1)) for _ in range(2)]
    groups: list[dict[str, Any]] = [{"params": weights[:1]}, {"params": weights[1:], "lr": 10 * lr, "name": "head"}]
    return OptimWrapper(torch.optim.SGD(groups, lr=lr))


class Run:
    """A run's schedules, stepped as ParamSchedulerHook does."""

    def __init__(self, cfgs: Any, max_iters: int, *, epoch_length: int = 5, by_epoch_loop: bool = False) -> None:
        self.wrapper = wrapper_of()
        self.epoch_length = epoch_length
        self.iter = 0
        self.schedulers = build_param_schedulers(
            cfgs, self.wrapper, epoch_length=epoch_length, max_iters=max_iters, by_epoch_loop=by_epoch_loop
        )

    @property
    def lrs(self) -> tuple[float, float]:
        first, second = self.wrapper.get_lr()["lr"]
        return first, second

    def step(self) -> None:
        self.iter += 1
        for scheduler in self.schedulers:
            if not scheduler.by_epoch:
                scheduler.step()
        if self.iter % self.epoch_length == 0:
            for scheduler in self.schedulers:
                if scheduler.by_epoch:
                    scheduler.step()

    def curve(self, count: int) -> list[float]:
        """The first group's learning rate in each of the next iterations."""
        lrs = []
        for _ in range(count):
            lrs.append(self.lrs[0])
            self.step()
        return lrs

    def saved(self) -> dict[str, Any]:
        file = io.BytesIO()
        state = {"optim": self.wrapper.state_dict(), "schedulers": [item.state_dict() for item in self.schedulers]}
        torch.save(state, file)
        file.seek(0)
        loaded: dict[str, Any] = torch.load(file, weights_only=True)
        return loaded

    def load(self, state: dict[str, Any], iteration: int) -> None:
        self.wrapper.load_state_dict(state["optim"])
        for scheduler, saved in zip(self.schedulers, state["schedulers"], strict=True):
            scheduler.load_state_dict(saved)
        self.iter = iteration


def cosine(first: float, last: float, progress: float) -> float:
    return last + (first - last) * (1 + math.cos(math.pi * progress)) / 2


FORMULAS: list[tuple[dict[str, Any], Callable[[int], float]]] = [
    ({"type": "ConstantLR", "factor": 0.2}, lambda t: 0.2 * LR if t < 19 else LR),
    ({"type": "LinearLR", "start_factor": 0.1}, lambda t: LR * (0.1 + 0.9 * t / 19)),
    ({"type": "LinearLR", "start_factor": 1.0, "end_factor": 0.0}, lambda t: LR * (1 - t / 19)),
    ({"type": "ExponentialLR", "gamma": 0.9}, lambda t: LR * 0.9**t),
    ({"type": "StepLR", "step_size": 7, "gamma": 0.5}, lambda t: LR * 0.5 ** (t // 7)),
    (
        {"type": "MultiStepLR", "milestones": [8, 3, 8], "gamma": 0.5},
        lambda t: LR * (1 if t < 3 else 0.5 if t < 8 else 0.125),
    ),
    ({"type": "PolyLR", "eta_min": 1e-4, "power": 0.9}, lambda t: 1e-4 + (LR - 1e-4) * (1 - t / 19) ** 0.9),
    ({"type": "PolyLR", "eta_min_ratio": 0.1, "power": 2.0}, lambda t: 0.1 * LR + 0.9 * LR * (1 - t / 19) ** 2),
    ({"type": "CosineAnnealingLR", "eta_min": 1e-4}, lambda t: cosine(LR, 1e-4, t / 20)),
    ({"type": "CosineAnnealingLR", "T_max": 10, "eta_min_ratio": 0.1}, lambda t: cosine(LR, 0.1 * LR, t / 10)),
    (
        {"type": "CosineRestartLR", "periods": [4, 10], "restart_weights": [1.0, 0.5], "eta_min": 1e-4},
        lambda t: cosine(LR, 1e-4, t / 4) if t < 4 else cosine(0.5 * LR, 1e-4, min(t - 4, 9) / 10),
    ),
    (
        {"type": "WSDLR", "warmup": 4, "decay": 5},
        lambda t: LR * min(1, (t + 1) / 4) * (1 - (max(0, t - 15) / 5) ** 0.5),
    ),
    ({"type": "WSDLR", "decay_ratio": 0.25, "decay_shape": "linear"}, lambda t: LR * (1 - max(0, t - 15) / 5)),
    (
        {"type": "WSDLR", "decay_shape": "cosine", "decay": 8, "end_factor": 0.1},
        lambda t: cosine(LR, 0.1 * LR, max(0, t - 12) / 8),
    ),
    (
        {"type": "WSDLR", "decay_shape": "exponential", "decay": 10, "end_factor": 0.01},
        lambda t: LR * 0.01 ** (max(0, t - 10) / 10),
    ),
    (
        {"type": "OneCycleLR"},
        lambda t: cosine(LR / 25, LR, t / 5) if t <= 5 else cosine(LR, LR / 25e4, (t - 5) / 14),
    ),
    (
        {"type": "OneCycleLR", "eta_max": 0.5, "pct_start": 0.25},
        lambda t: cosine(0.02, 0.5, t / 4) if t <= 4 else cosine(0.5, 0.02e-4, (t - 4) / 15),
    ),
    (
        {"type": "OneCycleLR", "eta_max": 0.5, "pct_start": 0.25, "anneal_strategy": "linear", "three_phase": True},
        lambda t: (
            0.02 + 0.48 * t / 4
            if t <= 4
            else 0.5 - 0.48 * (t - 4) / 4
            if t <= 8
            else 0.02 - (0.02 - 0.02e-4) * (t - 8) / 11
        ),
    ),
]
NAMES = [f"{index}-{cfg['type']}" for index, (cfg, _) in enumerate(FORMULAS)]
