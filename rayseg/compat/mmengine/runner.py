"""``mmengine.runner``: the runner and its loops."""

from rayseg.engine.loops import EpochBasedTrainLoop, IterBasedTrainLoop, TestLoop, ValLoop
from rayseg.engine.runner import Runner

__all__ = ["EpochBasedTrainLoop", "IterBasedTrainLoop", "Runner", "TestLoop", "ValLoop"]
