"""``mmengine.model``: whether a model is wrapped."""

from torch import nn
from torch.nn.parallel import DataParallel, DistributedDataParallel

__all__ = ["is_model_wrapper"]


def is_model_wrapper(model: nn.Module) -> bool:
    """Whether the model is inside another, as its ``module``. One that torch.compile has made hands attributes on."""
    return isinstance(model, DistributedDataParallel | DataParallel)
