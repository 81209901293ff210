"""What runs in a Ray Train worker: the same Runner as everywhere, with a Host that talks to the mailbox."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rayseg.config import Config, prepend_import_path, settings
from rayseg.config.imports import import_path_of
from rayseg.core.record import Record
from rayseg.engine.hardware import cores
from rayseg.orchestration.wishes import Wishes


@dataclass(frozen=True)
class WorkerArguments:
    """What every worker is given.

    Attributes:
        directory: the driver's current directory, where relative paths of the config begin.
        home: the driver's RAYSEG_HOME.
        global_batch_size: images of one iteration over all workers.
    """

    config: Config
    run_dir: Path
    mailbox: Any
    directory: str
    home: str
    global_batch_size: int | None = None


class RayTrainHost:
    """A worker of Ray Train. It never calls ``ray.train.report``: checkpoints are the store's, numbers the mailbox's.

    Args:
        mailbox: handle of the Mailbox actor.
        threads: CPU threads; the node's cores divided by its workers when None.
    """

    def __init__(self, mailbox: Any, threads: int | None) -> None:
        import ray
        import torch
        from ray import train
        from ray.train.torch import get_device

        context = train.get_context()
        self.rank = context.get_world_rank()
        self.world_size = context.get_world_size()
        self.device = get_device()
        self.reason = ray.get(mailbox.join.remote(ray.get_runtime_context().get_node_id()))
        self._mailbox = mailbox
        self._wishes = Wishes(mailbox, self.world_size)
        self._notices = 0
        torch.set_num_threads(threads or max(1, cores() // context.get_local_world_size()))

    def start_from(self) -> str | None:
        """Nothing outside the run."""
        return None

    def publish(self, record: Record) -> None:
        """Send a record on its way."""
        self._mailbox.put.remote(record)

    def stop_reason(self) -> str | None:
        """As the mailbox says."""
        return self._wishes.known().stop

    def end_reason(self) -> str | None:
        """As the mailbox says."""
        return self._wishes.known().end

    def wants_checkpoint(self) -> bool:
        """Whether the mailbox was asked for one since the last call."""
        seen, self._notices = self._notices, self._wishes.known().checkpoints
        return self._notices > seen


def train_worker(config: dict[str, WorkerArguments]) -> None:
    """The training function of Ray Train's workers; ``config["arguments"]`` is all it needs."""
    arguments = config["arguments"]
    os.environ["RAYSEG_HOME"] = arguments.home
    with suppress(OSError):
        os.chdir(arguments.directory)
    prepend_import_path(*import_path_of(arguments.config))
    threads = settings(arguments.config, "randomness").threads
    host = RayTrainHost(arguments.mailbox, threads)
    write_output_to(arguments.run_dir / "logs" / f"rank_{host.rank:04d}.log")

    from rayseg.engine.build import build_training

    runner = build_training(arguments.config, host, arguments.run_dir, arguments.global_batch_size)
    runner.train()


def write_output_to(path: Path) -> None:
    """Append what this process prints, its libraries' warnings too, to its own file in the run directory."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    with path.open("ab", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
