"""AmpOptimWrapper on the CPU: bfloat16 without a scale, float16 with one."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from torch import nn

from rayseg.core.errors import ConfigError
from rayseg.optim.amp import AmpOptimWrapper
from rayseg.optim.wrapper import OptimWrapper


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 2, 1))
        self.dtypes: list[torch.dtype] = []

    def forward(self, image_bchw: torch.Tensor) -> torch.Tensor:
        logits_bkhw = self.layers(image_bchw)
        self.dtypes.append(logits_bkhw.dtype)
        loss: torch.Tensor = logits_bkhw.float().square().mean()
        return loss


def images(count: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(2, 3, 8, 8, generator=generator) for _ in range(count)]


def make(**options: Any) -> tuple[Net, AmpOptimWrapper]:
    net = Net()
    return net, AmpOptimWrapper(torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9), **options)


def train(net: Net, wrapper: OptimWrapper, data: list[torch.Tensor]) -> None:
    for image_bchw in data:
        with wrapper.optim_context(net):
            loss = net(image_bchw)
        wrapper.update_params(loss)


def values(net: nn.Module) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in net.parameters()]


@pytest.mark.parametrize("dtype", [None, "bfloat16", torch.bfloat16])
def test_bfloat16_is_a_plain_autocast_loop_on_the_cpu_bit_for_bit(dtype: Any) -> None:
    net, wrapper = make(dtype=dtype)
    train(net, wrapper, images(3))
    assert wrapper.loss_scaler is None
    assert wrapper.loss_scale_value is None
    assert net.dtypes == [torch.bfloat16] * 3
    expected = Net()
    optimizer = torch.optim.SGD(expected.parameters(), lr=0.1, momentum=0.9)
    for image_bchw in images(3):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = expected(image_bchw)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert all(torch.equal(a, b) for a, b in zip(values(net), values(expected), strict=True))
    assert all(value.dtype is torch.float32 for value in values(net))


def test_a_loss_scale_changes_nothing_in_bfloat16() -> None:
    net, wrapper = make(dtype="bfloat16", loss_scale=512)
    train(net, wrapper, images(2))
    plain_net, plain = make(dtype="bfloat16")
    train(plain_net, plain, images(2))
    assert all(torch.equal(a, b) for a, b in zip(values(net), values(plain_net), strict=True))


def test_autocast_ends_with_the_forward_pass() -> None:
    net, wrapper = make()
    with wrapper.optim_context(net):
        assert torch.is_autocast_enabled("cpu")
    assert not torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize("loss_scale", [512, 512.0, {"init_scale": 512.0, "growth_interval": 1000}])
def test_the_scale_of_float16_leaves_gradients_and_their_norm_as_they_are(loss_scale: Any) -> None:
    """A power of two is exact, so a scale of 512 and one of 1 give the same float16 training."""
    net, wrapper = make(dtype="float16", loss_scale=loss_scale, clip_grad={"max_norm": 0.1}, accumulative_counts=2)
    one_net, one = make(dtype="float16", loss_scale=1, clip_grad={"max_norm": 0.1}, accumulative_counts=2)
    train(net, wrapper, images(4))
    train(one_net, one, images(4))
    assert wrapper.loss_scale_value == 512.0
    torch.testing.assert_close(wrapper.grad_norm, one.grad_norm, rtol=1e-2, atol=1e-4)
    torch.testing.assert_close(values(net), values(one_net), rtol=1e-2, atol=1e-3)


def test_an_overflow_leaves_the_step_out_and_lowers_a_dynamic_scale() -> None:
    net, wrapper = make(dtype="float16", loss_scale={"init_scale": 2.0**126, "growth_interval": 1000})
    before = values(net)
    wrapper.update_params(net(images(1)[0] * 1e5) * 1e5)
    assert all(torch.equal(a, b) for a, b in zip(values(net), before, strict=True))
    assert wrapper.loss_scale_value == 2.0**125
    assert wrapper.at_boundary


def test_an_overflow_leaves_a_fixed_scale_as_it_is() -> None:
    net, wrapper = make(dtype="float16", loss_scale=2.0**126)
    before = values(net)
    wrapper.update_params(net(images(1)[0] * 1e5) * 1e5)
    assert all(torch.equal(a, b) for a, b in zip(values(net), before, strict=True))
    assert wrapper.loss_scale_value == 2.0**126


def test_parts_are_scaled_like_whole_losses() -> None:
    net, wrapper = make(dtype="float16", loss_scale=256)
    loss = net(images(1)[0])
    wrapper.accumulate(loss / 2)
    half = [parameter.grad.clone() for parameter in net.parameters()]  # type: ignore[union-attr]
    net.zero_grad()
    net(images(1)[0]).backward()
    torch.testing.assert_close(half, [parameter.grad * 128 for parameter in net.parameters()])  # type: ignore[operator]


def test_a_run_resumed_from_its_saved_state_is_the_same_bit_for_bit() -> None:
    scale: Any = {"init_scale": 256.0, "growth_interval": 3}
    data = images(8)
    whole_net, whole = make(dtype="float16", loss_scale=scale)
    train(whole_net, whole, data)
    net, wrapper = make(dtype="float16", loss_scale=scale)
    train(net, wrapper, data[:4])
    file = io.BytesIO()
    torch.save({"model": net.state_dict(), "optim_wrapper": wrapper.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    net, wrapper = make(dtype="float16", loss_scale=scale)
    net.load_state_dict(saved["model"])
    wrapper.load_state_dict(saved["optim_wrapper"])
    assert wrapper.loss_scale_value == 512.0
    train(net, wrapper, data[4:])
    assert wrapper.loss_scale_value == whole.loss_scale_value == 1024.0
    assert all(torch.equal(a, b) for a, b in zip(values(net), values(whole_net), strict=True))


def test_states_pass_between_strategies() -> None:
    _, plain = make(dtype="bfloat16")
    _, scaled = make(dtype="float16", loss_scale=64)
    scaled.load_state_dict(plain.state_dict())
    assert scaled.loss_scale_value == 64.0
    plain.load_state_dict(scaled.state_dict())


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"dtype": "bfloat61"}, "expected 'float16' or 'bfloat16', found 'bfloat61'; did you mean 'bfloat16'?"),
        ({"dtype": torch.float64}, "expected 'float16' or 'bfloat16', found torch.float64"),
        ({"loss_scale": "static"}, "expected 'dynamic', a number above 0 or dict"),
        ({"loss_scale": True}, "found True"),
        ({"loss_scale": 0}, "found 0"),
        ({"loss_scale": {"init_scael": 2.0}}, "loss_scale.init_scael: no such key; did you mean 'init_scale'?"),
    ],
)
def test_wrong_arguments_are_refused(options: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        make(**options)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [None, "float16", "bfloat16"])
def test_on_a_gpu(dtype: Any) -> None:
    net = Net().cuda()
    wrapper = AmpOptimWrapper(torch.optim.AdamW(net.parameters(), lr=0.01), dtype=dtype, clip_grad={"max_norm": 1.0})
    train(net, wrapper, [image_bchw.cuda() for image_bchw in images(4)])
    expected = torch.bfloat16 if dtype == "bfloat16" else torch.float16
    assert net.dtypes == [expected] * 4
    assert (wrapper.loss_scaler is not None) == (expected is torch.float16)
    state = wrapper.state_dict()
    wrapper.load_state_dict(state)
    assert all(value.isfinite().all() for value in values(net))
