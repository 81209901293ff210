"""LoggerHook: when it publishes, and windows smoothed as MMEngine's LogProcessor smooths them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rayseg.core.errors import ConfigError
from rayseg.engine.hook import Hook
from tests.unit.engine.training import At, Run, Stop, build, epochs, iterations, sgd, train


class Writes(Hook):
    """Writes scalars as a user's hook does, and notes the losses."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        self.losses.append(outputs["loss"].item())
        runner.message_hub.update_scalar("train/x", runner.iter)
        runner.message_hub.update_scalar("train/my_loss", runner.iter)
        runner.message_hub.update_scalar("val/y", runner.iter)
        runner.message_hub.update_scalar("train/lr", 99.0)


def logged(tmp_path: Path, train_cfg: dict[str, Any], processor: Any = None, **options: Any) -> tuple[Run, Writes]:
    writes = Writes()
    default_hooks = {"logger": {"type": "LoggerHook", **options}}
    sections: dict[str, Any] = {"log_processor": processor} if processor else {}
    run = train(tmp_path, writes, train_cfg=train_cfg, default_hooks=default_hooks, param_scheduler=None, **sections)
    return run, writes


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"interval": 3}, [3, 6, 9]),
        ({"interval": 3, "ignore_last": False}, [3, 6, 9, 10]),
        ({"interval": 5, "ignore_last": False}, [5, 10]),
        ({"interval": 100}, []),
        ({}, [10]),
    ],
)
def test_when_it_publishes(tmp_path: Path, options: dict[str, Any], expected: list[int]) -> None:
    run, _ = logged(tmp_path, iterations(10), **options)
    assert list(run.scalars("train")) == expected


def test_the_interval_goes_on_over_epochs(tmp_path: Path) -> None:
    run, _ = logged(tmp_path, epochs(3), interval=3)
    assert list(run.scalars("train")) == [3, 6, 9, 12]
    assert [r.epoch for r in run.records if r.mode == "train"] == [0, 1, 2, 2]


@pytest.mark.parametrize("window", [1, 3, 10])
def test_losses_are_means_over_the_window(tmp_path: Path, window: int) -> None:
    run, writes = logged(tmp_path, iterations(12), {"window_size": window}, interval=4)
    for at, line in run.scalars("train").items():
        expected = mean(writes.losses[max(0, at - window) : at])
        assert line["loss"] == pytest.approx(expected, rel=1e-6)
        assert line["my_loss"] == pytest.approx(mean([*range(at)][-window:])), "its name holds 'loss'"
        assert line["x"] == at - 1, "other scalars are the last value"


@pytest.mark.parametrize("several", [False, True])
def test_momentum_is_logged_when_it_is_scheduled(tmp_path: Path, several: bool) -> None:
    paramwise = {"paramwise_cfg": {"custom_keys": {"head": {"lr_mult": 10.0}}}} if several else {}
    optimizer = {"optimizer": {"type": "AdamW", "lr": 0.01, "betas": (0.8, 0.999)}, **paramwise}
    schedule = {"type": "LinearMomentum", "start_factor": 0.5, "end": 4}
    run = train(tmp_path, train_cfg=iterations(4), param_scheduler=schedule, optim_wrapper=optimizer)
    names = ["momentum.default", "momentum.head"] if several else ["momentum"]
    for at, expected in ((2, 0.4 + 0.4 / 3), (4, 0.8)):
        line = run.scalars("train")[at]
        assert {name: line[name] for name in line if name.startswith("momentum")} == pytest.approx(
            dict.fromkeys(names, expected)
        )


def test_what_a_line_holds(tmp_path: Path) -> None:
    run, _ = logged(tmp_path, iterations(4), interval=2)
    line = run.scalars("train")[4]
    assert set(line) == {
        "loss",
        "loss_ce",
        "my_loss",
        "x",
        "data_time",
        "iter_time",
        "eta_s",
        "samples_per_s",
        "lr",
        "weight_decay",
        "host_memory_mb",
    }
    assert line["lr"] == 0.05, "the optimizer's, whatever the hub holds"
    assert line["samples_per_s"] == pytest.approx(4 / line["iter_time"])
    assert line["iter_time"] >= line["data_time"] >= 0
    assert line["eta_s"] == 0
    assert 10 < line["host_memory_mb"] < 100_000
    assert all(isinstance(value, float) for value in line.values())


def test_the_gradient_norm_is_smoothed(tmp_path: Path) -> None:
    norms: list[float] = []

    class Norms(Hook):
        priority = "LOWEST"

        def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
            norms.append(float(runner.optim_wrapper.grad_norm))

    run = train(tmp_path, Norms(), train_cfg=iterations(4), optim_wrapper=sgd(clip_grad={"max_norm": 0.01}))
    assert run.scalars("train")[4]["grad_norm"] == pytest.approx(mean(norms))
    assert min(norms) > 0.01, "it is from before clipping"


def test_groups_have_their_own_rates(tmp_path: Path) -> None:
    wrapper = sgd(paramwise_cfg={"custom_keys": {"head": {"lr_mult": 0.1}}})
    line = train(tmp_path, train_cfg=iterations(2), optim_wrapper=wrapper, param_scheduler=None).scalars("train")[2]
    rates = {name: value for name, value in line.items() if name.startswith("lr.")}
    assert sorted(rates.values()) == pytest.approx([0.005, 0.05])
    assert line["lr"] in rates.values()
    assert {name.replace("lr.", "weight_decay.") for name in rates} <= set(line)


def test_the_numbers_of_a_validation(tmp_path: Path) -> None:
    run, _ = logged(tmp_path, iterations(4, val_interval=2), interval=100)
    assert list(run.scalars("val")) == [2, 4]
    line = run.scalars("val")[4]
    assert {"mIoU", "loss", "IoU.dark"} <= set(line)
    assert "y" not in line, "the metrics alone"


