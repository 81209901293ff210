"""One launch: a worker group that runs to its end, here or on Ray, while this process owns the run's files."""

from __future__ import annotations

import os
import shutil
import threading
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from rayseg.config import Config, prepend_import_path, settings
from rayseg.config.imports import import_path_of
from rayseg.config.settings import Failure, Scaling
from rayseg.core.record import Record
from rayseg.data.home import rayseg_home
from rayseg.engine.host import LocalHost
from rayseg.engine.owner import RunOwner
from rayseg.orchestration.cluster import actor_here
from rayseg.orchestration.draining import Draining
from rayseg.orchestration.failures import cause
from rayseg.orchestration.mailbox import Mailbox
from rayseg.orchestration.stop import StopRequest
from rayseg.orchestration.worker import WorkerArguments, train_worker

DRAIN_SECONDS = 0.2


def run_here(config: Config, run_dir: Path, owner: RunOwner, stop: StopRequest) -> None:
    """Train in this process, without Ray."""
    from rayseg.engine.build import build_training

    prepend_import_path(*import_path_of(config))
    device = "cpu" if settings(config, "scaling").use_gpu is False else None
    host = LocalHost(
        owner.receive, device, stop=lambda: stop.reason, end=lambda: stop.end_reason, notices=lambda: stop.notices
    )
    build_training(config, host, run_dir).train()


def run_on_ray(config: Config, run_dir: Path, owner: RunOwner, stop: StopRequest, resources: dict[str, float]) -> None:
    """Train in Ray Train workers; ``fit`` runs in a thread, since on the main one Ray's own Ctrl-C would not save.

    Args:
        resources: what each worker asks for, of the cluster that this process is connected to.
    """
    mailbox = actor_here(Mailbox)
    arguments = WorkerArguments(config, run_dir, mailbox, os.getcwd(), str(rayseg_home()))
    scratch = run_dir / ".ray"
    launch = _Launch(_trainer(arguments, resources, scratch))
    try:
        _own(launch, mailbox, owner, stop)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if launch.error is not None:
        raise launch.error


def note(message: str, level: str = "INFO") -> Record:
    """A line for people, of the process that owns the run."""
    return Record("log", 0, 0, time.time(), data={"level": level, "message": message})


class _Launch:
    """``trainer.fit()`` in a thread of its own."""

    def __init__(self, trainer: Any) -> None:
        self.error: BaseException | None = None
        self._trainer = trainer
        self._thread = threading.Thread(target=self._fit, name="rayseg-fit", daemon=True)
        self._thread.start()

    def wait(self, seconds: float) -> bool:
        """Whether it ended within so many seconds."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _fit(self) -> None:
        try:
            self._trainer.fit()
        except BaseException as error:
            self.error = cause(error)


def _own(launch: _Launch, mailbox: Any, owner: RunOwner, stop: StopRequest) -> None:
    """Write down what arrives until the workers have ended."""
    import ray

    draining = Draining(lambda: ray.get(mailbox.nodes.remote()))
    asked_to_stop = asked_to_end = False
    ended = False
    while not ended:
        ended = launch.wait(DRAIN_SECONDS)
        if stop.reason is not None and not asked_to_stop:
            asked_to_stop = True
            mailbox.request_stop.remote(stop.reason)
        if stop.end_reason is not None and not asked_to_end:
            asked_to_end = True
            mailbox.request_end.remote(stop.end_reason)
        if (notice := draining.news()) is not None:
            owner.receive(note(str(notice), "WARNING"))
            mailbox.request_checkpoint.remote(f"{notice.nodes} was taken away")
        for record in ray.get(mailbox.drain.remote()):
            owner.receive(record)


def _name_the_cluster() -> None:
    """Let Ray Train's processes know their cluster: its PlacementGroupCleaner asks the one that was started last on the
    machine unless RAY_ADDRESS names another, finds no controller there, and takes the workers away.
    """
    import ray
    from ray.train.v2._internal.constants import get_env_vars_to_propagate

    trainer: Any = import_module("ray.train.v2.api.data_parallel_trainer")
    named = {"RAY_ADDRESS": ray.get_runtime_context().gcs_address}
    trainer.get_env_vars_to_propagate = lambda: {**get_env_vars_to_propagate(), **named}


def _trainer(arguments: WorkerArguments, resources: dict[str, float], scratch: Path) -> Any:
    from ray.train.torch import TorchConfig, TorchTrainer

    from rayseg.orchestration.restarts import NoteFailures

    _name_the_cluster()
    ray_train: Any = import_module("ray.train")  # its annotations are those of the API before Train V2
    scaling: Scaling = settings(arguments.config, "scaling")
    failure: Failure = settings(arguments.config, "failure")
    use_gpu = "GPU" in resources
    return TorchTrainer(
        train_worker,
        train_loop_config={"arguments": arguments},
        torch_config=TorchConfig(backend="nccl" if use_gpu else "gloo"),
        scaling_config=ray_train.ScalingConfig(
            num_workers=scaling.num_workers,
            use_gpu=use_gpu,
            resources_per_worker=resources,
            placement_strategy=scaling.strategy,
        ),
        run_config=ray_train.RunConfig(
            name=f"launch_{time.time_ns()}",
            storage_path=str(scratch),
            failure_config=ray_train.FailureConfig(max_failures=failure.max_failures),
            callbacks=[NoteFailures(arguments.mailbox)],
            logging_config=ray_train.LoggingConfig(log_level="ERROR"),
        ),
    )
