"""``mmengine.optim``: the wrappers and the constructor that users derive theirs from."""

from rayseg.optim.amp import AmpOptimWrapper
from rayseg.optim.constructor import DefaultOptimWrapperConstructor
from rayseg.optim.wrapper import OptimWrapper

__all__ = ["AmpOptimWrapper", "DefaultOptimWrapperConstructor", "OptimWrapper"]
