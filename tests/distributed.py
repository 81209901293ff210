"""Run a function on several gloo ranks without Ray; results come back in rank order.

Ranks are forked from a server that has imported what they need and does nothing else, so that they begin at once.
"""

from __future__ import annotations

import os
import socket
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

PRELOADED = ["torch.distributed", "rayseg.engine.build", "rayseg.hooks"]


def free_port() -> int:
    """A TCP port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _rank_main(
    rank: int, function: Callable[..., Any], world_size: int, port: int, args: tuple[Any, ...], results: Any
) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), RANK=str(rank), WORLD_SIZE=str(world_size))
    torch.set_num_threads(1)
    try:
        if world_size > 1:
            dist.init_process_group("gloo", rank=rank, world_size=world_size)
        results.put((rank, True, function(*args)))
    except BaseException:
        results.put((rank, False, traceback.format_exc()))
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


@contextmanager
def importable(function: Callable[..., Any]) -> Iterator[None]:
    """Processes that are started meanwhile find the function's file, whose name only pytest knows."""
    before = list(sys.path)
    file = sys.modules[function.__module__].__file__
    sys.path[:0] = [str(Path(__file__).parent.parent), str(Path(file or ".").parent)]
    try:
        yield
    finally:
        sys.path[:] = before


def run_ranks(function: Callable[..., Any], world_size: int, *args: Any, timeout_s: float = 120) -> list[Any]:
    """Call ``function(*args)`` on ``world_size`` processes in one gloo group.

    ``function`` and its results must be picklable (a module-level function of the test file).

    Raises:
        AssertionError: a rank raised; the message holds its traceback.
    """
    context = mp.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    results = context.SimpleQueue()
    port = free_port()
    processes = [
        context.Process(target=_rank_main, args=(rank, function, world_size, port, args, results))
        for rank in range(world_size)
    ]
    with importable(function):
        for process in processes:
            process.start()
    try:
        for process in processes:
            process.join(timeout_s)
        alive = [process.pid for process in processes if process.is_alive()]
        assert not alive, f"ranks still running after {timeout_s} s"
    finally:
        for process in processes:
            if process.is_alive():
                process.kill()
            process.join()
    outcomes: dict[int, Any] = {}
    while not results.empty():
        rank, succeeded, value = results.get()
        assert succeeded, f"rank {rank} failed:\n{value}"
        outcomes[rank] = value
    assert len(outcomes) == world_size, f"only ranks {sorted(outcomes)} answered"
    return [outcomes[rank] for rank in range(world_size)]
