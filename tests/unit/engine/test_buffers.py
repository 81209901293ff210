"""Buffers: which there are, copies that are reduced over ranks, and each rank's own left as they were."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn

from rayseg.engine.buffers import load_buffers, named_buffers, reduced_buffers, shared_buffers
from tests.distributed import run_ranks


class Wrapped(nn.Module):
    """As torch.compile and DDP wrap."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self._orig_mod = module


def net() -> nn.Module:
    module = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    module.register_buffer("scratch", torch.zeros(2), persistent=False)
    return module


NAMES = {"1.running_mean", "1.running_var", "1.num_batches_tracked"}


def test_persistent_buffers_under_canonical_names() -> None:
    module = net()
    assert set(named_buffers(module)) == set(named_buffers(Wrapped(module))) == NAMES
    assert named_buffers(module)["1.running_mean"] is module[1].running_mean


def test_a_parameter_that_is_tied_is_no_buffer() -> None:
    module = net()
    module.again = module[0]
    assert set(named_buffers(module)) == NAMES


def test_in_one_process_the_reduced_ones_are_copies() -> None:
    module = net()
    for how in ("mean", "rank0"):
        copies = reduced_buffers(module, how)  # type: ignore[arg-type]
        assert set(copies) == NAMES
        copies["1.running_mean"].fill_(9)
        assert module[1].running_mean.tolist() == [0, 0]


def test_loading_is_in_place() -> None:
    module = net()
    live = module[1].running_mean
    load_buffers(module, {"1.running_mean": torch.tensor([3.0, 4.0])})
    assert live is module[1].running_mean
    assert live.tolist() == [3, 4]


def test_sharing_in_one_process_changes_nothing() -> None:
    module: Any = net()
    with shared_buffers(module, "mean"):
        module[1].running_mean.fill_(5)
    assert module[1].running_mean.tolist() == [5, 5]


def _collectives_of_a_reduction() -> list[str]:
    calls: list[str] = []

    def counted(name: str) -> Any:
        original = getattr(dist, name)

        def call(tensor: torch.Tensor, *arguments: Any, **named: Any) -> Any:
            calls.append(f"{name} {tensor.dtype}")
            return original(tensor, *arguments, **named)

        return call

    dist.all_reduce, dist.broadcast = counted("all_reduce"), counted("broadcast")
    reduced_buffers(nn.Sequential(*(net() for _ in range(5))), "mean")
    return calls


@pytest.mark.world_size(2)
def test_one_collective_for_each_dtype() -> None:
    for calls in run_ranks(_collectives_of_a_reduction, 2):
        assert sorted(calls) == ["all_reduce torch.float32", "broadcast torch.int64"]
