"""MMEngine's names, so that a hook written for it needs its import changed and nothing else.

``from mmengine.hooks import Hook`` becomes ``from rayseg.compat.mmengine.hooks import Hook``, or shorter
``from rayseg.compat.mmengine import Hook``: every name of the modules here is also a name of this one.
``docs/bring-your-hooks.md`` says what each does here.
"""

from typing import Any

from rayseg.compat.mmengine import hooks, registry
from rayseg.compat.mmengine.config import Config, ConfigDict
from rayseg.compat.mmengine.dataset import Compose
from rayseg.compat.mmengine.dist import (
    all_gather,
    all_gather_object,
    all_reduce,
    barrier,
    broadcast,
    broadcast_object_list,
    get_dist_info,
    get_rank,
    get_world_size,
    is_distributed,
    is_main_process,
    master_only,
)
from rayseg.compat.mmengine.hooks import DATA_BATCH, Hook, get_priority
from rayseg.compat.mmengine.logging import MessageHub, MMLogger, print_log
from rayseg.compat.mmengine.model import is_model_wrapper
from rayseg.compat.mmengine.optim import AmpOptimWrapper, DefaultOptimWrapperConstructor, OptimWrapper
from rayseg.compat.mmengine.registry import (
    DATA_SAMPLERS,
    DATASETS,
    HOOKS,
    LOOPS,
    METRICS,
    MODELS,
    OPTIM_WRAPPER_CONSTRUCTORS,
    OPTIM_WRAPPERS,
    OPTIMIZERS,
    PARAM_SCHEDULERS,
    TRANSFORMS,
    VISBACKENDS,
)
from rayseg.compat.mmengine.runner import Runner
from rayseg.compat.mmengine.structures import PixelData, SegDataSample
from rayseg.compat.mmengine.visualization import Visualizer

__all__ = [
    "DATASETS",
    "DATA_BATCH",
    "DATA_SAMPLERS",
    "HOOKS",
    "LOOPS",
    "METRICS",
    "MODELS",
    "OPTIMIZERS",
    "OPTIM_WRAPPERS",
    "OPTIM_WRAPPER_CONSTRUCTORS",
    "PARAM_SCHEDULERS",
    "TRANSFORMS",
    "VISBACKENDS",
    "AmpOptimWrapper",
    "Compose",
    "Config",
    "ConfigDict",
    "DefaultOptimWrapperConstructor",
    "Hook",
    "MMLogger",
    "MessageHub",
    "OptimWrapper",
    "PixelData",
    "Runner",
    "SegDataSample",
    "Visualizer",
    "all_gather",
    "all_gather_object",
    "all_reduce",
    "barrier",
    "broadcast",
    "broadcast_object_list",
    "get_dist_info",
    "get_priority",
    "get_rank",
    "get_world_size",
    "is_distributed",
    "is_main_process",
    "is_model_wrapper",
    "master_only",
    "print_log",
]


def __getattr__(name: str) -> Any:
    if name.endswith("Hook"):
        return getattr(hooks, name)
    return getattr(registry, name)
