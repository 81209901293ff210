"""AveragedWeights: the three kinds by formula, buffers, swapping, saving and loading."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from rayseg.core.errors import CheckpointError, ConfigError
from rayseg.optim.averaging import AveragedWeights
from tests.distributed import run_ranks


class Net(nn.Module):
    """A parameter, a tied one, BatchNorm's buffers, and a buffer that is not saved."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.tied = nn.Linear(2, 2)
        self.tied.weight = self.layer.weight
        self.norm = nn.BatchNorm1d(2)
        self.register_buffer("scratch", torch.zeros(2), persistent=False)


def fill(net: nn.Module, value: float) -> None:
    with torch.no_grad():
        for tensor in [*net.parameters(), *net.buffers()]:
            tensor.fill_(value)


def averaged(values: list[float], **options: Any) -> tuple[Net, AveragedWeights]:
    net = Net()
    average = AveragedWeights(net, **options)
    for value in values:
        fill(net, value)
        average.update(net)
    return net, average


def of_weight(average: AveragedWeights) -> float:
    return average.named_values()["layer.weight"][0, 0].item()


SERIES = [4.0, 8.0, -3.0, 10.0, 2.0, 7.0]


def test_the_first_update_is_a_copy() -> None:
    _, average = averaged([4.0], momentum=0.1)
    assert of_weight(average) == 4.0
    assert average.steps == 1


def test_exponential() -> None:
    _, average = averaged(SERIES, momentum=0.1)
    expected = SERIES[0]
    for value in SERIES[1:]:
        expected = 0.9 * expected + 0.1 * value
    assert of_weight(average) == pytest.approx(expected, rel=1e-6)
    assert average.steps == 6


def test_momentum_annealing() -> None:
    _, average = averaged(SERIES, kind="MomentumAnnealingEMA", momentum=0.4, gamma=2)
    expected = SERIES[0]
    for steps, value in enumerate(SERIES[1:], 1):
        weight = max(0.4, 2 / (2 + steps))
        expected += weight * (value - expected)
    assert of_weight(average) == pytest.approx(expected, rel=1e-6)
    assert average.weight(1) == pytest.approx(2 / 3)
    assert average.weight(5) == 0.4


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=12))
def test_stochastic_weight_averaging_is_the_mean(values: list[float]) -> None:
    _, average = averaged(values, kind="StochasticWeightAverage")
    assert of_weight(average) == pytest.approx(sum(values) / len(values), rel=1e-4, abs=1e-3)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=8),
    st.sampled_from(["ExponentialMovingAverage", "MomentumAnnealingEMA", "StochasticWeightAverage"]),
    st.floats(0.01, 0.99),
    st.integers(1, 3),
)
def test_an_average_stays_between_the_extremes(values: list[float], kind: Any, momentum: float, interval: int) -> None:
    _, average = averaged(values, kind=kind, momentum=momentum, interval=interval)
    assert min(values) - 1e-3 <= of_weight(average) <= max(values) + 1e-3


def test_an_interval_passes_updates_over() -> None:
    _, average = averaged(SERIES, momentum=0.5, interval=2)
    assert of_weight(average) == pytest.approx(0.5 * (0.5 * 4.0 + 0.5 * -3.0) + 0.5 * 2.0)
    assert average.steps == 6
    _, mean = averaged(SERIES, kind="StochasticWeightAverage", interval=2)
    assert of_weight(mean) == pytest.approx((4.0 - 3.0 + 2.0) / 3)


def test_names_are_those_of_the_saved_model_without_buffers() -> None:
    _, average = averaged([1.0])
    expected = {"layer.weight", "layer.bias", "tied.weight", "tied.bias", "norm.weight", "norm.bias"}
    values = average.named_values()
    assert set(values) == expected
    assert values["tied.weight"].data_ptr() == values["layer.weight"].data_ptr()
    assert not any(value.requires_grad for value in values.values())


def test_buffers_are_averaged_when_asked_but_never_counters() -> None:
    _, average = averaged([4.0, 8.0], momentum=0.25, update_buffers=True)
    values = average.named_values()
    assert values["norm.running_mean"].tolist() == [5.0, 5.0]
    assert "norm.num_batches_tracked" not in values
    assert "scratch" not in values


