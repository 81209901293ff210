"""DDP's complaint of parameters without a gradient becomes one line that names them and the switch."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from rayseg.core.errors import RaysegError
from rayseg.engine.train_step import TrainStep
from rayseg.optim.wrapper import OptimWrapper

COMPLAINT = (
    "Expected to have finished reduction in the prior iteration before starting a new one. ...\n"
    "Parameter indices which did not receive grad for rank 0: 1 2\n In addition, you can set ..."
)


class Complaining(nn.Module):
    """Says what DDP says; its first parameter is frozen, so that DDP does not count it."""

    def __init__(self, message: str) -> None:
        super().__init__()
        self.message = message
        self.frozen = nn.Parameter(torch.zeros(1), requires_grad=False)
        self.used, self.left, self.out = (nn.Parameter(torch.zeros(1)) for _ in range(3))

    def forward(self, inputs, data_samples, mode):
        raise RuntimeError(self.message)


def step(message: str, micro_batches: int) -> None:
    model = Complaining(message)
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    samples = [SimpleNamespace(gt_sem_seg=SimpleNamespace(data=torch.zeros(1, 2, 2, dtype=torch.uint8)))] * 2
    TrainStep(model, wrapper, micro_batches)({"inputs": torch.zeros(2, 3, 2, 2), "data_samples": samples})


@pytest.mark.parametrize("micro_batches", [1, 2])
def test_unused_parameters_are_named(micro_batches: int) -> None:
    with pytest.raises(RaysegError, match=r"depends on left, out, .* env_cfg\.find_unused_parameters=True"):
        step(COMPLAINT, micro_batches)


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="another") as caught:
        step("another", 1)
    assert not isinstance(caught.value, RaysegError)
