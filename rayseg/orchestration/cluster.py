"""The Ray cluster of a run: the one that RAY_ADDRESS names, or a local one; and whether the run fits on it."""

from __future__ import annotations

import logging
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from rayseg.config.settings import Scaling
from rayseg.core.errors import ConfigError
from rayseg.engine.hardware import cores

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_ENABLE_AUTO_CONNECT": "0",  # else a thread that is left after a second Ctrl-C would start Ray once more
}
CONNECT_SECONDS = 10.0
LOOK_SECONDS = 1.0


def asked(scaling: Scaling, gpus: int) -> dict[str, float]:
    """What one worker asks Ray for: 1 CPU unless said otherwise, a GPU where there are any (``gpus``)."""
    resources = dict(scaling.resources_per_worker or {"CPU": 1})
    use_gpu = gpus > 0 if scaling.use_gpu is None else scaling.use_gpu
    if use_gpu:
        resources.setdefault("GPU", 1)
    else:
        resources.pop("GPU", None)
    return {name: amount for name, amount in resources.items() if amount}


def local_gpus() -> int:
    """GPUs of this machine that torch can use."""
    import torch

    return torch.cuda.device_count()


def names_a_cluster() -> bool:
    """Whether the run goes to a cluster that is already up: a named one, or the one this process is connected to."""
    ray = sys.modules.get("ray")
    return bool(os.environ.get("RAY_ADDRESS")) or (ray is not None and ray.is_initialized())


def require_gpu(scaling: Scaling) -> None:
    """Refuse a GPU that a run in this process would have to do without.

    Raises:
        ConfigError: ``scaling.use_gpu`` asks for one, and torch sees none.
    """
    if scaling.use_gpu and not local_gpus():
        raise ConfigError(
            "scaling.use_gpu: True, but torch sees no GPU on this machine; leave it out to use what is there"
        )


def require_local(scaling: Scaling) -> None:
    """Refuse more workers than this machine can ever hold, before Ray is started on it.

    Raises:
        ConfigError: what was asked, what there is, and what to change.
    """
    _require(scaling, asked(scaling, local_gpus()), [_here()], "this machine")


def room_here(scaling: Scaling) -> int:
    """How many workers this machine holds."""
    return _room(asked(scaling, local_gpus()), [_here()], scaling)


def _here() -> dict[str, float]:
    return {"CPU": float(cores()), "GPU": float(local_gpus())}


@contextmanager
def connected(scaling: Scaling) -> Iterator[dict[str, float]]:
    """Connect, give what each worker asks for, and disconnect unless the caller was connected before.

    A cluster that others started may still grow: it has ``scaling.start_timeout_s`` for that.

    Raises:
        ConfigError: the cluster cannot be reached, or does not hold the workers.
    """
    os.environ.update({name: os.environ.get(name, value) for name, value in QUIET.items()})
    os.environ["RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"] = str(scaling.start_timeout_s)
    import ray

    was_connected = ray.is_initialized()
    if not was_connected:
        _connect(scaling)
    try:
        await_room(scaling, 0.0 if _is_own() else scaling.start_timeout_s)
        yield _asked_of(_nodes(), scaling)
    finally:
        if not was_connected:
            ray.shutdown()


def await_room(scaling: Scaling, seconds: float) -> None:
    """Wait until the nodes hold the workers, and let an autoscaler know what is wanted.

    Raises:
        ConfigError: they do not within so many seconds; says what was asked and what there is.
    """
    deadline = time.monotonic() + seconds
    is_told = False
    while (nodes := _nodes()) is not None:
        each = _asked_of(nodes, scaling)
        if _room(each, nodes, scaling) >= scaling.num_workers:
            break
        if time.monotonic() >= deadline:
            waited = f" after {seconds:g} s (scaling.start_timeout_s)" if seconds else ""
            _require(scaling, each, nodes, "the cluster", waited)
        if not is_told:
            is_told = True
            _tell_autoscaler([each] * scaling.num_workers)
            print(f"waiting up to {seconds:g} s: {_shortage(scaling, each, nodes)}", file=sys.stderr, flush=True)
        time.sleep(min(LOOK_SECONDS, max(0.0, deadline - time.monotonic())))
    if is_told:
        _tell_autoscaler([])


