"""MM's visualization backends say the same as trackers."""

from __future__ import annotations

from typing import Any

import pytest

from rayseg.config import Config, check_config, complete_config
from rayseg.core.errors import ConfigError

REPORT = {"report": {"type": "Report"}}


@pytest.mark.parametrize(
    ("backend", "trackers"),
    [
        ({"type": "LocalVisBackend"}, {}),
        ({"type": "TensorboardVisBackend", "save_dir": "x"}, {"tensorboard": {"type": "TensorBoard"}}),
        ({"type": "WandbVisBackend"}, {"wandb": {"type": "WandB"}}),
        (
            {"type": "WandbVisBackend", "init_kwargs": {"project": "p", "group": "g", "mode": "offline"}},
            {"wandb": {"type": "WandB", "project": "p", "group": "g", "mode": "offline"}},
        ),
        (
            {"type": "MLflowVisBackend", "exp_name": "e", "tracking_uri": "http://h", "tags": {"a": "b"}},
            {"mlflow": {"type": "MLflow", "experiment_name": "e", "tags": {"a": "b"}, "tracking_uri": "http://h"}},
        ),
    ],
)
def test_a_backend_is_a_tracker(backend: dict[str, Any], trackers: dict[str, Any]):
    config = Config({"vis_backends": [backend], "visualizer": {"type": "SegLocalVisualizer"}})
    assert complete_config(config)["trackers"] == REPORT | trackers
    check_config(complete_config(config), needs=())


def test_wrong_arguments_name_their_key():
    backend = {"type": "WandbVisBackend", "init_kwargs": {"projekt": "p"}}
    with pytest.raises(ConfigError) as error:
        check_config(Config({"vis_backends": [backend]}), needs=())
    assert str(error.value) == "vis_backends.0.init_kwargs.projekt: no such key (found 'p'); did you mean 'project'?"
