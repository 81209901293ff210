"""Building a Runner: shares and micro-batches, seeds, what is built in which order, and errors that name the key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rayseg.core.errors import ConfigError
from rayseg.engine.build import build_testing, pieces_of, resolve_config, run_name, share_of, store_of
from rayseg.engine.hook import Hook
from rayseg.engine.host import LocalHost
from rayseg.engine.runner import Runner
from tests.toys import GroupNormNet, ToyDataset, ToyNet, toy_config
from tests.unit.engine.training import build, hooks, iterations, train


@settings(deadline=None)
@given(st.integers(1, 64), st.integers(1, 16))
def test_shares(global_batch_size: int, world_size: int) -> None:
    if global_batch_size % world_size == 0:
        assert share_of(global_batch_size, world_size) * world_size == global_batch_size
        return
    with pytest.raises(ConfigError) as caught:
        share_of(global_batch_size, world_size)
    possible = str(caught.value).rpartition("possible are ")[2].split(", ")
    assert possible == [str(n) for n in range(1, global_batch_size + 1) if global_batch_size % n == 0]


def test_the_error_of_shares_says_both_numbers() -> None:
    with pytest.raises(ConfigError, match=r"scaling.num_workers: 3 workers do not divide .* of 8; .* 1, 2, 4, 8$"):
        share_of(8, 3)


@settings(deadline=None)
@given(st.integers(1, 200), st.integers(1, 64))
def test_pieces_are_equal_and_as_few_as_fit(share: int, per_worker: int) -> None:
    pieces = pieces_of(share, per_worker)
    assert share % pieces == 0
    assert share // pieces <= per_worker
    assert not any(share % n == 0 and share // n <= per_worker for n in range(1, pieces))


@pytest.mark.parametrize(("share", "per_worker", "pieces"), [(4, 4, 1), (8, 4, 2), (6, 4, 2), (7, 4, 7), (4, 9, 1)])
def test_pieces(share: int, per_worker: int, pieces: int) -> None:
    assert pieces_of(share, per_worker) == pieces


def test_a_resume_keeps_the_global_batch(tmp_path: Path) -> None:
    train(tmp_path, train_cfg=iterations(3), scaling={"num_workers": 2})
    resumed = build(tmp_path, train_cfg=iterations(3), scaling={"num_workers": 1})
    assert resumed.runner.global_batch_size == 8
    assert resumed.runner.micro_batches == 2


def test_a_global_batch_may_be_given(tmp_path: Path) -> None:
    runner = Runner.from_config(toy_config(), work_dir=tmp_path, global_batch_size=12)
    assert (runner.global_batch_size, runner.micro_batches) == (12, 3)


def weights(runner: Runner) -> list[torch.Tensor]:
    return [value.clone() for value in runner.model.state_dict().values()]


def test_the_seed_alone_decides_the_weights(tmp_path: Path) -> None:
    torch.manual_seed(1)
    first = weights(build(tmp_path / "a").runner)
    torch.manual_seed(2)
    again = weights(build(tmp_path / "b", train_dataloader={"batch_size": 2, "dataset": {"type": ToyDataset}}).runner)
    other = weights(build(tmp_path / "c", randomness={"seed": 4, "threads": 1}).runner)
    assert all(map(torch.equal, first, again))
    assert not all(map(torch.equal, first, other))


def test_two_runs_of_one_seed_are_equal(tmp_path: Path) -> None:
    first, second = (train(tmp_path / name, custom_hooks=[{"type": "EMAHook"}]) for name in "ab")
    assert all(map(torch.equal, weights(first.runner), weights(second.runner)))


def test_threads_are_set_and_kept_by_a_resume(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    try:
        build(tmp_path, randomness={"threads": 2}).runner.train()
        assert torch.get_num_threads() == 2
        build(tmp_path, randomness={"threads": 1})
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


class Late(Hook):
    priority = "LOWEST"


def test_hooks_in_order_of_registration(tmp_path: Path) -> None:
    runner = build(tmp_path, custom_hooks=[{"type": Late}, {"type": Late, "priority": 5}, {"type": "EMAHook"}]).runner
    names = [type(hook).__name__ for hook in runner.hooks]
    assert names == [
        "Late",
        "RuntimeInfoHook",
        "IterTimerHook",
        "DistSamplerSeedHook",
        "SegVisualizationHook",
        "EMAHook",
        "LoggerHook",
        "ParamSchedulerHook",
        "CheckpointHook",
        "Late",
    ]


def test_a_default_hook_may_be_left_out_replaced_or_moved(tmp_path: Path) -> None:
    changed = {**hooks(), "timer": None, "extra": {"type": Late}}
    changed["logger"] = {"type": "LoggerHook", "priority": "LOWEST"}
    names = [type(hook).__name__ for hook in build(tmp_path, default_hooks=changed).runner.hooks]
    assert "IterTimerHook" not in names
    assert names[-2:] == ["LoggerHook", "Late"]


def moved(tmp_path: Path, **default_hooks: Any) -> list[str]:
    """The warnings of a run whose default hooks have these priorities."""
    named = {name: {"type": kind, "priority": place} for name, (kind, place) in default_hooks.items()}
    custom = [{"type": Late, "priority": 5}]
    run = build(tmp_path, default_hooks=named, custom_hooks=custom)
    return [event["message"] for event in run.events("warning")]


def test_moving_a_default_hook_is_warned_about_with_both_orders(tmp_path: Path) -> None:
    assert moved(tmp_path, logger=("LoggerHook", "LOWEST"), timer=("IterTimerHook", 5)) == [
        "default_hooks: timer, logger with another priority than usual: hooks run in the order timer, Late, "
        "runtime_info, sampler_seed, visualization, param_scheduler, checkpoint, logger instead of Late, "
        "runtime_info, timer, sampler_seed, visualization, logger, param_scheduler, checkpoint"
    ]


def test_a_priority_that_moves_nothing_is_not(tmp_path: Path) -> None:
    assert moved(tmp_path, logger=("LoggerHook", "BELOW_NORMAL"), checkpoint=("CheckpointHook", 95)) == []


def test_the_same_config_builds_twice(tmp_path: Path) -> None:
    """Building takes nothing out of the config."""
    config = resolve_config(toy_config(custom_hooks=[{"type": "EMAHook", "priority": "LOW"}]))
    text = repr(config)
    for name in "ab":
        Runner.from_config(config, work_dir=tmp_path / name)
    assert repr(config) == text


def test_all_errors_of_a_config_come_at_once(tmp_path: Path) -> None:
    config = toy_config(randomness={"sed": 1}, custom_hooks=[{"type": "EMAHok"}])
    with pytest.raises(ConfigError) as caught:
        Runner.from_config(config, work_dir=tmp_path)
    text = str(caught.value)
    assert "randomness.sed" in text
    assert "EMAHook" in text
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("scheduler", "message"),
    [({"type": "PolyLR", "by_epoch": True}, "by_epoch"), ({"type": "PolyLR", "begin": 5, "end": 2}, "begin|end")],
)
def test_a_schedule_that_cannot_be(tmp_path: Path, scheduler: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(tmp_path, param_scheduler=[scheduler])


def test_weights_to_begin_with(tmp_path: Path) -> None:
    model = {**toy_config()["model"], "net": {"type": GroupNormNet}}
    first = train(tmp_path / "a", model=model, train_cfg=iterations(3))
    path = first.runner.checkpointer.store.load("last").path
    second = build(tmp_path / "b", model=model, load_from=path)
    assert all(map(torch.equal, weights(first.runner), weights(second.runner)))
    assert any("matched" in record.data["message"] for record in second.records if record.kind == "log")


def test_a_resume_does_not_load_them_again(tmp_path: Path) -> None:
    first = train(tmp_path / "a", train_cfg=iterations(2))
    path = first.runner.checkpointer.store.load("last").path
    train(tmp_path / "b", train_cfg=iterations(2), load_from=path)
    assert not [record for record in train(tmp_path / "b", load_from=path).records if record.kind == "log"]


def test_weights_that_fit_nowhere(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"elsewhere": torch.ones(3)}, tmp_path / "weights.safetensors")
    with pytest.raises(ConfigError, match=r"weights.safetensors"):
        build(tmp_path / "run", load_from=str(tmp_path / "weights.safetensors"))


def test_the_name_of_a_run(tmp_path: Path) -> None:
    assert run_name(resolve_config(toy_config())) == "run"
    assert run_name(resolve_config(toy_config(experiment_name="fields"))) == "fields"


def test_the_store(tmp_path: Path) -> None:
    assert store_of(resolve_config(toy_config()), tmp_path).root == str(tmp_path / "checkpoints")
    elsewhere = {"url": "memory://bucket/run"}
    assert "bucket/run" in store_of(resolve_config(toy_config(checkpoint_store=elsewhere)), tmp_path).root


def test_a_testing_runner_needs_data(tmp_path: Path) -> None:
    config = resolve_config(toy_config(val_dataloader=None))
    with pytest.raises(ConfigError, match="test_dataloader: nothing to test on"):
        build_testing(config, LocalHost(device="cpu"), tmp_path)


def test_a_testing_runner_makes_nothing(tmp_path: Path) -> None:
    config = resolve_config(toy_config(test_dataloader=toy_config()["val_dataloader"]))
    runner = build_testing(config, LocalHost(device="cpu"), tmp_path)
    assert runner.train_loop is None
    assert (runner.iter, runner.epoch) == (0, 0)
    assert isinstance(runner.model.net, ToyNet)
    assert not list(tmp_path.iterdir())
