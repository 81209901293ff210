"""What an update of the averaged weights costs, beside the one fused call that it needs.

The 159 parameters are those of ``engine_overhead.py``.
"""

from __future__ import annotations

import torch
from _paired import Report, in_turn, one_thread
from engine_overhead import Blocks

from rayseg.optim.averaging import AveragedWeights

MOMENTUM = 0.001


def main() -> int:
    """Measure, print, and say whether the bound was kept."""
    report = Report(
        "moving average of 159 tensors: AveragedWeights.update against torch._foreach_lerp_", "torch", "rayseg"
    )
    model = Blocks()
    ours = AveragedWeights(model, momentum=MOMENTUM)
    ours.update(model)
    live = [parameter.detach() for parameter in model.parameters()]
    average = [parameter.clone() for parameter in live]
    for parameter in live:
        parameter.add_(1)
    with one_thread():
        pairs = in_turn(
            lambda: ours.update(model),
            lambda: torch._foreach_lerp_(average, live, MOMENTUM),
            repetitions=301,
            calls=20,
        )
    same = all(torch.equal(*both) for both in zip(ours.named_values().values(), average, strict=True))
    report.require("the averages", same, "equal" if same else "differ")
    report.ratio("an update", pairs, bound=1.3)
    return report.exit_code


if __name__ == "__main__":
    raise SystemExit(main())