def test_swapping_twice_brings_everything_back_bit_for_bit() -> None:
    net, average = averaged([4.0, 8.0], momentum=0.1, update_buffers=True)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_()
    live = {name: value.clone() for name, value in net.state_dict().items()}
    kept = {name: value.clone() for name, value in average.named_values().items()}
    parameters = list(net.parameters())
    average.swap(net)
    assert all(torch.equal(net.state_dict()[name], value) for name, value in kept.items())
    assert all(torch.equal(average.named_values()[name], value) for name, value in kept.items())
    assert all(a is b for a, b in zip(parameters, net.parameters(), strict=True))
    average.swap(net)
    assert all(torch.equal(net.state_dict()[name], value) for name, value in live.items())
    assert all(torch.equal(average.named_values()[name], value) for name, value in kept.items())


def test_buffers_that_are_not_averaged_stay_live_in_a_swap() -> None:
    net, average = averaged([4.0, 8.0], momentum=0.5)
    average.swap(net)
    assert net.norm.running_mean is not None
    assert net.norm.running_mean.tolist() == [8.0, 8.0]
    assert net.norm.weight.tolist() == [6.0, 6.0]


def test_updates_leave_the_model_alone_and_make_no_graph() -> None:
    net, average = averaged([4.0])
    average.update(net)
    net.layer(torch.ones(1, 2)).sum().backward()
    assert net.layer.weight.grad is not None
    assert net.layer.weight.tolist() == [[4.0, 4.0], [4.0, 4.0]]


@pytest.mark.parametrize("kind", ["ExponentialMovingAverage", "MomentumAnnealingEMA", "StochasticWeightAverage"])
def test_a_run_resumed_from_its_saved_values_is_the_same_bit_for_bit(kind: Any) -> None:
    options: dict[str, Any] = {"kind": kind, "momentum": 0.3, "gamma": 3, "interval": 2, "update_buffers": True}
    _, whole = averaged(SERIES, **options)
    _, first = averaged(SERIES[:3], **options)
    file = io.BytesIO()
    torch.save({"steps": first.steps, "values": first.named_values()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    net, second = averaged([], **options)
    second.steps = saved["steps"]
    second.load_values({**saved["values"], "another": torch.zeros(1)})
    for value in SERIES[3:]:
        fill(net, value)
        second.update(net)
    assert second.steps == whole.steps
    expected = whole.named_values()
    assert all(torch.equal(value, expected[name]) for name, value in second.named_values().items())


def test_values_that_do_not_fit_are_refused_and_change_nothing() -> None:
    _, average = averaged([4.0])
    values = {name: value + 1 for name, value in average.named_values().items()}
    with pytest.raises(CheckpointError, match=r"lack 'norm.bias'"):
        average.load_values({name: value for name, value in values.items() if name != "norm.bias"})
    with pytest.raises(CheckpointError, match=r"hold 'norm.bias' of shape \(3,\), the model's is \(2,\)"):
        average.load_values({**values, "norm.bias": torch.zeros(3)})
    assert of_weight(average) == 4.0


def test_a_wrapped_model_is_the_same_model() -> None:
    net = Net()
    wrapped: Any = torch.compile(net)
    average = AveragedWeights(wrapped, momentum=0.5)
    fill(net, 4.0)
    average.update(wrapped)
    fill(net, 8.0)
    average.update(net)
    assert of_weight(average) == 6.0
    assert "layer.weight" in average.named_values()


def test_memory_formats_are_kept() -> None:
    net = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    average = AveragedWeights(net)
    assert average.named_values()["weight"].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"kind": "ExponentialMovingAvrage"}, "did you mean 'ExponentialMovingAverage'?"),
        ({"momentum": 0.0}, "EMAHook.momentum: expected a number above 0 and below 1, found 0.0"),
        ({"momentum": 1.0}, "found 1.0"),
        ({"kind": "MomentumAnnealingEMA", "gamma": 0}, "EMAHook.gamma: expected a number above 0, found 0"),
        ({"interval": 0}, "EMAHook.interval: expected at least 1, found 0"),
    ],
)
def test_wrong_arguments_are_refused(options: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        AveragedWeights(Net(), **options)


def buffers_after_swap() -> tuple[float, float, float]:
    """Each rank averages its own buffers; gives the live one while swapped in, after, and rank's average."""
    rank = torch.distributed.get_rank()
    net, average = averaged([4.0 + 10 * rank, 8.0 + 10 * rank], momentum=0.5, update_buffers=True)
    assert net.norm.running_mean is not None
    average.swap(net)
    swapped = net.norm.running_mean[0].item()
    average.swap(net)
    return swapped, net.norm.running_mean[0].item(), average.named_values()["norm.running_mean"][0].item()


@pytest.mark.world_size(2)
def test_every_rank_validates_with_the_averaged_buffers_that_are_saved() -> None:
    assert run_ranks(buffers_after_swap, 2) == [(6.0, 8.0, 6.0), (6.0, 18.0, 6.0)]
