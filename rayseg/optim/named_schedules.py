"""The schedules of any number of the parameter groups, by ``param_name``: MMEngine's names and arguments."""

from __future__ import annotations

from dataclasses import dataclass, field

from rayseg.optim.cosine_schedules import CosineAnnealingLR, CosineRestartLR, OneCycleLR
from rayseg.optim.plateau import ReduceOnPlateauLR
from rayseg.optim.simple_schedules import ConstantLR, ExponentialLR, LinearLR, MultiStepLR, PolyLR, StepLR


@dataclass(kw_only=True, eq=False, repr=False)
class ConstantParamScheduler(ConstantLR):
    """ConstantLR's shape for ``param_name``."""

    param_name: str = field()


@dataclass(kw_only=True, eq=False, repr=False)
class CosineAnnealingParamScheduler(CosineAnnealingLR):
    """CosineAnnealingLR's shape for ``param_name``."""

    param_name: str = field()


@dataclass(kw_only=True, eq=False, repr=False)
class CosineRestartParamScheduler(CosineRestartLR):
    """CosineRestartLR's shape for ``param_name``."""

    param_name: str = field()


@dataclass(kw_only=True, eq=False, repr=False)
class ExponentialParamScheduler(ExponentialLR):
    """ExponentialLR's shape for ``param_name``."""

    param_name: str = field()


@dataclass(kw_only=True, eq=False, repr=False)
class LinearParamScheduler(LinearLR):
    """LinearLR's shape for ``param_name``."""

    param_name: str = field()


@dataclass(kw_only=True, eq=False, repr=False)
class MultiStepParamScheduler(MultiStepLR):
    """MultiStepLR's shape for ``param_name``."""

    param_name: str = field()


@dataclass(kw_only=True, eq=False, repr=False)
class PolyParamScheduler(PolyLR):
    """PolyLR's shape for ``param_name``."""

    param_name: str = field()


@dataclass(kw_only=True, eq=False, repr=False)
class ReduceOnPlateauParamScheduler(ReduceOnPlateauLR):
    """ReduceOnPlateauLR's shape for ``param_name``."""

    param_name: str = field()


@dataclass(kw_only=True, eq=False, repr=False)
class StepParamScheduler(StepLR):
    """StepLR's shape for ``param_name``."""

    param_name: str = field()


@dataclass(kw_only=True, eq=False, repr=False)
class OneCycleParamScheduler(OneCycleLR):
    """OneCycleLR, which is for the learning rate alone."""

    param_name: str = field()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.param_name != "lr":
            self.refuse("param_name", "'lr', as in MM")
