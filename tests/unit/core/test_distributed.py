"""The helpers over torch.distributed, on one process and on several."""

from __future__ import annotations

import pytest
import torch

from rayseg.core import distributed as rd
from tests.distributed import run_ranks


def collectives() -> dict[str, object]:
    rank = rd.get_rank()
    return {
        "sum": rd.all_reduce(torch.tensor([rank + 1])).item(),
        "mean": rd.all_reduce(torch.tensor([float(rank)]), "mean").item(),
        "max": rd.all_reduce(torch.tensor([rank]), "max").item(),
        "broadcast": rd.broadcast_object({"from": rank}),
        "gather": rd.gather_objects(rank),
        "rank0": rd.on_rank0(lambda: "only here"),
    }


def failing_on_rank0() -> str:
    try:
        rd.on_rank0(lambda: 1 / 0)
    except ZeroDivisionError as error:
        return str(error)
    return "no error"


@pytest.mark.world_size(2)
def test_collectives_over_two_ranks() -> None:
    for result in run_ranks(collectives, 2):
        assert result == {
            "sum": 3,
            "mean": 0.5,
            "max": 1,
            "broadcast": {"from": 0},
            "gather": [0, 1],
            "rank0": "only here",
        }


def test_collectives_in_one_process_change_nothing() -> None:
    assert collectives() == {
        "sum": 1,
        "mean": 0.0,
        "max": 0,
        "broadcast": {"from": 0},
        "gather": [0],
        "rank0": "only here",
    }


@pytest.mark.world_size(2)
def test_an_error_on_rank0_reaches_every_rank() -> None:
    assert run_ranks(failing_on_rank0, 2) == ["division by zero", "division by zero"]


def test_unwrap_gives_canonical_names() -> None:
    net = torch.nn.Linear(2, 2)
    assert rd.unwrap(torch.compile(net)) is net
    assert rd.unwrap(net) is net