def _tell_autoscaler(bundles: list[dict[str, float]]) -> None:
    """Ask for room; an empty list takes the wish back. Where there is no autoscaler nothing happens."""
    from ray.autoscaler.sdk import request_resources

    with suppress(Exception):
        request_resources(bundles=bundles)


def _is_own() -> bool:
    """Whether this process has started the cluster itself, so that it is one machine and does not grow."""
    import ray._private.worker as driver

    node: Any = driver._global_node
    return node is not None and bool(node.is_head())


def _asked_of(nodes: list[dict[str, float]], scaling: Scaling) -> dict[str, float]:
    return asked(scaling, int(sum(node.get("GPU", 0) for node in nodes)))


def actor_here(kind: type) -> Any:
    """An actor that takes no CPU, on this process's node: another node that is lost must not take it along."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    actor: Any = ray.remote(num_cpus=0)(kind)
    return actor.options(scheduling_strategy=here).remote()


def node_count() -> int:
    """Nodes of the cluster that this process is connected to."""
    return len(_nodes())


def room(scaling: Scaling, each: dict[str, float]) -> int:
    """How many workers that ask for ``each`` the connected cluster holds when nothing else runs."""
    return _room(each, _nodes(), scaling)


def _nodes() -> list[dict[str, float]]:
    """The resources of each living node."""
    import ray

    list_nodes: Any = ray.nodes
    return [node["Resources"] for node in list_nodes() if node["Alive"]]


def _connect(scaling: Scaling) -> None:
    import ray

    address = os.environ.get("RAY_ADDRESS") or "local"
    local: dict[str, Any] = {}
    if address == "local":
        local = {"num_cpus": cores(), "include_dashboard": True, "dashboard_port": 0}
    try:
        _require_listener(address)
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, configure_logging=True, **local)
        _silence_raylet()
    except (OSError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
        raise ConfigError(f"RAY_ADDRESS={address}: no Ray cluster answers there ({_first_line(error)})") from None


def _silence_raylet() -> None:
    """Ray prints the death of a worker on the driver's stdout, whatever ``init`` is told; the run's log has it."""
    import ray._private.worker as driver

    if hasattr(driver, "print_to_stdstream"):
        driver.print_to_stdstream = lambda *_, **__: None


def _require_listener(address: str) -> None:
    """Raise an OSError where nothing listens at ``host:port``: Ray itself would try for ever, and print a lot."""
    host, _, port = address.rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.rpartition("//")[2].strip("[]"), int(port)), CONNECT_SECONDS).close()


def _require(
    scaling: Scaling, each: dict[str, float], nodes: list[dict[str, float]], place: str, waited: str = ""
) -> None:
    fits = _room(each, nodes, scaling)
    if scaling.num_workers <= fits:
        return
    fewer = f"--workers {fits}, " if fits else ""
    raise ConfigError(
        f"scaling.num_workers: {_shortage(scaling, each, nodes, place)}{waited}; use {fewer}a smaller "
        "scaling.resources_per_worker, or train with --local"
    )


def _shortage(
    scaling: Scaling, each: dict[str, float], nodes: list[dict[str, float]], place: str = "the cluster"
) -> str:
    """``3 workers of 1 CPU each cannot be placed: the cluster has 2 CPU, room for 2``."""
    names = sorted(each)
    there = ", ".join(f"{sum(node.get(name, 0) for node in nodes):g} {name}" for name in names)
    wanted = ", ".join(f"{each[name]:g} {name}" for name in names)
    how = f" by scaling.strategy={scaling.strategy!r}" if scaling.strategy.startswith("STRICT") else ""
    return (
        f"{scaling.num_workers} workers of {wanted} each cannot be placed: {place} has {there}, "
        f"room for {_room(each, nodes, scaling)}{how}"
    )


def _room(each: dict[str, float], nodes: list[dict[str, float]], scaling: Scaling) -> int:
    """How many workers the nodes hold when nothing else runs, placed as ``scaling.strategy`` says."""
    of_node = [
        min((int(node.get(name, 0) / amount + 1e-9) for name, amount in each.items()), default=scaling.num_workers)
        for node in nodes
    ]
    if scaling.strategy == "STRICT_PACK":
        return max(of_node, default=0)
    if scaling.strategy == "STRICT_SPREAD":
        return sum(fits > 0 for fits in of_node)
    return sum(of_node)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
