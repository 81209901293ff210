"""NonFiniteGuardHook: runs that meet numbers that are none, under both policies, alone and on two ranks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from rayseg.core.errors import RaysegError
from rayseg.engine.hook import Hook
from tests.distributed import run_ranks
from tests.unit.engine.training import Run, build, iterations, sgd, train
from tests.unit.engine.training import hooks as default_hooks


class Poison(Hook):
    """Puts a NaN into the images of some iterations (0 for the first), on one rank."""

    priority = "HIGHEST"

    def __init__(self, at: tuple[int, ...], rank: int = 0) -> None:
        self.at = at
        self.rank = rank
        self.weights: list[torch.Tensor] = []

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        if runner.iter in self.at and runner.rank == self.rank:
            data_batch["inputs"] = data_batch["inputs"].float()
            data_batch["inputs"][0, 0, 0, 0] = torch.nan

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        parameters = torch.nn.utils.parameters_to_vector(runner.model.parameters())
        self.weights.append(parameters.detach().clone())


def guarded(work_dir: Path, poison: Poison, max_iters: int = 12, **sections: Any) -> Run:
    guard = {"type": "NonFiniteGuardHook", **sections.pop("guard", {})}
    return build(
        work_dir,
        poison,
        custom_hooks=[guard],
        **{
            "train_cfg": iterations(max_iters),
            "default_hooks": default_hooks(interval=1),
            "param_scheduler": None,
            "env_cfg": {"control_interval": 4},
            "val_dataloader": None,
            **sections,
        },
    )


@pytest.mark.parametrize("clip", [None, {"max_norm": 1.0}])
def test_stop_ends_the_run_and_saves_nothing_bad(tmp_path: Path, clip: Any) -> None:
    run = guarded(tmp_path, Poison((5,)), optim_wrapper=sgd(clip_grad=clip))
    with pytest.raises(
        RaysegError, match=r"iteration 6: the loss is nan; images: (\d+\.png(, )?){4}; nothing from"
    ) as e:
        run.runner.train()
    assert "iteration 6 on was saved" in str(e.value)
    assert 6 <= run.runner.iter <= 8, "judged at the next control point"
    assert run.saved == [f"iter_{n}" for n in range(1, 6)]
    assert run.events("ended") == []
    assert run.events("warning") == [], "the guard tells it, and nothing says that training goes on"


def test_the_name_that_mmdetection_has(tmp_path: Path) -> None:
    run = guarded(tmp_path, Poison((0,)), guard={"type": "CheckInvalidLossHook", "interval": 50})
    assert "CheckInvalidLossHook.interval changes nothing" in next(
        note for hook in run.runner.hooks for note in hook.notes
    )
    with pytest.raises(RaysegError, match="iteration 1: the loss is nan"):
        run.runner.train()


def test_bad_weights_are_not_saved(tmp_path: Path) -> None:
    """A gradient that is finite, and a step that is not."""

    class Explodes(Hook):
        def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
            if runner.iter == 3:
                runner.model.net.head.bias.data[0] = torch.inf

    run = guarded(tmp_path, Poison(()))
    run.runner.hooks.register(Explodes())
    with pytest.raises(RaysegError, match=r"iteration 4: the weights are no numbers: net.head.bias; nothing from"):
        run.runner.train()
    assert run.saved == ["iter_1", "iter_2", "iter_3"]


OPTIMIZERS = {
    "fused": {"type": "SGD", "lr": 0.05, "momentum": 0.9, "weight_decay": 0.1},
    "foreach": {"type": "SGD", "lr": 0.05, "momentum": 0.9, "weight_decay": 0.1, "foreach": True},
    "adamw": {"type": "AdamW", "lr": 0.05},
    "no momentum": {"type": "SGD", "lr": 0.05},
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("at", [(0,), (5, 6)])
def test_skip_leaves_the_steps_out(tmp_path: Path, optimizer: dict[str, Any], at: tuple[int, ...]) -> None:
    poison = Poison(at)
    wrapper = {"type": "OptimWrapper", "optimizer": optimizer}
    run = guarded(tmp_path, poison, guard={"policy": "skip"}, optim_wrapper=wrapper)
    run.runner.train()
    values = poison.weights
    same = [n for n in range(1, 12) if torch.equal(values[n], values[n - 1])]
    assert same == [n for n in at if n], "and only they"
    assert all(value.isfinite().all() for value in [*values, *run.runner.model.state_dict().values()])
    states = run.runner.optim_wrapper.optimizer.state.values()
    assert all(value.isfinite().all() for state in states for value in state.values() if value is not None)
    assert run.runner.hooks.state_dict()["NonFiniteGuardHook"] == {"skipped": len(at), "in_a_row": 0}
    told = [warning["message"] for warning in run.events("warning") if warning["message"].startswith("iteration ")]
    assert [line.partition(";")[0] for line in told] == [f"iteration {n + 1}: the loss is nan" for n in at]
    assert not hasattr(run.runner.optim_wrapper.optimizer, "found_inf")


def test_a_guarded_run_is_the_run_without_a_guard(tmp_path: Path) -> None:
    for name, hooks in (("a", []), ("b", [{"type": "NonFiniteGuardHook", "policy": "skip"}])):
        poison = Poison(())
        train(tmp_path / name, poison, train_cfg=iterations(6), custom_hooks=hooks, param_scheduler=None)
        if name == "a":
            without = poison.weights
    assert all(torch.equal(one, other) for one, other in zip(without, poison.weights, strict=True))


def test_too_many_in_a_row_end_the_run(tmp_path: Path) -> None:
    run = guarded(tmp_path, Poison(tuple(range(3, 12))), guard={"policy": "skip", "max_in_a_row": 3})
    with pytest.raises(RaysegError, match="iteration 5: the loss is nan"):
        run.runner.train()
    assert run.saved == ["iter_1", "iter_2", "iter_3", "iter_4"]


def test_a_window_is_left_out_whole(tmp_path: Path) -> None:
    poison = Poison((4,))
    run = guarded(tmp_path, poison, guard={"policy": "skip"}, optim_wrapper=sgd(accumulative_counts=3))
    run.runner.train()
    values = poison.weights
    assert [n for n in (2, 5, 8, 11) if torch.equal(values[n], values[n - 1])] == [5]
    assert all(value.isfinite().all() for value in run.runner.model.state_dict().values())
    assert any("iteration 5: the loss is nan" in warning["message"] for warning in run.events("warning"))


def poisoned_rank(work_dir: Path, policy: str) -> Any:
    poison = Poison((5,), rank=1)
    run = guarded(work_dir, poison, guard={"policy": policy})
    try:
        run.runner.train()
    except RaysegError as error:
        return str(error), run.saved
    return [value.tolist() for value in poison.weights], run.runner.model.state_dict()["module.net.head.bias"].tolist()


@pytest.mark.world_size(2)
def test_stop_names_the_rank_and_ends_all(tmp_path: Path) -> None:
    one, other = run_ranks(poisoned_rank, 2, tmp_path, "stop")
    assert one == other
    message, saved = one
    assert "iteration 6: the loss is nan on rank 1; images: " in message
    assert message.count(".png") == 2, "of the bad rank's batch alone"
    assert saved == [f"iter_{n}" for n in range(1, 6)]


@pytest.mark.world_size(2)
def test_skip_leaves_the_step_out_on_all_ranks(tmp_path: Path) -> None:
    one, other = run_ranks(poisoned_rank, 2, tmp_path, "skip")
    assert one == other
    weights, _ = one
    assert [n for n in range(1, 12) if weights[n] == weights[n - 1]] == [5]
