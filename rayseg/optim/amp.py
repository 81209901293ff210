"""AmpOptimWrapper: forward passes in a 16-bit type, with the loss scaled where that type needs it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Annotated, Any, Literal, TypedDict

import torch
from torch import nn
from torch.optim import Optimizer

from rayseg.config.markers import at_least
from rayseg.core.errors import ConfigError, did_you_mean
from rayseg.optim.clipping import ClipGrad
from rayseg.optim.wrapper import NO_CONTEXT, OptimWrapper

DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16}


class LossScale(TypedDict, total=False):
    """``loss_scale`` as a dict: the arguments of ``torch.amp.GradScaler``."""

    init_scale: float
    growth_factor: float
    backoff_factor: float
    growth_interval: int
    enabled: bool


class AmpOptimWrapper(OptimWrapper):
    """OptimWrapper in automatic mixed precision; parameters, gradients and optimizer stay float32.

    With float16 the loss is multiplied by a scale before the backward pass and the gradients are divided by it before
    clipping and the step; a step whose gradients overflow is left out. bfloat16 has the range of float32, so there
    is no scale then and ``loss_scale`` changes nothing. Source: Micikevicius et al., Mixed Precision Training, 2018.

    Args:
        optimizer: its parameters must be on their device already, which decides where autocast acts.
        loss_scale: 'dynamic', a fixed number, or the arguments of ``torch.amp.GradScaler``.
        dtype: 'float16' or 'bfloat16'; None is float16 on a GPU and bfloat16 on a CPU.
        accumulative_counts: as OptimWrapper's; the scale never changes inside a window.
        clip_grad: as OptimWrapper's; applied to the gradients without the scale.

    Raises:
        ConfigError: a dtype that the device cannot compute in, or a ``loss_scale`` that is none.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        loss_scale: Literal["dynamic"] | float | LossScale = "dynamic",
        dtype: Literal["float16", "bfloat16"] | torch.dtype | None = None,
        accumulative_counts: Annotated[int, at_least(1)] = 1,
        clip_grad: ClipGrad | None = None,
    ) -> None:
        super().__init__(optimizer, accumulative_counts, clip_grad)
        self.device_type = next(
            parameter for group in optimizer.param_groups for parameter in group["params"]
        ).device.type
        self.dtype = _dtype_of(dtype, self.device_type)
        arguments, self._fixed_scale = _scaler_arguments(loss_scale)
        self.loss_scaler: torch.amp.GradScaler | None = None
        if self.dtype is torch.float16:
            self.loss_scaler = torch.amp.GradScaler(self.device_type, **arguments)

    def optim_context(self, model: nn.Module, sync: bool | None = None) -> AbstractContextManager[Any]:
        """Autocast, and OptimWrapper's context."""
        autocast = torch.autocast(self.device_type, dtype=self.dtype)
        outer = super().optim_context(model, sync)
        return autocast if outer is NO_CONTEXT else _both(outer, autocast)

    def _differentiate(self, loss: torch.Tensor, **kwargs: Any) -> None:
        if self.loss_scaler is not None:
            loss = self.loss_scaler.scale(loss)
        super()._differentiate(loss, **kwargs)

    def step(self, **kwargs: Any) -> None:
        """Take the scale out of the gradients, clip them, and step unless one overflowed; then adapt the scale."""
        scaler = self.loss_scaler
        if scaler is None:
            super().step(**kwargs)
            return
        if self._clip is not None:
            scaler.unscale_(self.optimizer)
            self._clip_gradients()
        self._has_parts = False
        scaler.step(self.optimizer, **kwargs)
        scaler.update(self._fixed_scale)

    @property
    def loss_scale_value(self) -> float | None:
        """The current scale (on a GPU, reading it waits for the device); None without one."""
        return None if self.loss_scaler is None else self.loss_scaler.get_scale()

    def state_dict(self) -> dict[str, Any]:
        """OptimWrapper's, and that of the scale."""
        state = super().state_dict()
        if self.loss_scaler is not None:
            state["loss_scaler"] = self.loss_scaler.state_dict()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take a state back, also one that was saved without a scale, or with one that is not needed here."""
        super().load_state_dict(state)
        if self.loss_scaler is not None and state.get("loss_scaler"):
            self.loss_scaler.load_state_dict(state["loss_scaler"])


@contextmanager
def _both(outer: AbstractContextManager[Any], inner: AbstractContextManager[Any]) -> Iterator[None]:
    with outer, inner:
        yield


def _dtype_of(dtype: Any, device_type: str) -> torch.dtype:
    if dtype is None:
        return torch.get_autocast_dtype(device_type)
    found: torch.dtype | None = DTYPES.get(dtype) if isinstance(dtype, str) else dtype
    if found is None or found not in DTYPES.values():
        suffix = did_you_mean(dtype, DTYPES) if isinstance(dtype, str) else ""
        raise ConfigError(f"optim_wrapper.dtype: expected 'float16' or 'bfloat16', found {dtype!r}{suffix}")
    if found is torch.bfloat16 and device_type == "cuda" and not torch.cuda.is_bf16_supported():
        raise ConfigError(f"optim_wrapper.dtype: {torch.cuda.get_device_name()} cannot do bfloat16; use 'float16'")
    return found


def _scaler_arguments(loss_scale: Any) -> tuple[dict[str, Any], float | None]:
    """What GradScaler is made with, and the scale to which each update returns."""
    if loss_scale == "dynamic":
        return {}, None
    if isinstance(loss_scale, int | float) and not isinstance(loss_scale, bool) and loss_scale > 0:
        return {"init_scale": float(loss_scale)}, float(loss_scale)
    if isinstance(loss_scale, dict):
        for key in loss_scale:
            if key not in LossScale.__annotations__:
                known = LossScale.__annotations__
                suffix = did_you_mean(key, known) or f"; it takes {', '.join(known)}"
                raise ConfigError(f"optim_wrapper.loss_scale.{key}: no such key{suffix}")
        return dict(loss_scale), None
    raise ConfigError(
        f"optim_wrapper.loss_scale: expected 'dynamic', a number above 0 or dict(init_scale=...), found {loss_scale!r}"
    )
