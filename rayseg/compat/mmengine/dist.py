"""``mmengine.dist``: the helpers that hooks use. They mean the same in one process, where they communicate nothing."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from rayseg.core import distributed
from rayseg.core.distributed import barrier, get_rank, get_world_size, is_distributed, master_only

__all__ = [
    "all_gather",
    "all_gather_object",
    "all_reduce",
    "barrier",
    "broadcast",
    "broadcast_object_list",
    "get_dist_info",
    "get_rank",
    "get_world_size",
    "is_distributed",
    "is_main_process",
    "master_only",
]


def get_dist_info(group: Any = None) -> tuple[int, int]:
    """This process's rank, and how many processes there are."""
    return get_rank(), get_world_size()


def is_main_process(group: Any = None) -> bool:
    """Whether this is rank 0."""
    return get_rank() == 0


def all_reduce(data: Tensor, op: str = "sum", group: Any = None) -> None:
    """Reduce a tensor of any device in place over ranks: ``sum``, ``mean``, ``max`` or ``min``."""
    there = _for_backend(data, group)
    distributed.all_reduce(there, op, group)
    if there is not data:
        data.copy_(there)


def all_gather(data: Tensor, group: Any = None) -> list[Tensor]:
    """Every rank's tensor (of one shape and dtype) in rank order, on the device of this rank's."""
    if get_world_size() == 1:
        return [data]
    there = _for_backend(data, group).contiguous()
    gathered = [torch.empty_like(there) for _ in range(get_world_size())]
    dist.all_gather(gathered, there, group=group)
    return [tensor.to(data.device) for tensor in gathered]


def broadcast(data: Tensor, src: int = 0, group: Any = None) -> None:
    """Put one rank's tensor into that of every rank, in place."""
    if get_world_size() > 1:
        there = _for_backend(data, group)
        dist.broadcast(there, src, group=group)
        if there is not data:
            data.copy_(there)


def broadcast_object_list(data: list[Any], src: int = 0, group: Any = None) -> None:
    """Put one rank's picklable items into the list of every rank, in place."""
    if get_world_size() > 1:
        dist.broadcast_object_list(data, src, group=group)


def all_gather_object(data: Any, group: Any = None) -> list[Any]:
    """Every rank's picklable value in rank order."""
    return distributed.gather_objects(data, group)


def _for_backend(data: Tensor, group: Any) -> Tensor:
    """The tensor where the group can communicate it: NCCL knows GPUs only."""
    is_nccl = get_world_size() > 1 and dist.get_backend(group) == "nccl"
    return data.cuda() if is_nccl and not data.is_cuda else data
