"""DistSamplerSeedHook: samplers are told the epoch, and one that does not shuffle is warned about."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rayseg.hooks.sampler_seed import DistSamplerSeedHook
from tests.toys import ToyDataset
from tests.unit.engine.training import Spy, epochs, iterations, train


class Sampler:
    def __init__(self) -> None:
        self.epochs: list[int] = []

    def set_epoch(self, epoch: int) -> None:
        self.epochs.append(epoch)


def tell(loader: Any, epoch: int) -> None:
    runner: Any = SimpleNamespace(train_dataloader=loader, epoch=epoch)
    DistSamplerSeedHook().before_train_epoch(runner)


def test_samplers_are_told_the_epoch() -> None:
    sampler, inner = Sampler(), Sampler()
    loader = SimpleNamespace(sampler=sampler, batch_sampler=SimpleNamespace(sampler=inner))
    for epoch in range(3):
        tell(loader, epoch)
    assert sampler.epochs == inner.epochs == [0, 1, 2]


def test_samplers_that_do_not_want_to_know_are_left_alone() -> None:
    tell(SimpleNamespace(), 1)
    tell(SimpleNamespace(sampler=[3, 1, 2], batch_sampler=None), 1)


def orders(tmp_path: Path, train_cfg: dict[str, Any], **loader: Any) -> tuple[list[list[int]], list[str]]:
    spy = Spy()
    data = {"batch_size": 4, "dataset": {"type": ToyDataset}, **loader}
    run = train(tmp_path, spy, train_cfg=train_cfg, train_dataloader=data, param_scheduler=None)
    batches = spy.arguments("before_train_iter", "data_batch")
    seen = [sample.metainfo["index"] for batch in batches for sample in batch["data_samples"]]
    return [seen[:16], seen[16:]], [event["message"] for event in run.events("warning")]


@pytest.mark.parametrize("train_cfg", [iterations(8), epochs(2)])
def test_each_pass_has_an_order_of_its_own(tmp_path: Path, train_cfg: dict[str, Any]) -> None:
    (first, second), warnings = orders(tmp_path, train_cfg)
    assert sorted(first) == sorted(second) == [*range(16)]
    assert first != second
    assert warnings == []


@pytest.mark.parametrize(
    "loader",
    [{"shuffle": False}, {"sampler": {"type": "DefaultSampler", "shuffle": False}}],
    ids=["shuffle", "sampler"],
)
def test_data_that_is_not_shuffled_is_warned_about(tmp_path: Path, loader: dict[str, Any]) -> None:
    passes, warnings = orders(tmp_path, iterations(8), **loader)
    assert passes == [[*range(16)]] * 2
    assert warnings == ["train_dataloader does not shuffle: every pass sees the data in the same order"]
