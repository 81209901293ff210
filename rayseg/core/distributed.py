"""Helpers over torch.distributed that mean the same in one process, where they communicate nothing."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch
import torch.distributed as dist

T = TypeVar("T")
P = ParamSpec("P")


_RANK0_ONLY: ContextVar[bool] = ContextVar("rayseg_rank0_only", default=False)


def is_distributed() -> bool:
    """Whether a process group is up."""
    return dist.is_available() and dist.is_initialized()


def get_rank() -> int:
    """This process's rank, 0 without a process group."""
    return dist.get_rank() if is_distributed() else 0


def get_world_size() -> int:
    """Number of processes, 1 without a process group."""
    return dist.get_world_size() if is_distributed() else 1


def all_reduce(tensor: torch.Tensor, op: str = "sum", group: Any = None) -> torch.Tensor:
    """Reduce in place over ranks: ``op`` is ``sum``, ``max``, ``min`` or ``mean``. Returns the tensor."""
    if get_world_size() == 1:
        return tensor
    if op == "mean":
        dist.all_reduce(tensor, dist.ReduceOp.SUM, group=group)
        return tensor.div_(get_world_size())
    dist.all_reduce(tensor, getattr(dist.ReduceOp, op.upper()), group=group)
    return tensor


def broadcast_object(value: T, group: Any = None) -> T:
    """Rank 0's picklable value, on every rank."""
    if get_world_size() == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0, group=group)
    return box[0]


def gather_objects(value: T, group: Any = None) -> list[T]:
    """Every rank's picklable value in rank order, on every rank. For small things only."""
    if get_world_size() == 1:
        return [value]
    values: list[Any] = [None] * get_world_size()
    dist.all_gather_object(values, value, group=group)
    return values


def on_rank0(function: Callable[[], T], group: Any = None) -> T:
    """Call ``function`` on rank 0 only and give its picklable result to every rank.

    Raises:
        Exception: what ``function`` raised, on every rank, so that none is left waiting.
    """
    result: tuple[bool, Any] = (True, None)
    if get_rank() == 0:
        try:
            result = (True, function())
        except Exception as error:
            if get_world_size() == 1:
                raise
            result = (False, error)
    succeeded, value = broadcast_object(result, group)
    if not succeeded:
        raise value
    return value


def master_only(function: Callable[P, T]) -> Callable[P, T | None]:
    """Decorator: call the function on rank 0 only; the others get None at once. It must not communicate."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T | None:
        if get_rank() != 0:
            return None
        token = _RANK0_ONLY.set(True)
        try:
            return function(*args, **kwargs)
        finally:
            _RANK0_ONLY.reset(token)

    return call


def inside_master_only() -> bool:
    """Whether this is called, perhaps through others, by a function that runs on rank 0 only."""
    return _RANK0_ONLY.get()


def barrier(group: Any = None) -> None:
    """Wait for every rank."""
    if get_world_size() > 1:
        dist.barrier(group=group)


def unwrap(model: torch.nn.Module) -> torch.nn.Module:
    """The model without DDP's and torch.compile's wrappers, so that its parameter names are canonical."""
    while True:
        if isinstance(model, torch.nn.parallel.DistributedDataParallel):
            model = model.module
        elif hasattr(model, "_orig_mod"):
            model = model._orig_mod  # type: ignore[assignment]
        else:
            return model
