"""Ray Train's processes know which cluster they belong to, whatever else is started on the machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from rayseg.orchestration import launch
from tests.distributed import free_port
from tests.processes import Command
from tests.ray_head import PACKAGES, answers


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
    ports = ("port", "dashboard-port", "dashboard-agent-listen-port", "ray-client-server-port")
    numbers = {name: free_port() for name in ports}
    options = [f"--{name}={number}" for name, number in numbers.items()]
    command = [str(PACKAGES / "ray"), "start", "--head", "--block", "--num-cpus=1", *options]
    path = f"{PACKAGES}{os.pathsep}{os.environ['PATH']}"
    with Command(command, tmp_path, {"PATH": path, "RAY_USAGE_STATS_ENABLED": "0"}, tmp_path / "head.txt") as other:
        other.wait_for(lambda: answers(f"http://127.0.0.1:{numbers['dashboard-port']}"), 90, "another Ray is up")
        yield


@pytest.mark.usefixtures("cluster", "another_ray")
def test_the_controller_is_looked_for_in_its_own_cluster() -> None:
    import ray

    launch._name_the_cluster()
    trainer = import_module("ray.train.v2.api.data_parallel_trainer")
    controller: Any = ray.remote(num_cpus=0)(Controller)
    environment = {"env_vars": trainer.get_env_vars_to_propagate()}
    assert ray.get(controller.options(runtime_env=environment).remote().lives.remote())
