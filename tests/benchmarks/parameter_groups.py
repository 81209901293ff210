"""What an optimizer's step costs over the groups that paramwise_cfg makes, beside groups made by hand.

The 159 parameters are those of ``engine_overhead.py``. MMEngine makes a group of each parameter; here equal ones are
one group.
"""

from __future__ import annotations

import torch
from _paired import Report, in_turn, one_thread
from engine_overhead import Blocks
from torch import nn
from torch.optim import AdamW

from rayseg.optim.build import build_optim_wrapper


def by_hand(model: nn.Module) -> AdamW:
    """AdamW over two groups: the parameters of norms without weight decay, and the others."""
    norms = {id(p) for m in model.modules() if isinstance(m, nn.BatchNorm2d) for p in m.parameters()}
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if id(p) not in norms]},
        {"params": [p for p in parameters if id(p) in norms], "weight_decay": 0.0},
    ]
    return AdamW(groups, lr=1e-4, weight_decay=0.01, fused=True)


def with_gradients() -> nn.Module:
    model = Blocks()
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    return model


def main() -> int:
    """Measure, print, and say whether the bound was kept."""
    report = Report("AdamW over 159 tensors: norm_decay_mult=0 against two groups made by hand", "torch", "rayseg")
    cfg = {
        "optimizer": {"type": "AdamW", "lr": 1e-4, "weight_decay": 0.01},
        "paramwise_cfg": {"norm_decay_mult": 0.0},
    }
    ours, baseline = build_optim_wrapper(with_gradients(), cfg).optimizer, by_hand(with_gradients())
    counts = [len(group["params"]) for group in ours.param_groups]
    report.require("the groups", counts == [len(group["params"]) for group in baseline.param_groups], str(counts))
    with one_thread():
        report.ratio("a step", in_turn(ours.step, baseline.step, repetitions=301, calls=5), bound=1.05)
    return report.exit_code


if __name__ == "__main__":
    raise SystemExit(main())
