"""OptimWrapper: the few verbs of an optimizer step, with accumulation and clipping behind them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Annotated, Any, cast

import torch
from torch import nn
from torch.optim import Optimizer

from rayseg.config.markers import at_least
from rayseg.core.errors import CheckpointError
from rayseg.optim.clipping import ClipGrad, clip_function
from rayseg.optim.grouping import GroupRow, name_groups, rows_of

NO_CONTEXT: AbstractContextManager[Any] = nullcontext()


class OptimWrapper:
    """Scales the loss, runs backward, and steps the optimizer when an accumulation window is full.

    A window is ``accumulative_counts`` calls of ``update_params``; its gradient is that of one batch as large as the
    window's batches together. A window ends early at the last count of the run, or begins late where a run was
    resumed with more iterations; such a shorter one is divided by its own length. The semantics are those of
    MMEngine 0.10.7, and subclasses written for it (which count in ``_inner_count``) work here.

    Args:
        optimizer: steps the parameters; groups without a ``name`` are given one.
        accumulative_counts: calls of ``update_params`` for one step of the optimizer, at least 1.
        clip_grad: ``dict(max_norm=1.0)``, with ``norm_type`` (2.0), ``error_if_nonfinite``, ``foreach``, or
            ``dict(type='value', clip_value=0.5)``.

    Attributes:
        optimizer: the optimizer.
        grad_norm: 0-dim tensor, the norm of all gradients before the last step's clipping; None before the first
            step, without clipping, and when values are clipped.
        group_notes: rows of the group table that stand for no group, such as a custom key that matches nothing.

    Raises:
        ConfigError: ``clip_grad`` is wrong.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        accumulative_counts: Annotated[int, at_least(1)] = 1,
        clip_grad: ClipGrad | None = None,
    ) -> None:
        assert accumulative_counts >= 1, f"accumulative_counts must be at least 1, found {accumulative_counts}"
        self.optimizer = optimizer
        self.grad_norm: torch.Tensor | None = None
        self.group_notes: tuple[GroupRow, ...] = ()
        self._accumulative_counts = accumulative_counts
        self._clip = None if clip_grad is None else clip_function(clip_grad)
        self._inner_count = 0
        self._init_counts = 0
        self._max_counts = -1
        self._has_parts = False
        name_groups(optimizer.param_groups)

    def initialize_count_status(self, model: nn.Module, init_counts: int, max_counts: int) -> None:
        """Say where the run stands, so that its last window is known.

        Args:
            model: MM's; not looked at.
            init_counts: calls of ``update_params`` that lie behind; no window may be open.
            max_counts: calls of the whole run; the last one always steps. -1 means endless.
        """
        self._inner_count = self._init_counts = init_counts
        self._max_counts = max_counts

    def update_params(
        self,
        loss: torch.Tensor,
        step_kwargs: dict[str, Any] | None = None,
        zero_kwargs: dict[str, Any] | None = None,
    ) -> None:
        """Count one loss (a 0-dim tensor) in, and step when its window is full.

        Args:
            loss: differentiated and freed.
            step_kwargs: for the optimizer's ``step``.
            zero_kwargs: for the optimizer's ``zero_grad``.
        """
        self.backward(self.scale_loss(loss))
        if self.should_update():
            self.step(**(step_kwargs or {}))
            self.zero_grad(**(zero_kwargs or {}))

    def accumulate(self, loss_part: torch.Tensor) -> None:
        """Add the gradient of a part of the count that is going on; ``update_params`` with the last part ends it.

        Args:
            loss_part: 0-dim; the parts of one count are summed, so each holds its share of the mean.
        """
        self._has_parts = True
        self.backward(self.scale_loss(loss_part))
        self._inner_count -= 1  # the count goes on

    def backward(self, loss: torch.Tensor, **kwargs: Any) -> None:
        """Differentiate a scaled loss and count it."""
        self._differentiate(loss, **kwargs)
        self._inner_count += 1

    def _differentiate(self, loss: torch.Tensor, **kwargs: Any) -> None:
        loss.backward(**kwargs)

    def scale_loss(self, loss: torch.Tensor) -> torch.Tensor:
        """The loss divided by the length of the window that it belongs to."""
        counts = self._accumulative_counts
        if counts == 1:
            return loss
        regular_begin = self._inner_count - self._inner_count % counts
        begin = max(regular_begin, self._init_counts)
        end = regular_begin + counts
        if self._inner_count < self._max_counts < end:
            end = self._max_counts
        return loss / (end - begin)

    def step(self, **kwargs: Any) -> None:
        """Clip the gradients and step the optimizer."""
        if self._clip is not None:
            self._clip_gradients()
        self._has_parts = False
        self.optimizer.step(**kwargs)

    def _clip_gradients(self) -> None:
        assert self._clip is not None
        parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        self.grad_norm = self._clip(parameters)

    def zero_grad(self, **kwargs: Any) -> None:
        """Drop the gradients."""
        self.optimizer.zero_grad(**kwargs)

    def optim_context(self, model: nn.Module, sync: bool | None = None) -> AbstractContextManager[Any]:
        """The context of a forward pass. The backward pass may lie outside it.

        Args:
            model: the model as it is called; DDP does not reduce gradients while no step is due.
            sync: False to keep DDP from reducing in any case, True to let it, None for what the window says.
        """
        if sync is None:
            sync = self._accumulative_counts == 1 or self.should_sync()
        if sync or not hasattr(model, "no_sync"):
            return NO_CONTEXT
        no_sync: Callable[[], AbstractContextManager[Any]] = cast(Any, model).no_sync
        return no_sync()

    def should_update(self) -> bool:
        """Whether the count that was just completed ends its window."""
        return self._inner_count % self._accumulative_counts == 0 or self._inner_count == self._max_counts

    def should_sync(self) -> bool:
        """Whether the count that comes next ends its window, so that ranks must reduce its gradient."""
        following = self._inner_count + 1
        return following % self._accumulative_counts == 0 or following == self._max_counts

    @property
    def at_boundary(self) -> bool:
        """Whether no window is open: no gradient waits for a step, and the state can be saved."""
        return not self._has_parts and (self.should_update() or self._inner_count == self._init_counts)

    @property
    def inner_count(self) -> int:
        """Calls of ``update_params`` so far, those before a resume too."""
        return self._inner_count

    @property
    def accumulative_counts(self) -> int:
        """Length of a window."""
        return self._accumulative_counts

    @property
    def loss_scale_value(self) -> float | None:
        """The factor that keeps small gradients from vanishing in float16; None where there is none."""
        return None

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The optimizer's groups; each has a ``name``, and the one with the base settings comes first."""
        return self.optimizer.param_groups

    @property
    def defaults(self) -> dict[str, Any]:
        """The optimizer's base settings."""
        return self.optimizer.defaults

    @property
    def group_table(self) -> list[GroupRow]:
        """A row for each group, then those that say what matched nothing."""
        return [*rows_of(self.optimizer.param_groups), *self.group_notes]

    def get_lr(self) -> dict[str, list[float]]:
        """The learning rate of each group, as ``{'lr': [...]}``."""
        return {"lr": [group["lr"] for group in self.param_groups]}

    def get_momentum(self) -> dict[str, list[float]]:
        """The momentum of each group, as ``{'momentum': [...]}``: ``betas[0]`` in Adam's family, 0 without any."""
        return {
            "momentum": [
                group["momentum"] if "momentum" in group else group.get("betas", (0,))[0] for group in self.param_groups
            ]
        }

    def state_dict(self) -> dict[str, Any]:
        """The exact state, of plain values and tensors; to be taken ``at_boundary`` only."""
        return {"optimizer": self.optimizer.state_dict(), "inner_count": self._inner_count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take a state back. The parameters must already have their device.

        Raises:
            CheckpointError: the state is that of other parameter groups.
        """
        try:
            self.optimizer.load_state_dict(state["optimizer"])
        except ValueError as error:
            raise CheckpointError(f"the optimizer's state does not fit the model: {error}") from None
        self._inner_count = self._init_counts = state["inner_count"]
        self._has_parts = False

    def __repr__(self) -> str:
        return f"{type(self).__name__}(accumulative_counts={self._accumulative_counts}, optimizer={self.optimizer!r})"