CUSTOM = [
    {"data_src": "loss", "method_name": "max", "window_size": 3, "log_name": "worst"},
    {"data_src": "x", "method_name": "mean", "window_size": 20, "log_name": "long"},
    {"data_src": "x", "method_name": "min"},
    {"data_src": "my_loss", "method_name": "current", "log_name": "now"},
]


def test_statistics_of_the_users_choice(tmp_path: Path) -> None:
    run, writes = logged(tmp_path, iterations(16), {"window_size": 2, "custom_cfg": CUSTOM}, interval=16)
    line = run.scalars("train")[16]
    assert line["worst"] == pytest.approx(max(writes.losses[-3:]))
    assert line["loss"] == pytest.approx(mean(writes.losses[-2:]))
    assert line["long"] == mean([*range(16)])
    assert line["x"] == 0, "without a name it replaces the scalar; without a window it is of all that is kept"
    assert line["now"] == 15


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"method_name": "mean"}, "custom_cfg.0.data_src: expected a name, found None"),
        ({"data_src": "loss"}, "custom_cfg.0.method_name: expected a name, found None"),
        ({"data_src": "loss", "method_name": "mean", "log_name": 3}, "custom_cfg.0.log_name: expected a name, found 3"),
        ({"data_src": "loss", "method_name": "maen"}, "found 'maen'; did you mean 'mean'"),
        ({"data_src": "loss", "method_name": "mean", "window_size": "globl"}, "found 'globl'; did you mean 'global'"),
        ({"data_src": "loss", "method_name": "mean", "window_size": "epoch"}, "window_size: an iteration loop has no"),
        ({"data_src": "loss", "method_name": "current", "window_size": 3}, "window_size: the current value has no"),
        ({"data_src": "loss", "method_name": "mean", "windw_size": 3}, "windw_size: no such key; .* mean 'window"),
        ({"data_src": "loss", "method_name": "mean", "window_size": 0}, "window_size: .*found 0"),
        ({"data_src": "los", "method_name": "mean"}, "nothing writes the scalar 'los'; did you mean 'loss'"),
    ],
)
def test_a_wrong_choice_is_told(tmp_path: Path, item: dict[str, Any], message: str) -> None:
    run = build(tmp_path, log_processor={"custom_cfg": [item]})
    with pytest.raises(ConfigError, match=message):
        run.runner.train()
    assert run.scalars("train") == {}


def test_windows_go_on_after_a_restart(tmp_path: Path) -> None:
    sections: dict[str, Any] = {"param_scheduler": None, "log_processor": {"window_size": 8}}
    straight = train(tmp_path / "a", train_cfg=iterations(8), **sections)
    train(tmp_path / "b", train_cfg=iterations(5), **sections)
    resumed = train(tmp_path / "b", train_cfg=iterations(8), **sections)
    assert list(resumed.scalars("train")) == [6, 8]
    for at, line in resumed.scalars("train").items():
        assert line["loss"] == straight.scalars("train")[at]["loss"]


ENDLESS = [
    {"data_src": "x", "method_name": method, "window_size": window, "log_name": f"{method}_{window}"}
    for method in ("mean", "min", "max")
    for window in ("global", "epoch")
]


def test_totals_without_a_list_go_on_after_a_restart_inside_an_epoch(tmp_path: Path) -> None:
    processor = {"custom_cfg": ENDLESS}
    stop = Stop()
    sections: dict[str, Any] = {
        "train_cfg": epochs(3),
        "param_scheduler": None,
        "log_processor": processor,
        "default_hooks": {"logger": {"type": "LoggerHook", "interval": 2}},
    }
    train(tmp_path, Writes(), At("after_train_iter", 5, stop), stop=stop, **sections)
    resumed = train(tmp_path, Writes(), **sections)
    assert resumed.runner.message_hub.get_scalar("train/x").values.maxlen == 10
    for at, line in resumed.scalars("train").items():
        seen = {"global": [*range(at)], "epoch": [*range((at - 1) // 4 * 4, at)]}
        for window, values in seen.items():
            got = [line[f"{method}_{window}"] for method in ("mean", "min", "max")]
            assert got == [mean(values), min(values), max(values)]
    assert min(resumed.scalars("train")) > 4


def test_a_window_of_the_rate_is_no_silence(tmp_path: Path) -> None:
    """Entries for ``lr`` were dropped once."""
    item = {"data_src": "lr", "method_name": "max", "window_size": 4, "log_name": "lr_max"}
    schedule = [{"type": "PolyLR", "power": 1.0, "eta_min": 0.0, "begin": 0, "end": 9, "by_epoch": False}]
    run = train(tmp_path, train_cfg=iterations(8), param_scheduler=schedule, log_processor={"custom_cfg": [item]})
    line = run.scalars("train")[8]
    assert line["lr_max"] == pytest.approx(0.05 * (1 - 4 / 8))
    assert line["lr"] < line["lr_max"]


def test_names_may_not_meet(tmp_path: Path) -> None:
    item = {"data_src": "loss", "method_name": "mean", "window_size": 4}
    with pytest.raises(ConfigError, match=r"custom_cfg\.1.log_name: 'loss' is there already"):
        build(tmp_path, log_processor={"custom_cfg": [item, item]}).runner.train()


def test_a_pattern_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="mean_pattern: '\\(' is no pattern"):
        build(tmp_path, log_processor={"mean_pattern": "("}).runner.train()


def test_an_interval_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"default_hooks\.logger.interval: .*at least 1"):
        build(tmp_path, default_hooks={"logger": {"type": "LoggerHook", "interval": 0}})
