"""A sweep over the toys by population based training, as a problem that is posed and not run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rayseg.config import Config
from rayseg.search import loguniform
from rayseg.tuning.problem import SweepProblem, posed
from tests.toys import toy_config

LR = "optim_wrapper.optimizer.lr"
OPEN = {"type": "SGD", "lr": loguniform(1e-3, 1e-1), "momentum": 0.9}
RULE = {"type": "PBT", "perturbation_interval": 4}
HOOKS = {"checkpoint": {"type": "CheckpointHook", "interval": 4}}


def problem(tmp_path: Path, rule: dict[str, Any] | None = None, **sections: Any) -> SweepProblem:
    config = toy_config(
        train_cfg={"type": "IterBasedTrainLoop", "max_iters": 12, "val_interval": 4}, default_hooks=HOOKS
    )
    config["optim_wrapper"] = {"type": "OptimWrapper", "optimizer": OPEN}
    tune = {"metric": "mIoU", "num_samples": 2, "scheduler": {**RULE, **(rule or {})}, **sections.pop("tune", {})}
    return posed(Config.from_dict({**config, "tune": tune, **sections}), tmp_path)
