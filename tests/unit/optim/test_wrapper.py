"""OptimWrapper: accumulation is a big batch, clipping, windows at the ends of a run, state."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from rayseg.core.errors import CheckpointError, ConfigError
from rayseg.optim.wrapper import OptimWrapper
from tests.distributed import run_ranks


def linear(seed: int = 0) -> nn.Linear:
    torch.manual_seed(seed)
    return nn.Linear(4, 2)


def loss_of(net: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    outputs: torch.Tensor = net(inputs)
    return outputs.square().mean()


def batches(count: int, size: int = 3) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(size, 4, generator=generator) for _ in range(count)]


def wrapped(net: nn.Module, **options: Any) -> OptimWrapper:
    return OptimWrapper(torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9), **options)


def values(net: nn.Module) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in net.parameters()]


def steps_of(wrapper: OptimWrapper) -> list[int]:
    """Replaces the optimizer's step by one that notes the counts at which it was called."""
    steps: list[int] = []
    wrapper.optimizer.step = lambda: steps.append(wrapper.inner_count)  # type: ignore[method-assign, assignment]
    return steps


def train(net: nn.Module, wrapper: OptimWrapper, data: list[torch.Tensor]) -> None:
    for inputs in data:
        with wrapper.optim_context(net):
            loss = loss_of(net, inputs)
        wrapper.update_params(loss)


def reference(data: list[list[torch.Tensor]], max_norm: float | None = None) -> nn.Linear:
    """Plain training, one step for the batches of each window together."""
    net = linear()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    for window in data:
        loss_of(net, torch.cat(window)).backward()
        if max_norm is not None:
            nn.utils.clip_grad_norm_(net.parameters(), max_norm)
        optimizer.step()
        optimizer.zero_grad()
    return net


def test_without_accumulation_it_is_a_plain_loop_bit_for_bit() -> None:
    net, data = linear(), batches(4)
    train(net, wrapped(net), data)
    expected = reference([[inputs] for inputs in data])
    assert all(torch.equal(a, b) for a, b in zip(values(net), values(expected), strict=True))
    assert all(parameter.grad is None for parameter in net.parameters())


@settings(max_examples=30, deadline=None)
@given(counts=st.integers(1, 5), total=st.integers(1, 12))
def test_accumulation_equals_the_big_batch_and_the_last_window_is_its_own_length(counts: int, total: int) -> None:
    data = batches(total)
    net = linear()
    wrapper = wrapped(net, accumulative_counts=counts, clip_grad={"max_norm": 0.5})
    wrapper.initialize_count_status(net, 0, total)
    train(net, wrapper, data)
    assert wrapper.at_boundary
    expected = reference([data[start : start + counts] for start in range(0, total, counts)], max_norm=0.5)
    torch.testing.assert_close(values(net), values(expected))


def test_steps_happen_at_window_ends_and_at_the_last_count() -> None:
    net = linear()
    wrapper = wrapped(net, accumulative_counts=3)
    wrapper.initialize_count_status(net, 0, 8)
    steps = steps_of(wrapper)
    boundaries = []
    for inputs in batches(8):
        train(net, wrapper, [inputs])
        boundaries.append(wrapper.at_boundary)
    assert steps == [3, 6, 8]
    assert boundaries == [False, False, True, False, False, True, False, True]


def test_should_sync_looks_one_count_ahead_and_should_update_behind() -> None:
    wrapper = wrapped(linear(), accumulative_counts=3)
    wrapper.initialize_count_status(nn.Identity(), 0, 5)
    seen = []
    for count in range(1, 6):
        ahead = wrapper.should_sync()
        wrapper._inner_count = count
        seen.append((ahead, wrapper.should_update()))
    assert seen == [(False, False), (False, False), (True, True), (False, False), (True, True)]


def test_a_run_that_goes_on_after_a_short_window_divides_the_next_by_its_own_length() -> None:
    """Ended at 4 with windows of 3; with more iterations the next window is 4..6, of two counts."""
    net, data = linear(), batches(6)
    wrapper = wrapped(net, accumulative_counts=3)
    wrapper.initialize_count_status(net, 4, 9)
    assert wrapper.at_boundary
    factors = []
    for inputs in data[:5]:
        factors.append(round(1 / wrapper.scale_loss(torch.tensor(1.0)).item()))
        train(net, wrapper, [inputs])
    assert factors == [2, 2, 3, 3, 3]


def test_without_a_known_end_windows_are_regular() -> None:
    wrapper = wrapped(linear(), accumulative_counts=4)
    assert wrapper.scale_loss(torch.tensor(4.0)).item() == 1.0
    assert wrapper.at_boundary


def test_parts_of_a_count_sum_to_it_and_keep_the_window_open() -> None:
    inputs = batches(1, size=6)[0]
    net = linear()
    wrapper = wrapped(net)
    wrapper.accumulate(loss_of(net, inputs[:3]) / 2)
    assert not wrapper.at_boundary
    assert wrapper.inner_count == 0
    wrapper.update_params(loss_of(net, inputs[3:]) / 2)
    assert wrapper.at_boundary
    torch.testing.assert_close(values(net), values(reference([[inputs]])))


