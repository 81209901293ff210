"""What a component's constructor takes, read from its signature and annotations."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, get_type_hints

_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclass(frozen=True)
class Parameter:
    """One named argument; ``annotation`` is Any where there is none or it cannot be evaluated."""

    annotation: Any
    default: Any
    required: bool


@dataclass(frozen=True)
class Parameters:
    """The named arguments of a constructor or function, and whether ``**kwargs`` takes others."""

    named: dict[str, Parameter]
    takes_others: bool


@lru_cache(maxsize=512)
def parameters_of(component: Callable[..., Any]) -> Parameters:
    """The arguments that a config may give to ``component``.

    Raises:
        ValueError, TypeError: it has no signature that Python can read.
    """
    signature = inspect.signature(component)
    hints = _hints_of(component)
    named = {
        name: Parameter(hints.get(name, Any), parameter.default, parameter.default is parameter.empty)
        for name, parameter in signature.parameters.items()
        if parameter.kind in _NAMED
    }
    takes_others = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
    return Parameters(named, takes_others)


def _hints_of(component: Callable[..., Any]) -> dict[str, Any]:
    function: Any = component
    if isinstance(component, type):
        function = component.__init__ if component.__init__ is not object.__init__ else component.__new__  # type: ignore[misc]
    try:
        return get_type_hints(function, include_extras=True)
    except Exception:  # an import under TYPE_CHECKING: evaluate what can be evaluated
        return _evaluated_one_by_one(function)


def _evaluated_one_by_one(function: Any) -> dict[str, Any]:
    function = inspect.unwrap(function)
    module = sys.modules.get(getattr(function, "__module__", ""))
    names = getattr(function, "__globals__", vars(module) if module else {})
    hints: dict[str, Any] = {}
    for name, annotation in getattr(function, "__annotations__", {}).items():
        try:
            hints[name] = eval(annotation, dict(names)) if isinstance(annotation, str) else annotation
        except Exception:  # an unknown name: the argument is not checked
            hints[name] = Any
    return hints
