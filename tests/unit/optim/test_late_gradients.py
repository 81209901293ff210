"""A parameter that is unfrozen late, under SGD's fused kernel: the steps are those of torch's plain loop."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from rayseg.optim.build import build_optim_wrapper


def weights_of_run(nesterov: bool, **choice: Any) -> list[torch.Tensor]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    model[0].requires_grad_(False)
    optimizer = {"type": "SGD", "lr": 0.1, "momentum": 0.9, "weight_decay": 0.01, "nesterov": nesterov, **choice}
    wrapper = build_optim_wrapper(model, {"optimizer": optimizer})
    for step in range(5):
        if step == 2:
            model[0].requires_grad_(True)
        wrapper.update_params(model(torch.randn(5, 3)).square().mean())
    return [parameter.detach() for parameter in model.parameters()]


@pytest.mark.parametrize("nesterov", [False, True])
def test_a_first_gradient_after_the_others(nesterov: bool) -> None:
    expected = weights_of_run(nesterov, foreach=False, fused=False)
    for fused in (None, True):
        for ours, theirs in zip(weights_of_run(nesterov, fused=fused), expected, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-7)
