"""Gradient clipping from its config: by the norm of all gradients together, or value by value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal, TypedDict

import torch
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

from rayseg.core.errors import ConfigError, did_you_mean

Clip = Callable[[list[torch.Tensor]], torch.Tensor | None]


class ClipGrad(TypedDict, total=False):
    """``clip_grad``: ``max_norm`` with type 'norm', ``clip_value`` with 'value'; unsaid, the type is the limit's."""

    type: Literal["norm", "value"]
    max_norm: float
    norm_type: float | Literal["inf"]
    error_if_nonfinite: bool
    foreach: bool | None
    clip_value: float


_FUNCTIONS: dict[str, tuple[Callable[..., Any], str, tuple[str, ...]]] = {
    "norm": (clip_grad_norm_, "max_norm", ("max_norm", "norm_type", "error_if_nonfinite", "foreach")),
    "value": (clip_grad_value_, "clip_value", ("clip_value", "foreach")),
}


def clip_function(config: ClipGrad) -> Clip:
    """A function that clips the gradients of parameters in place; gives their norm from before, or None for values.

    Raises:
        ConfigError: an unknown type or key, no limit, or one that is not above 0.
    """
    if not isinstance(config, Mapping):
        raise ConfigError(f"optim_wrapper.clip_grad: expected dict(max_norm=...), found {config!r}")
    arguments: dict[str, Any] = dict(config)
    only_value = "clip_value" in arguments and "max_norm" not in arguments  # as MM's documentation has it
    kind = arguments.pop("type", "value" if only_value else "norm")
    if kind not in _FUNCTIONS:
        raise ConfigError(f"optim_wrapper.clip_grad.type: expected 'norm' or 'value', found {kind!r}")
    function, limit, known = _FUNCTIONS[kind]
    for key in arguments:
        if key not in known:
            suffix = did_you_mean(key, known) or f"; it takes {', '.join(known)}"
            raise ConfigError(f"optim_wrapper.clip_grad.{key}: clipping by {kind} takes no {key!r}{suffix}")
    if limit not in arguments:
        raise ConfigError(f"optim_wrapper.clip_grad: clipping by {kind} needs {limit!r}, found {dict(config)!r}")
    if isinstance(arguments[limit], bool) or not arguments[limit] > 0:
        raise ConfigError(
            f"optim_wrapper.clip_grad.{limit}: expected a number above 0, found {arguments[limit]!r}; "
            "clip_grad=None turns clipping off"
        )
    if "norm_type" in arguments:
        arguments["norm_type"] = float(arguments["norm_type"])
    return partial(function, **arguments)
