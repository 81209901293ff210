"""build_optim_wrapper: from the ``optim_wrapper`` section to an OptimWrapper, by the constructor that it names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from rayseg.core.distributed import unwrap
from rayseg.core.errors import ConfigError
from rayseg.core.registries import OPTIM_CONSTRUCTORS
from rayseg.optim.late_gradients import allow_late_gradients
from rayseg.optim.wrapper import OptimWrapper


def build_optim_wrapper(model: nn.Module, cfg: Any) -> OptimWrapper:
    """The optimizer wrapper of a model whose parameters are on their device.

    Args:
        model: may be wrapped by DDP or torch.compile; names are canonical all the same.
        cfg: ``dict(type, optimizer=dict(type=...), constructor, paramwise_cfg, ...)``, or an OptimWrapper, which is
            returned as it is. A constructor is a class made with ``(optim_wrapper_cfg, paramwise_cfg)``, whose
            instance is called with the model.

    Raises:
        ConfigError: what the section says cannot be built.
    """
    if isinstance(cfg, OptimWrapper):
        return cfg
    if not isinstance(cfg, Mapping):
        raise ConfigError(f"optim_wrapper: expected dict(optimizer=dict(type=...)), found {cfg!r}")
    arguments = dict(cfg)
    name = arguments.pop("constructor", None) or "DefaultOptimWrapperConstructor"
    paramwise_cfg = arguments.pop("paramwise_cfg", None)
    constructor = OPTIM_CONSTRUCTORS.resolve(name)
    wrapper = constructor(arguments, paramwise_cfg)(unwrap(model))
    if not isinstance(wrapper, OptimWrapper):
        raise ConfigError(
            f"optim_wrapper.constructor: {name!r}, called with the model, gave a {type(wrapper).__name__}; "
            "expected an OptimWrapper"
        )
    allow_late_gradients(wrapper.optimizer)
    return wrapper
