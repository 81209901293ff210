"""The schedules of the momentum, which is ``betas[0]`` in Adam's family: MMEngine's names and arguments."""

from __future__ import annotations

from rayseg.optim.cosine_schedules import CosineAnnealingLR, CosineRestartLR
from rayseg.optim.plateau import ReduceOnPlateauLR
from rayseg.optim.simple_schedules import ConstantLR, ExponentialLR, LinearLR, MultiStepLR, PolyLR, StepLR


class ConstantMomentum(ConstantLR):
    """ConstantLR's shape for the momentum."""

    param_name = "momentum"


class CosineAnnealingMomentum(CosineAnnealingLR):
    """CosineAnnealingLR's shape for the momentum."""

    param_name = "momentum"


class CosineRestartMomentum(CosineRestartLR):
    """CosineRestartLR's shape for the momentum."""

    param_name = "momentum"


class ExponentialMomentum(ExponentialLR):
    """ExponentialLR's shape for the momentum."""

    param_name = "momentum"


class LinearMomentum(LinearLR):
    """LinearLR's shape for the momentum."""

    param_name = "momentum"


class MultiStepMomentum(MultiStepLR):
    """MultiStepLR's shape for the momentum."""

    param_name = "momentum"


class PolyMomentum(PolyLR):
    """PolyLR's shape for the momentum."""

    param_name = "momentum"


class ReduceOnPlateauMomentum(ReduceOnPlateauLR):
    """ReduceOnPlateauLR's shape for the momentum."""

    param_name = "momentum"


class StepMomentum(StepLR):
    """StepLR's shape for the momentum."""

    param_name = "momentum"
