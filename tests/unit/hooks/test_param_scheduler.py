"""ParamSchedulerHook: schedules step by iterations or by epochs, and never both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from rayseg.core.errors import ConfigError
from rayseg.engine.hook import Hook
from tests.unit.engine.training import epochs, iterations, sgd, train


class Rates(Hook):
    """The learning rate that each iteration uses."""

    def __init__(self) -> None:
        self.rates: list[float] = []

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        self.rates.append(runner.optim_wrapper.param_groups[0]["lr"])


def rates(tmp_path: Path, train_cfg: dict[str, Any], *schedulers: dict[str, Any], **sections: Any) -> list[float]:
    hook = Rates()
    train(tmp_path, hook, train_cfg=train_cfg, param_scheduler=list(schedulers), **sections)
    return [rate / 0.05 for rate in hook.rates]


HALVE = {"type": "StepLR", "step_size": 2, "gamma": 0.5}


def test_by_iterations(tmp_path: Path) -> None:
    assert rates(tmp_path, iterations(6), {**HALVE, "by_epoch": False}) == pytest.approx([1, 1, 0.5, 0.5, 0.25, 0.25])


def test_by_epochs(tmp_path: Path) -> None:
    assert rates(tmp_path, epochs(3), {**HALVE, "step_size": 1}) == pytest.approx([1] * 4 + [0.5] * 4 + [0.25] * 4)


def test_by_iterations_in_an_epoch_loop(tmp_path: Path) -> None:
    found = rates(tmp_path, epochs(2), {**HALVE, "by_epoch": False})
    assert found == pytest.approx([1, 1, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125])


def test_both_kinds_together_multiply(tmp_path: Path) -> None:
    by_iter = {**HALVE, "step_size": 4, "by_epoch": False}
    by_epoch = {"type": "StepLR", "step_size": 1, "gamma": 0.1, "by_epoch": True}
    assert rates(tmp_path, epochs(2), by_iter, by_epoch) == pytest.approx([1] * 4 + [0.05] * 4)


def test_accumulation_does_not_slow_a_schedule(tmp_path: Path) -> None:
    """An iteration is one batch, as in MMEngine, whether the optimizer steps or not."""
    found = rates(tmp_path, iterations(4), {**HALVE, "by_epoch": False}, optim_wrapper=sgd(accumulative_counts=4))
    assert found == pytest.approx([1, 1, 0.5, 0.5])


@pytest.mark.parametrize(("train_cfg", "longer"), [(iterations(3), iterations(6)), (epochs(1), epochs(2))])
def test_a_resume_goes_on_where_it_was(tmp_path: Path, train_cfg: dict[str, Any], longer: dict[str, Any]) -> None:
    step = {**HALVE, "by_epoch": False}
    straight = rates(tmp_path / "a", longer, step)
    first, second = rates(tmp_path / "b", train_cfg, step), rates(tmp_path / "b", longer, step)
    assert first + second == pytest.approx(straight)


PLATEAU = {"type": "ReduceOnPlateauLR", "monitor": "mIoU", "rule": "less", "patience": 0, "factor": 0.5}


class Flat(Hook):
    """Makes every validation's metric the same, before the schedulers see it."""

    priority = "HIGH"

    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        assert metrics is not None
        metrics["mIoU"] = 0.5


@pytest.mark.parametrize("by_epoch_loop", [False, True])
def test_a_metric_that_no_longer_improves_lowers_the_rate(tmp_path: Path, by_epoch_loop: bool) -> None:
    train_cfg = epochs(4) if by_epoch_loop else iterations(16, val_interval=4)
    hook = Rates()
    run = train(tmp_path, hook, Flat(), train_cfg=train_cfg, param_scheduler=[PLATEAU])
    assert len(run.scalars("val")) == 4
    assert [rate / 0.05 for rate in hook.rates] == pytest.approx([1] * 8 + [0.5] * 4 + [0.25] * 4)


def test_a_plateau_goes_on_after_a_resume(tmp_path: Path) -> None:
    found = []
    for end in (8, 16):
        hook = Rates()
        train(tmp_path, hook, Flat(), train_cfg=iterations(end, val_interval=4), param_scheduler=[PLATEAU])
        found += [rate / 0.05 for rate in hook.rates]
    assert found == pytest.approx([1] * 8 + [0.5] * 4 + [0.25] * 4)


def test_a_plateau_of_an_unknown_metric_is_refused_before_training(tmp_path: Path) -> None:
    hook = Rates()
    with pytest.raises(ConfigError, match=r"param_scheduler\.0: ReduceOnPlateauLR\.monitor: no metric 'mIou'"):
        train(tmp_path, hook, train_cfg=iterations(4), param_scheduler=[{**PLATEAU, "monitor": "mIou"}])
    assert hook.rates == []


def test_a_plateau_without_validation_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"param_scheduler\.0: ReduceOnPlateauLR follows a metric, but"):
        train(tmp_path, train_cfg=iterations(4), param_scheduler=PLATEAU, val_dataloader=None)


@pytest.mark.parametrize("kind", ["AdamW", "MuonAdamW"])
def test_schedules_of_everything_resume_bit_for_bit(tmp_path: Path, kind: str) -> None:
    schedules = [
        {"type": "WSDLR", "warmup": 2, "decay": 3, "end": 20},
        {"type": "LinearMomentum", "start_factor": 0.8, "end": 7},
        {"type": "CosineAnnealingWeightDecay", "eta_min": 0.4, "end": 20},
        {**PLATEAU, "rule": None},
    ]
    sections: dict[str, Any] = {
        "optim_wrapper": {"optimizer": {"type": kind, "lr": 0.01}, "paramwise_cfg": {"norm_decay_mult": 0.0}},
        "param_scheduler": schedules,
    }

    def run(folder: Path, end: int) -> Any:
        return train(folder, Flat(), train_cfg=iterations(end, val_interval=2), **sections).runner

    whole = run(tmp_path / "whole", 9)
    run(tmp_path / "parts", 4)
    resumed = run(tmp_path / "parts", 9)
    for one, other in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(one, other)
    assert resumed.optim_wrapper.get_lr() == whole.optim_wrapper.get_lr()
    assert resumed.optim_wrapper.get_momentum() == whole.optim_wrapper.get_momentum()
    for one, other in zip(whole.param_schedulers, resumed.param_schedulers, strict=True):
        assert {**one.state_dict(), "planned_end": 0} == {**other.state_dict(), "planned_end": 0}
