"""``mmengine.registry``: MM's registries that have a counterpart; ``mmseg.registry`` has the same names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rayseg.core import registries
from rayseg.core.registries import (
    DATASETS,
    HOOKS,
    LOOPS,
    METRICS,
    OPTIM_WRAPPERS,
    OPTIMIZERS,
    PARAM_SCHEDULERS,
    TRANSFORMS,
)
from rayseg.core.registries import OPTIM_CONSTRUCTORS as OPTIM_WRAPPER_CONSTRUCTORS
from rayseg.core.registries import SAMPLERS as DATA_SAMPLERS
from rayseg.core.registries import VIS_BACKENDS as VISBACKENDS
from rayseg.core.registry import Registry

__all__ = [
    "DATASETS",
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
]


class ModelRegistry:
    """MM's one registry of models, networks, losses and preprocessors, which are four here.

    Args:
        parts: what is registered is known in each of them.
    """

    def __init__(self, *parts: Registry) -> None:
        self._parts = parts

    def register_module(
        self, name: str | Sequence[str] | Callable[..., Any] | None = None, force: bool = False, module: Any = None
    ) -> Any:
        """As ``Registry.register_module``."""
        if callable(name):
            name, module = None, name

        def register(component: Any) -> Any:
            for part in self._parts:
                part.register_module(name, force, component)
            return component

        return register if module is None else register(module)

    def get(self, name: str) -> Callable[..., Any] | None:
        """The class or function of a name, or None."""
        return next((found for part in self._parts if (found := part.get(name)) is not None), None)

    def build(self, config: Any, **supplied: Any) -> Any:
        """As ``Registry.build``, in the first registry that knows the ``type``.

        Raises:
            ConfigError: no registry knows it, or its arguments do not fit.
        """
        name = config.get("type") if isinstance(config, dict) else None
        known = (part for part in self._parts if isinstance(name, str) and part.get(name) is not None)
        return next(known, self._parts[0]).build(config, **supplied)


MODELS = ModelRegistry(registries.MODELS, registries.NETS, registries.LOSSES, registries.PREPROCESSORS)


def __getattr__(name: str) -> Any:
    if name.isupper() and not name.startswith("_"):
        raise ImportError(f"rayseg has no counterpart of MM's registry {name}; there are {', '.join(__all__)}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
