"""Parameters whose first gradient comes later than others', as those that a hook unfreezes."""

from __future__ import annotations

import torch
from torch.optim import SGD, Optimizer


def allow_late_gradients(optimizer: Optimizer) -> None:
    """Give SGD's fused kernel a momentum of zero for every parameter, which changes no step.

    torch 2.14's kernel takes either no momentum buffer at all or that of every parameter: a parameter that gets its
    first gradient after others did raises a TypeError. torch's own first buffer is the gradient, and so is momentum
    times zero plus the gradient, unless there is dampening.
    """
    if type(optimizer) is not SGD:
        return
    for group in optimizer.param_groups:
        if group["fused"] and group["momentum"] and not group["dampening"]:
            for parameter in group["params"]:
                if optimizer.state[parameter].get("momentum_buffer") is None:
                    optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter, requires_grad=False)
