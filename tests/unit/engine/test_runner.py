"""Runner: end stages run whatever happens, hooks' failures are told, and its parts answer together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rayseg.engine.hook import Hook
from rayseg.engine.runner import Runner
from tests.toys import ToyDataset
from tests.unit.engine.training import At, Spy, build, epochs, iterations, train, validation

CFG = iterations(4, val_interval=2)


class Ends(Hook):
    """Notes which failure each end stage saw."""

    def __init__(self, fails_in: str = "") -> None:
        self.seen: list[tuple[str, Any]] = []
        self.fails_in = fails_in

    def _end(self, stage: str, runner: Runner) -> None:
        self.seen.append((stage, runner.failure))
        if stage == self.fails_in:
            raise RuntimeError(f"{stage} broke")

    def after_train(self, runner: Runner) -> None:
        self._end("after_train", runner)

    def after_run(self, runner: Runner) -> None:
        self._end("after_run", runner)


def oops(runner: Runner) -> None:
    raise ValueError("oops")


def test_a_clean_end_has_no_failure(tmp_path: Path) -> None:
    ends = Ends()
    run = train(tmp_path, ends, train_cfg=CFG)
    assert ends.seen == [("after_train", None), ("after_run", None)]
    assert run.outcome == {"status": "finished", "iter": 4}
    assert run.events("ended") == [run.outcome]


@pytest.mark.parametrize(
    ("stage", "at"),
    [("before_train", 0), ("before_train_iter", 2), ("after_val_iter", 2), ("before_save_checkpoint", 4)],
)
def test_end_stages_see_the_failure(tmp_path: Path, stage: str, at: int) -> None:
    ends = Ends()
    run = build(tmp_path, ends, At(stage, at, oops), train_cfg=CFG)
    with pytest.raises(ValueError, match="oops") as caught:
        run.runner.train()
    assert ends.seen == [("after_train", caught.value), ("after_run", caught.value)]
    assert caught.value.__notes__ == [f"in hook At, stage {stage}, at iter {at}"]
    assert run.events("ended") == []


def test_a_failure_of_the_model_reaches_them_too(tmp_path: Path) -> None:
    ends = Ends()
    run = build(tmp_path, ends, train_cfg=CFG)

    def broken(*arguments: Any, **named: Any) -> Any:
        raise FloatingPointError("overflow")

    run.runner.model.forward = broken
    with pytest.raises(FloatingPointError):
        run.runner.train()
    assert [stage for stage, _ in ends.seen] == ["after_train", "after_run"]


def test_a_keyboard_interrupt_too(tmp_path: Path) -> None:
    def interrupt(runner: Runner) -> None:
        raise KeyboardInterrupt

    ends = Ends()
    run = build(tmp_path, ends, At("after_train_iter", 1, interrupt), train_cfg=CFG)
    with pytest.raises(KeyboardInterrupt):
        run.runner.train()
    assert [(stage, type(failure)) for stage, failure in ends.seen] == [
        ("after_train", KeyboardInterrupt),
        ("after_run", KeyboardInterrupt),
    ]


def test_before_run_that_fails_ends_with_after_run(tmp_path: Path) -> None:
    ends = Ends()
    run = build(tmp_path, ends, At("before_run", 0, oops), train_cfg=CFG)
    with pytest.raises(ValueError, match="oops"):
        run.runner.train()
    assert [stage for stage, _ in ends.seen] == ["after_run"]


@pytest.mark.parametrize("stage", ["after_train", "after_run"])
def test_an_end_stage_that_fails_does_not_hide_what_ended_the_run(tmp_path: Path, stage: str) -> None:
    ends, spy = Ends(stage), Spy()
    run = build(tmp_path, ends, spy, At("before_train_iter", 1, oops), train_cfg=CFG)
    with pytest.raises(ValueError, match="oops") as caught:
        run.runner.train()
    assert f"and {stage} failed too: RuntimeError('{stage} broke')" in caught.value.__notes__
    assert [name for name, _ in ends.seen] == ["after_train", "after_run"]
    assert spy.stages[-2:] == ["after_train", "after_run"], "every other hook has its end stages"


def test_an_end_stage_that_fails_after_a_clean_run_is_a_failure(tmp_path: Path) -> None:
    ends, spy = Ends("after_train"), Spy()
    run = build(tmp_path, ends, spy, train_cfg=CFG)
    with pytest.raises(RuntimeError, match="after_train broke") as caught:
        run.runner.train()
    assert ends.seen == [("after_train", None), ("after_run", caught.value)]
    assert spy.stages[-2:] == ["after_train", "after_run"]
    assert run.events("ended") == []


def test_val_has_its_run_stages(tmp_path: Path) -> None:
    spy, ends = Spy(), Ends()
    run = build(tmp_path, spy, ends, train_cfg=CFG, val_dataloader=validation(3))
    metrics = run.runner.val()
    assert metrics is not None
    assert 0 <= metrics["mIoU"] <= 1
    assert spy.stages == [
        "before_run",
        "before_val",
        "before_val_epoch",
        "before_val_iter",
        "after_val_iter",
        "after_val_epoch",
        "after_val",
        "after_run",
    ]
    assert ends.seen == [("after_run", None)]


def test_validation_leaves_no_trace_in_training(tmp_path: Path) -> None:
    """Generators and buffers are as before, whatever a hook draws."""
    import torch

    def draw(runner: Runner) -> None:
        torch.rand(3)

    plain = train(tmp_path / "a", train_cfg=iterations(4), param_scheduler=None)
    drawing = [At("after_val_iter", at, draw) for at in (1, 2, 3, 4)]
    often = train(tmp_path / "b", *drawing, train_cfg=iterations(4, val_interval=1), param_scheduler=None)
    for one, other in zip(
        plain.runner.model.state_dict().values(), often.runner.model.state_dict().values(), strict=True
    ):
        assert torch.equal(one, other)


def test_the_mode_of_the_model(tmp_path: Path) -> None:
    modes: list[tuple[str, bool]] = []

    class Modes(Hook):
        def _before_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, mode: str = "train") -> None:
            modes.append((mode, runner.model.training))

    train(tmp_path, Modes(), train_cfg=CFG)
    assert set(modes) == {("train", True), ("val", False)}


def test_what_an_iteration_runner_answers(tmp_path: Path) -> None:
    data = {"batch_size": 4, "dataset": {"type": ToyDataset, "size": 10}}
    runner = train(tmp_path, train_cfg=iterations(6), train_dataloader=data).runner
    assert (runner.iter, runner.max_iters, runner.max_epochs) == (6, 6, 1)
    assert (runner.position, runner.passes, runner.epoch_length) == (24, 2, 3)
    assert (runner.rank, runner.world_size, runner.global_batch_size) == (0, 1, 4)
    assert len(runner.val_dataloader.dataset) == 7


def test_what_an_epoch_runner_answers(tmp_path: Path) -> None:
    data = {"batch_size": 4, "dataset": {"type": ToyDataset, "size": 10}}
    runner = train(tmp_path, train_cfg=epochs(3), train_dataloader=data, val_dataloader=None).runner
    assert (runner.iter, runner.epoch, runner.max_iters, runner.max_epochs) == (6, 3, 6, 3)
    assert (runner.position, runner.passes, runner.epoch_length) == (24, 3, 2)
    assert runner.val_dataloader is None


def test_the_attempt_is_told_with_what_it_is(tmp_path: Path) -> None:
    first, second = train(tmp_path, train_cfg=CFG), train(tmp_path, train_cfg=iterations(6))
    (event,) = second.events("attempt")
    assert (event["attempt"], event["start_from"], event["max_iters"]) == (2, "iter_4", 6)
    assert first.events("attempt")[0]["start_from"] is None
    assert [record.name for record in second.records[:2]] == ["attempt", "hooks"]


def test_the_table_of_hooks_is_told(tmp_path: Path) -> None:
    (event,) = train(tmp_path, train_cfg=CFG).events("hooks")
    table = {stage: [name for _, name in hooks] for stage, hooks in event["table"]}
    assert table["after_train_iter"] == ["runtime_info", "timer", "logger", "param_scheduler", "checkpoint"]
    assert "before_val" not in table
