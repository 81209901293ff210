"""The schedules of the weight decay. A group whose weight decay is 0 keeps 0.

CosineAnnealingWeightDecay with ``eta_min`` as the last value, above or below the first, is the schedule of DINO (0.04
to 0.4; Caron et al., ICCV 2021) and of BEiT's ``weight_decay_end`` (Bao et al., ICLR 2022).
"""

from __future__ import annotations

from rayseg.optim.cosine_schedules import CosineAnnealingLR, CosineRestartLR
from rayseg.optim.plateau import ReduceOnPlateauLR
from rayseg.optim.simple_schedules import ConstantLR, ExponentialLR, LinearLR, MultiStepLR, PolyLR, StepLR


class ConstantWeightDecay(ConstantLR):
    """ConstantLR's shape for the weight decay."""

    param_name = "weight_decay"


class CosineAnnealingWeightDecay(CosineAnnealingLR):
    """CosineAnnealingLR's shape for the weight decay."""

    param_name = "weight_decay"


class CosineRestartWeightDecay(CosineRestartLR):
    """CosineRestartLR's shape for the weight decay."""

    param_name = "weight_decay"


class ExponentialWeightDecay(ExponentialLR):
    """ExponentialLR's shape for the weight decay."""

    param_name = "weight_decay"


class LinearWeightDecay(LinearLR):
    """LinearLR's shape for the weight decay."""

    param_name = "weight_decay"


class MultiStepWeightDecay(MultiStepLR):
    """MultiStepLR's shape for the weight decay."""

    param_name = "weight_decay"


class PolyWeightDecay(PolyLR):
    """PolyLR's shape for the weight decay."""

    param_name = "weight_decay"


class ReduceOnPlateauWeightDecay(ReduceOnPlateauLR):
    """ReduceOnPlateauLR's shape for the weight decay."""

    param_name = "weight_decay"


class StepWeightDecay(StepLR):
    """StepLR's shape for the weight decay."""

    param_name = "weight_decay"