def test_parts_are_divided_by_the_window_too() -> None:
    data = batches(2, size=4)
    net = linear()
    wrapper = wrapped(net, accumulative_counts=2)
    for inputs in data:
        wrapper.accumulate(loss_of(net, inputs[:2]) / 2)
        wrapper.update_params(loss_of(net, inputs[2:]) / 2)
    torch.testing.assert_close(values(net), values(reference([data])))


def test_grad_norm_is_the_norm_from_before_clipping() -> None:
    net = linear()
    loss_of(net, batches(1)[0]).backward()
    expected = torch.stack([parameter.grad.norm() for parameter in net.parameters()]).norm()  # type: ignore[union-attr]
    net.zero_grad()
    wrapper = wrapped(net, clip_grad={"max_norm": expected.item() / 10})
    assert wrapper.grad_norm is None
    before = values(net)
    train(net, wrapper, batches(1))
    torch.testing.assert_close(wrapper.grad_norm, expected)
    moved = torch.cat([(a - b).flatten() for a, b in zip(before, values(net), strict=True)]).norm()
    torch.testing.assert_close(moved, 0.1 * expected / 10, rtol=1e-4, atol=0.0)


def test_clipping_by_value_bounds_each_gradient_and_has_no_norm() -> None:
    net = linear()
    wrapper = wrapped(net, clip_grad={"type": "value", "clip_value": 0.01})
    before = values(net)
    train(net, wrapper, batches(1))
    assert wrapper.grad_norm is None
    largest = max((a - b).abs().max() for a, b in zip(before, values(net), strict=True))
    torch.testing.assert_close(largest, torch.tensor(0.001), rtol=1e-3, atol=0.0)


def test_the_infinity_norm_can_be_clipped() -> None:
    net = linear()
    wrapper = wrapped(net, clip_grad={"max_norm": 1.0, "norm_type": "inf"})
    train(net, wrapper, batches(1))
    assert wrapper.grad_norm is not None
    assert 0 < wrapper.grad_norm < 10


