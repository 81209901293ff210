"""Ray Train's processes know which cluster they belong to, whatever else is started on the machine."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from rayseg.orchestration import launch
from tests.ray_head import ray_head


class Controller:
    """Stands where Ray Train's controller does: with its environment, and a watcher beside it."""

    def lives(self) -> bool:
        """What a child of this actor is told about this actor, by the function that PlacementGroupCleaner asks."""
        import ray

        watcher: Any = ray.remote(num_cpus=0)(Watcher)
        return bool(ray.get(watcher.remote().sees.remote(ray.get_runtime_context().get_actor_id())))


class Watcher:
    """Stands where PlacementGroupCleaner does."""

    def sees(self, actor_id: str) -> bool:
        """Whether the actor lives."""
        from ray.train.v2._internal.state.util import is_actor_alive

        return bool(is_actor_alive(actor_id=actor_id, timeout=30))


@pytest.fixture
def another_ray(tmp_path: Path) -> Iterator[None]:
    """A second cluster on this machine, started last, which anybody here may ask."""
    with ray_head(tmp_path, {"RAY_USAGE_STATS_ENABLED": "0"}):
        yield


@pytest.mark.usefixtures("cluster", "another_ray")
def test_the_controller_is_looked_for_in_its_own_cluster() -> None:
    import ray

    launch._name_the_cluster()
    trainer = import_module("ray.train.v2.api.data_parallel_trainer")
    controller: Any = ray.remote(num_cpus=0)(Controller)
    environment = {"env_vars": trainer.get_env_vars_to_propagate()}
    assert ray.get(controller.options(runtime_env=environment).remote().lives.remote())
