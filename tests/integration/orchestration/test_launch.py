"""Ray Train's processes know which cluster they belong to, whatever else is started on the machine."""

from __future__ import annotations

from importlib import import_module

import pytest

from rayseg.orchestration import launch


def test_the_controller_is_given_the_address(cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = import_module("ray.train.v2.api.data_parallel_trainer")
    monkeypatch.setattr(trainer, "get_env_vars_to_propagate", dict)
    launch._name_the_cluster()
    assert trainer.get_env_vars_to_propagate()["RAY_ADDRESS"] == cluster