@pytest.mark.parametrize(
    ("clip_grad", "expected"),
    [
        ({"max_nrom": 1.0}, "takes no 'max_nrom'; did you mean 'max_norm'?"),
        ({"type": "value", "max_norm": 1.0}, "clipping by value takes no 'max_norm'"),
        ({"type": "nrom", "max_norm": 1.0}, "expected 'norm' or 'value', found 'nrom'"),
        ({"norm_type": 2}, "clipping by norm needs 'max_norm'"),
        ({}, "clipping by norm needs 'max_norm'"),
        ({"max_norm": 0}, "expected a number above 0, found 0; clip_grad=None turns clipping off"),
        ({"max_norm": True}, "expected a number above 0"),
        (1.0, r"expected dict\(max_norm=...\), found 1.0"),
    ],
)
def test_wrong_clipping_is_refused(clip_grad: Any, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        wrapped(linear(), clip_grad=clip_grad)


def test_the_config_is_left_as_it_was() -> None:
    clip_grad: Any = {"type": "norm", "max_norm": 1.0}
    wrapped(linear(), clip_grad=clip_grad)
    assert clip_grad == {"type": "norm", "max_norm": 1.0}


def test_update_params_passes_arguments_on() -> None:
    net = linear()
    wrapper = wrapped(net)
    wrapper.update_params(loss_of(net, batches(1)[0]), zero_kwargs={"set_to_none": False})
    assert all(parameter.grad is not None and not parameter.grad.any() for parameter in net.parameters())


@pytest.mark.parametrize("kind", ["SGD", "AdamW", "Adagrad", "RMSprop"])
def test_a_run_resumed_from_its_saved_state_is_the_same_bit_for_bit(kind: str) -> None:
    def make() -> tuple[nn.Linear, OptimWrapper]:
        net = linear()
        groups: list[dict[str, Any]] = [{"params": [net.weight]}, {"params": [net.bias], "lr": 0.01}]
        optimizer = getattr(torch.optim, kind)(groups, lr=0.1)
        wrapper = OptimWrapper(optimizer, accumulative_counts=2, clip_grad={"max_norm": 1.0})
        wrapper.initialize_count_status(net, 0, 12)
        return net, wrapper

    data = batches(12)
    whole_net, whole = make()
    train(whole_net, whole, data)

    net, wrapper = make()
    train(net, wrapper, data[:6])
    file = io.BytesIO()
    torch.save({"model": net.state_dict(), "optim_wrapper": wrapper.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    net, wrapper = make()
    net.load_state_dict(saved["model"])
    wrapper.load_state_dict(saved["optim_wrapper"])
    assert wrapper.inner_count == 6
    assert wrapper.at_boundary
    train(net, wrapper, data[6:])
    assert all(torch.equal(a, b) for a, b in zip(values(net), values(whole_net), strict=True))


def test_a_state_of_other_groups_is_refused() -> None:
    net = linear()
    groups: list[dict[str, Any]] = [{"params": [net.weight]}, {"params": [net.bias]}]
    state = OptimWrapper(torch.optim.SGD(groups, lr=0.1)).state_dict()
    with pytest.raises(CheckpointError, match="the optimizer's state does not fit the model"):
        wrapped(linear()).load_state_dict(state)


def test_groups_are_named_and_read() -> None:
    net = linear()
    groups: list[dict[str, Any]] = [{"params": [net.weight]}, {"params": [net.bias], "lr": 0.5, "name": "bias"}]
    optimizer = torch.optim.AdamW(groups, lr=0.1)
    wrapper = OptimWrapper(optimizer)
    assert [group["name"] for group in wrapper.param_groups] == ["group_0", "bias"]
    assert wrapper.get_lr() == {"lr": [0.1, 0.5]}
    assert wrapper.get_momentum() == {"momentum": [0.9, 0.9]}
    assert wrapper.defaults["lr"] == 0.1
    assert wrapper.loss_scale_value is None
    assert wrapped(linear()).get_momentum() == {"momentum": [0.9]}
    assert wrapped(linear()).param_groups[0]["name"] == "default"


def test_a_subclass_written_for_mmengine_counts_by_itself() -> None:
    class Doubled(OptimWrapper):
        def backward(self, loss: torch.Tensor, **kwargs: Any) -> None:
            (loss * 2).backward()
            self._inner_count += 1

    net = linear()
    wrapper = Doubled(torch.optim.SGD(net.parameters(), lr=0.1), accumulative_counts=2)
    train(net, wrapper, batches(1))
    assert not wrapper.at_boundary
    train(net, wrapper, batches(1))
    assert wrapper.at_boundary


class CountsNoSync(nn.Linear):
    """Counts entries of ``no_sync``, as DDP has it."""

    entered = 0

    def no_sync(self) -> Any:
        from contextlib import contextmanager

        @contextmanager
        def context() -> Any:
            self.entered += 1
            yield

        return context()


def test_gradients_are_reduced_only_when_a_step_is_due() -> None:
    net = CountsNoSync(4, 2)
    wrapper = wrapped(net, accumulative_counts=3)
    wrapper.initialize_count_status(net, 0, 7)
    entered = []
    for inputs in batches(7):
        train(net, wrapper, [inputs])
        entered.append(net.entered)
    assert entered == [1, 2, 2, 3, 4, 4, 4]


@pytest.mark.parametrize(("sync", "entered"), [(False, 1), (True, 0), (None, 0)])
def test_the_caller_may_decide_whether_gradients_are_reduced(sync: bool | None, entered: int) -> None:
    net = CountsNoSync(4, 2)
    with wrapped(net).optim_context(net, sync=sync):
        pass
    assert net.entered == entered


def rank_training() -> list[list[float]]:
    """Accumulation of 2 over 5 iterations with micro-batches under DDP; rank r has the rows r::2."""
    rank = torch.distributed.get_rank()
    net = linear()
    model = nn.parallel.DistributedDataParallel(net)
    wrapper = wrapped(net, accumulative_counts=2, clip_grad={"max_norm": 0.5})
    wrapper.initialize_count_status(model, 0, 5)
    for inputs in batches(5, size=8):
        first, second = inputs[rank::2].chunk(2)
        with wrapper.optim_context(model, sync=False):
            loss = loss_of(model, first) / 2
        wrapper.accumulate(loss)
        with wrapper.optim_context(model):
            loss = loss_of(model, second) / 2
        wrapper.update_params(loss)
    return [value.flatten().tolist() for value in values(net)]


@pytest.mark.world_size(2)
def test_two_ranks_with_windows_and_micro_batches_equal_the_big_batch() -> None:
    data = batches(5, size=8)
    expected = values(reference([data[0:2], data[2:4], data[4:]], max_norm=0.5))
    first, second = run_ranks(rank_training, 2)
    assert first == second
    torch.testing.assert_close([torch.tensor(value) for value in first], [value.flatten() for value in expected])


def test_parts_go_through_a_subclasss_own_backward_too() -> None:
    seen: list[int] = []

    class Noted(OptimWrapper):
        def backward(self, loss: torch.Tensor, **kwargs: Any) -> None:
            seen.append(self.inner_count)
            super().backward(loss, **kwargs)

    net, data = linear(), batches(2)
    wrapper = Noted(torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9))
    for inputs in data:
        wrapper.accumulate(loss_of(net, inputs) / 2)
        assert not wrapper.at_boundary
        wrapper.update_params(loss_of(net, inputs) / 2)
    assert seen == [0, 0, 1, 1]
    assert wrapper.inner_count == 2
    torch.testing.assert_close(values(net), values(reference([[inputs] for inputs in data])))
