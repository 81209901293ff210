"""Every optimizer of torch.optim: built from a config, stepped, resumed; and MuonAdamW."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from torch import nn

from rayseg.core.errors import ConfigError
from rayseg.optim.build import build_optim_wrapper
from rayseg.optim.muon import MuonAdamW
from rayseg.optim.schedulers import build_param_schedulers
from rayseg.optim.wrapper import OptimWrapper

EVERY = sorted(
    name
    for name, item in vars(torch.optim).items()
    if isinstance(item, type) and issubclass(item, torch.optim.Optimizer) and item is not torch.optim.Optimizer
)
SPECIAL = {"LBFGS", "Muon", "SparseAdam"}


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 4, 3, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.linear = nn.Linear(4, 2, bias=False)

    def forward(self, image_bchw: torch.Tensor) -> torch.Tensor:
        values: torch.Tensor = self.linear(self.norm(self.conv(image_bchw)).mean((2, 3)))
        return values.float().square().mean()


class Matrices(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(3, 4, bias=False), nn.Linear(4, 2, bias=False))

    def forward(self, image_bchw: torch.Tensor) -> torch.Tensor:
        values: torch.Tensor = self.layers(image_bchw.mean((2, 3)))
        return values.float().square().mean()


class Sparse(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Embedding(5, 2, sparse=True)

    def forward(self, image_bchw: torch.Tensor) -> torch.Tensor:
        return self.table(torch.tensor([1, 3])).square().mean()  # type: ignore[no-any-return]


def train(model: nn.Module, wrapper: OptimWrapper, first: int, last: int) -> None:
    for index in range(first, last):
        image_bchw = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(index))
        with wrapper.optim_context(model):
            loss = model(image_bchw)
        wrapper.update_params(loss)


def values(model: nn.Module) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in model.parameters()]


def same(first: nn.Module, second: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(values(first), values(second), strict=True))


def model_for(name: str) -> nn.Module:
    return {"Muon": Matrices, "SparseAdam": Sparse}.get(name, Net)()


WRAPPERS: list[dict[str, Any]] = [
    {},
    {"type": "AmpOptimWrapper", "dtype": "float16", "loss_scale": 128, "clip_grad": {"max_norm": 1.0}},
]


@pytest.mark.parametrize("wrapper_cfg", WRAPPERS, ids=["plain", "float16"])
@pytest.mark.parametrize("name", [*EVERY, "MuonAdamW"])
def test_every_optimizer_trains_and_resumes_bit_for_bit(name: str, wrapper_cfg: dict[str, Any]) -> None:
    if name == "LBFGS" or (name == "SparseAdam" and wrapper_cfg.get("dtype") == "float16"):
        return
    if name == "SparseAdam":
        wrapper_cfg = {key: value for key, value in wrapper_cfg.items() if key != "clip_grad"}
    cfg = {"optimizer": {"type": name}, **wrapper_cfg}
    whole = model_for(name)
    before = values(whole)
    train(whole, build_optim_wrapper(whole, cfg), 0, 4)
    assert any(not torch.equal(a, b) for a, b in zip(before, values(whole), strict=True))

    first, second = model_for(name), model_for(name)
    wrapper = build_optim_wrapper(first, cfg)
    train(first, wrapper, 0, 2)
    file = io.BytesIO()
    torch.save(wrapper.state_dict(), file)
    file.seek(0)
    second.load_state_dict(first.state_dict())
    resumed = build_optim_wrapper(second, cfg)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    train(second, resumed, 2, 4)
    assert same(whole, second)


@pytest.mark.parametrize("name", [*EVERY, "MuonAdamW"])
def test_the_fast_way_that_is_chosen_is_one_that_the_optimizer_has(name: str) -> None:
    if name in SPECIAL:
        return
    (group, *_) = build_optim_wrapper(Net(), {"optimizer": {"type": name}}).optimizer.param_groups[-1:]
    fused = name in ("Adagrad", "Adam", "AdamW", "MuonAdamW", "SGD")
    assert group.get("fused") is (True if fused else None)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("LBFGS", "LBFGS needs a closure that computes the loss several times a step"),
        ("Muon", r"Muon takes only matrices, and conv.weight has the shape \(4, 3, 3, 3\); MuonAdamW gives AdamW what"),
        ("SparseAdam", "SparseAdam takes only the sparse gradients .* and that of conv.weight is dense; use Adam"),
        ("Optimizer", "missing a required argument: 'defaults'"),
        ("AdamX", "unknown optimizer 'AdamX'; did you mean 'Adam"),
    ],
)
def test_what_cannot_step_a_model_is_refused_before_training(name: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        build_optim_wrapper(Net(), {"optimizer": {"type": name}})


def test_an_optimizer_by_dotted_path() -> None:
    model = Net()
    wrapper = build_optim_wrapper(model, {"optimizer": {"type": "torch.optim.adamw.AdamW", "lr": 0.5}})
    assert type(wrapper.optimizer) is torch.optim.AdamW
    assert wrapper.get_lr() == {"lr": [0.5]}


def test_muon_adamw_is_both_bit_for_bit() -> None:
    model, expected = Net(), Net()
    wrapper = build_optim_wrapper(model, {"optimizer": {"type": "MuonAdamW", "lr": 0.01, "weight_decay": 0.1}})
    assert [group["name"] for group in wrapper.param_groups] == ["default.muon", "default.adamw"]
    matrices = [parameter for parameter in expected.parameters() if parameter.ndim == 2]
    others = [parameter for parameter in expected.parameters() if parameter.ndim != 2]
    muon = torch.optim.Muon(matrices, lr=0.01, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    adamw = torch.optim.AdamW(others, lr=0.01, weight_decay=0.1, fused=True)
    train(model, wrapper, 0, 3)
    for index in range(3):
        expected(torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(index))).backward()
        for optimizer in (muon, adamw):
            optimizer.step()
            optimizer.zero_grad()
    assert same(model, expected)


def test_muon_adamw_keeps_groups_and_a_groups_choice() -> None:
    paramwise = {"custom_keys": {"linear": {"algorithm": "adamw", "lr_mult": 0.1}}, "norm_decay_mult": 0.0}
    wrapper = build_optim_wrapper(Net(), {"optimizer": {"type": "MuonAdamW", "lr": 0.01}, "paramwise_cfg": paramwise})
    groups = {group["name"]: (group["lr"], group["weight_decay"]) for group in wrapper.param_groups}
    assert groups == {
        "default.adamw": (0.01, 0.1),
        "norm.adamw": (0.01, 0.0),
        "linear.adamw": (pytest.approx(0.001), 0.1),
    }


def test_schedules_reach_both_parts_of_muon_adamw() -> None:
    wrapper = build_optim_wrapper(Net(), {"optimizer": {"type": "MuonAdamW", "lr": 0.01}})
    cfgs = [
        {"type": "ConstantLR", "factor": 0.5, "end": 3},
        {"type": "ConstantMomentum", "factor": 0.5, "end": 3},
        {"type": "CosineAnnealingWeightDecay", "eta_min": 0.2},
    ]
    build_param_schedulers(cfgs, wrapper, epoch_length=1, max_iters=9, by_epoch_loop=False)
    assert wrapper.get_lr() == {"lr": [0.005, 0.005]}
    assert wrapper.get_momentum() == {"momentum": [0.475, 0.45]}
    assert isinstance(wrapper.optimizer, MuonAdamW)
    assert [part.param_groups[0]["lr"] for part in wrapper.optimizer._parts.values()] == [0.005, 0.005]


def test_muon_adamw_takes_a_closure_and_plain_parameters() -> None:
    model = Net()
    optimizer = MuonAdamW(model.parameters(), lr=0.01)
    before = values(model)

    def closure() -> float:
        loss = model(torch.ones(1, 3, 8, 8))
        loss.backward()
        return loss.item()

    assert optimizer.step(closure) > 0  # type: ignore[operator]
    assert not torch.equal(before[-1], values(model)[-1])
