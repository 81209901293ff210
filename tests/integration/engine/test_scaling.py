"""The formulas of docs/scaling.md beside what is counted at 1, 2 and 4 ranks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from rayseg.core.record import Record
from rayseg.engine.buffers import named_buffers
from rayseg.engine.build import build_training, resolve_config
from rayseg.engine.checkpoint_store import CheckpointStore
from rayseg.engine.host import LocalHost
from rayseg.engine.runner import Runner
from tests.distributed import run_ranks
from tests.toys import CLASSES, ToyDataset, ToyNet, toy_config

ITERS, ACCUMULATE, LOG, CONTROL, VAL, SAVE = 24, 2, 4, 6, 12, 8
VALIDATIONS, SAVES, LINES = ITERS // VAL, ITERS // SAVE, ITERS // LOG
NUMBERS = ("data_time", "grad_norm", "iter_time", "loss", "loss_ce")  # of a line, means over ranks
WORD = {"float": 4, "double": 8, "int": 4, "long int": 8, "unsigned char": 1}
OWN_OF_A_RANK = 20_000  # bytes of rank_NNNN.pt besides buffers: generators and windows


@dataclass(frozen=True)
class Counted:
    """What one rank has sent and written in a training.

    Attributes:
        collectives: how often each (operation, bytes of this rank's tensor) took place.
        records: how often the owner was told of each kind of thing.
        trained, weights, buffers, moments: bytes of gradients, of the model's state, of its floating-point buffers,
            and of the optimizer's state.
        files: bytes of each file of the last checkpoint.
    """

    collectives: Counter[tuple[str, int]]
    records: Counter[str]
    trained: int
    weights: int
    buffers: int
    moments: int
    files: dict[str, int]


def count(world_size: int, folder: str) -> Counted:
    """Train on this rank, and count."""
    config = toy_config(
        model={**toy_config()["model"], "net": {"type": ToyNet, "width": 64}},
        train_dataloader={"batch_size": 2, "dataset": {"type": ToyDataset}},
        train_cfg={"type": "IterBasedTrainLoop", "max_iters": ITERS, "val_interval": VAL},
        optim_wrapper={
            "type": "OptimWrapper",
            "optimizer": {"type": "AdamW", "lr": 0.01},
            "accumulative_counts": ACCUMULATE,
            "clip_grad": {"max_norm": 1.0},
        },
        default_hooks={
            "logger": {"type": "LoggerHook", "interval": LOG},
            "checkpoint": {"type": "CheckpointHook", "by_epoch": False, "interval": SAVE},
            "visualization": None,
        },
        env_cfg={"control_interval": CONTROL},
        scaling={"num_workers": world_size},
    )
    told: list[Record] = []
    runner = build_training(resolve_config(config), LocalHost(told.append, "cpu"), Path(folder))
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as profiler:
        runner.train()
    assert runner.iter == ITERS
    last = CheckpointStore(Path(folder, "checkpoints")).latest()
    assert last is not None
    manifest = Path(folder, "checkpoints", last.name, "manifest.json")
    return Counted(
        Counter(collectives(profiler)),
        Counter(record.name or record.mode or record.kind for record in told),
        **sizes(runner),
        files={**{name: entry.size for name, entry in last.files.items()}, manifest.name: manifest.stat().st_size},
    )


def collectives(profiler: Any) -> Iterator[tuple[str, int]]:
    """Operation and bytes, DDP's own included, of each collective."""
    for event in profiler.profiler.kineto_results.events():
        if event.name().startswith("gloo:"):
            values = torch.Size(event.shapes()[0]).numel()
            yield event.name().removeprefix("gloo:"), values * WORD[event.dtypes()[0]]


def sizes(runner: Runner) -> dict[str, int]:
    """The bytes that the formulas are made of."""
    state = runner.optim_wrapper.optimizer.state.values()
    return {
        "trained": volume(value for value in runner.model.parameters() if value.requires_grad),
        "weights": volume(runner.model.state_dict().values()),
        "buffers": volume(value for value in named_buffers(runner.model).values() if value.is_floating_point()),
        "moments": volume(value for values in state for value in values.values()),
    }


def volume(tensors: Iterator[torch.Tensor] | Any) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


@pytest.fixture(scope="module", params=[1, 2, 4])
def ranks(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Counted]:
    """What each of 1, 2, 4 ranks counted."""
    return run_ranks(count, request.param, request.param, str(tmp_path_factory.mktemp("run")))


def test_gradients_are_reduced_once_an_optimizer_step(ranks: list[Counted]) -> None:
    tried = 2 if len(ranks) > 2 else 0  # backwards before the first iteration, for DDP's buckets
    for rank in ranks:
        steps = ITERS // ACCUMULATE + tried if len(ranks) > 1 else 0
        assert rank.collectives["all_reduce", rank.trained] == steps


def test_nothing_else_is_reduced_but_control_points_lines_and_validations(ranks: list[Counted]) -> None:
    alarms = 0
    expected = {
        8 * (6 + 2 * alarms): ITERS // CONTROL + VALIDATIONS + 1,
        8 * 2: LINES + VALIDATIONS,
        8 * len(NUMBERS): LINES,
        8 * (len(CLASSES) ** 2 + 5): VALIDATIONS,
    }
    for rank in ranks:
        found = {size: n for (name, size), n in rank.collectives.items() if name == "all_reduce"}
        found.pop(rank.trained, None)
        assert found == (expected if len(ranks) > 1 else {})


def test_buffers_are_sent_in_validations_and_saves_only(ranks: list[Counted]) -> None:
    for rank in ranks:
        assert rank.collectives["broadcast", rank.buffers] == (VALIDATIONS + SAVES if len(ranks) > 1 else 0)


def test_the_rest_is_less_than_a_kilobyte_a_save(ranks: list[Counted]) -> None:
    for rank in ranks:
        small = {
            (name, size): n
            for (name, size), n in rank.collectives.items()
            if name == "all_gather" or (name == "broadcast" and size != rank.buffers)
        }
        assert sum(size * n for (_, size), n in small.items()) <= SAVES * 1024


def test_only_rank_0_tells_the_owner_and_as_much_with_any_number_of_ranks(ranks: list[Counted]) -> None:
    first, *others = ranks
    at_the_start = {"attempt": 1, "hooks": 1, "parameter_groups": 1}
    assert first.records == {
        **at_the_start, "train": LINES, "val": VALIDATIONS, "checkpoint": SAVES, "times": VALIDATIONS + 1, "ended": 1
    }  # fmt: skip
    assert not any(rank.records for rank in others)


def test_a_checkpoint_is_the_model_and_the_optimizer_once_and_each_ranks_own(ranks: list[Counted]) -> None:
    first = ranks[0]
    files = dict(first.files)
    assert 0 <= files.pop("model.safetensors") - first.weights < 2000
    assert 0 <= files.pop("training_state.pt") - first.moments < 16_000
    assert files.pop("records.json") < 16_000
    assert files.pop("manifest.json") < 2000 + 200 * len(ranks)
    assert sorted(files) == [f"rank_{rank:04d}.pt" for rank in range(len(ranks))]
    assert all(0 <= size - first.buffers < OWN_OF_A_RANK for size in files.values())
