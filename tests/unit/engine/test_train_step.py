"""TrainStep: one forward and backward, and micro-batches that equal the whole batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from rayseg.engine.train_step import TrainStep, split_batch, warm_up
from tests.toys import GroupNormNet, ToyDataset, toy_config
from tests.unit.engine.training import build, iterations, sgd

PER_RANK: dict[str, Any] = {"type": "CrossEntropyLoss"}
GLOBAL = {**PER_RANK, "normalize": "global"}
LOSSES: list[Any] = [
    GLOBAL,
    {**GLOBAL, "class_weight": [1.0, 3.0, 0.5]},
    [{**GLOBAL, "loss_weight": 0.5}, {"type": "FocalLoss", "normalize": "global"}],
]


def runner_of(tmp_path: Path, loss: Any = PER_RANK, **wrapper: Any) -> Any:
    model = {**toy_config()["model"], "net": {"type": GroupNormNet}, "loss": loss}
    data = {"batch_size": 8, "dataset": {"type": ToyDataset, "augment": False}}
    return build(
        tmp_path, model=model, train_dataloader=data, optim_wrapper=sgd(**wrapper), train_cfg=iterations(12)
    ).runner


def batch_of(runner: Any) -> Any:
    """A batch whose samples have very different numbers of ignored pixels."""
    batch = next(iter(runner.train_dataloader))
    for index, sample in enumerate(batch["data_samples"]):
        sample.gt_sem_seg.data[..., : 2 * index] = 255
    return batch


@pytest.mark.parametrize(("loss", "ignored"), [*[(loss, True) for loss in LOSSES], (PER_RANK, False)])
@pytest.mark.parametrize("pieces", [2, 4, 8])
def test_micro_batches_equal_the_whole_batch(tmp_path: Path, loss: Any, ignored: bool, pieces: int) -> None:
    whole, split = runner_of(tmp_path / "a", loss), runner_of(tmp_path / "b", loss)
    batch = batch_of(whole) if ignored else next(iter(whole.train_dataloader))
    losses = whole.train_step(batch)
    in_pieces = TrainStep(split.model, split.optim_wrapper, pieces)(batch)
    assert set(losses) == set(in_pieces)
    for name, value in losses.items():
        torch.testing.assert_close(in_pieces[name], value)
    for (name, one), other in zip(whole.model.named_parameters(), split.model.parameters(), strict=True):
        torch.testing.assert_close(one, other, msg=name)


def test_per_rank_micro_batches_stand_for_the_workers_that_are_missing(tmp_path: Path) -> None:
    """With ignored pixels their losses are averaged as DDP averages those of that many workers."""
    runner = runner_of(tmp_path)
    batch = batch_of(runner)
    of_workers = [
        runner.model(part["inputs"], part["data_samples"], mode="loss")["loss"] for part in split_batch(batch, 4)
    ]
    losses = TrainStep(runner.model, runner.optim_wrapper, 4)(batch)
    torch.testing.assert_close(losses["loss"], torch.stack(of_workers).mean().detach())


@pytest.mark.parametrize("pieces", [1, 2])
def test_a_step_counts_once_and_moves_the_weights(tmp_path: Path, pieces: int) -> None:
    runner = runner_of(tmp_path)
    before = [value.clone() for value in runner.model.parameters()]
    losses = TrainStep(runner.model, runner.optim_wrapper, pieces)(batch_of(runner))
    assert runner.optim_wrapper.inner_count == 1
    assert not any(map(torch.equal, before, runner.model.parameters()))
    assert all(value.shape == () and not value.requires_grad for value in losses.values())
    assert {"loss", "loss_ce"} <= set(losses)


@pytest.mark.parametrize("pieces", [1, 4])
def test_a_window_steps_at_its_end(tmp_path: Path, pieces: int) -> None:
    runner = runner_of(tmp_path, accumulative_counts=3)
    runner.optim_wrapper.initialize_count_status(runner.model, 0, 12)
    step = TrainStep(runner.model, runner.optim_wrapper, pieces)
    before = [value.clone() for value in runner.model.parameters()]
    moved = []
    for _ in range(3):
        step(batch_of(runner))
        moved.append(not all(map(torch.equal, before, runner.model.parameters())))
    assert moved == [False, False, True]


@pytest.mark.parametrize("pieces", [1, 2, 3, 6])
def test_the_parts_of_a_batch(pieces: int) -> None:
    batch = {"inputs": torch.arange(6), "data_samples": list("abcdef")}
    parts = list(split_batch(batch, pieces))
    assert len(parts) == pieces
    assert torch.cat([part["inputs"] for part in parts]).tolist() == [*range(6)]
    assert [sample for part in parts for sample in part["data_samples"]] == list("abcdef")


def test_the_parts_of_a_batch_of_images_of_several_sizes() -> None:
    images = [torch.zeros(3, n, n) for n in range(1, 5)]
    first, second = split_batch({"inputs": images, "data_samples": list("abcd")}, 2)
    assert [len(image[0]) for image in first["inputs"]] == [1, 2]
    assert second["data_samples"] == ["c", "d"]


def test_one_process_needs_no_warming_up() -> None:
    def never(*arguments: Any, **named: Any) -> Any:
        raise AssertionError("called")

    model = torch.nn.Linear(1, 1)
    model.forward = never  # type: ignore[method-assign]
    warm_up(model, {"inputs": None, "data_samples": []})


def test_fewer_workers_than_configured_split_their_batch(tmp_path: Path) -> None:
    """One process does the work of four: the same global batch, no piece larger than one worker's."""
    runner = build(tmp_path, train_cfg=iterations(2), scaling={"num_workers": 4}).runner
    assert (runner.global_batch_size, runner.micro_batches) == (16, 4)
    sizes: list[int] = []
    forward = runner.model.forward

    def counting(inputs: torch.Tensor, *arguments: Any, **named: Any) -> Any:
        if named.get("mode") == "loss":
            sizes.append(len(inputs))
        return forward(inputs, *arguments, **named)

    runner.model.forward = counting
    runner.train()
    assert sizes == [4] * 8
