"""AveragedWeights: a running average of a model's weights, kept beside it, one fused call an update."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import nn

from rayseg.core import distributed
from rayseg.core.errors import CheckpointError, ConfigError, did_you_mean

Kind = Literal["ExponentialMovingAverage", "MomentumAnnealingEMA", "StochasticWeightAverage"]
KINDS: tuple[Kind, ...] = ("ExponentialMovingAverage", "MomentumAnnealingEMA", "StochasticWeightAverage")


class AveragedWeights:
    """The average of a model's floating-point parameters over its updates: ``average += w * (weights - average)``.

    The first update is a copy (``w = 1``). After ``steps`` updates, ``w`` is

    - ExponentialMovingAverage: ``momentum``;
    - MomentumAnnealingEMA: ``max(momentum, gamma / (gamma + steps))``;
    - StochasticWeightAverage: ``1 / (steps // interval + 1)``, the plain mean (Izmailov et al., UAI 2018).

    Args:
        model: what is averaged; its tensors are kept, so they must stay the same objects.
        kind: one of the three.
        momentum: weight of the newest values, above 0 and below 1.
        gamma: of MomentumAnnealingEMA, above 0.
        interval: updates of which one counts; the others leave the average as it is.
        update_buffers: average floating-point buffers too. On several ranks, the averaged ones are rank 0's whenever
            they are swapped in. Buffers that are not averaged are the live ones.

    Attributes:
        steps: updates so far, those that ``interval`` passed over too.

    Raises:
        ConfigError: an argument out of its range.
    """

    def __init__(
        self,
        model: nn.Module,
        kind: Kind = "ExponentialMovingAverage",
        momentum: float = 0.0002,
        gamma: int = 100,
        interval: int = 1,
        update_buffers: bool = False,
    ) -> None:
        check_averaging(kind, momentum, gamma, interval)
        self.kind = kind
        self.momentum = momentum
        self.gamma = gamma
        self.interval = interval
        self.update_buffers = update_buffers
        self.steps = 0
        self._swapped = False
        self._follow(model)
        self._average = [tensor.detach().clone() for tensor in self._live]

    def _follow(self, model: nn.Module) -> None:
        """Keep the model's tensors, each once, and the names that its ``state_dict`` has for them."""
        saved = distributed.unwrap(model).state_dict(keep_vars=True)
        self._live: list[torch.Tensor] = []
        self._index: dict[str, int] = {}
        self._buffers: list[int] = []
        positions: dict[int, int] = {}
        for name, tensor in saved.items():
            if not isinstance(tensor, torch.Tensor) or not tensor.is_floating_point():
                continue
            is_buffer = not isinstance(tensor, nn.Parameter)
            if is_buffer and not self.update_buffers:
                continue
            if id(tensor) not in positions:
                positions[id(tensor)] = len(self._live)
                self._live.append(tensor)
                if is_buffer:
                    self._buffers.append(positions[id(tensor)])
            self._index[name] = positions[id(tensor)]
        self._model = model

    def update(self, model: nn.Module) -> None:
        """Take the model's present values into the average."""
        if model is not self._model:
            self._follow(model)
        steps = self.steps
        self.steps = steps + 1
        if steps == 0:
            with torch.no_grad():
                torch._foreach_copy_(self._average, self._live)
        elif steps % self.interval == 0:
            with torch.no_grad():
                torch._foreach_lerp_(self._average, self._live, self.weight(steps))

    def weight(self, steps: int) -> float:
        """The weight of the newest values in the update after ``steps`` others."""
        if steps == 0:
            return 1.0
        if self.kind == "ExponentialMovingAverage":
            return self.momentum
        if self.kind == "MomentumAnnealingEMA":
            return max(self.momentum, self.gamma / (self.gamma + steps))
        return 1.0 / (steps // self.interval + 1)

    @torch.no_grad()
    def swap(self, model: nn.Module) -> None:
        """Exchange the values of model and average, in place; a second call brings both back, bit for bit.

        A collective when buffers are averaged.
        """
        if model is not self._model:
            self._follow(model)
        if self._buffers and not self._swapped:
            self._share_buffers()
        for live, average in zip(self._live, self._average, strict=True):
            kept = live.clone()
            live.copy_(average)
            average.copy_(kept)
        self._swapped = not self._swapped

    def _share_buffers(self) -> None:
        """Give every rank rank 0's averaged buffers, which are those that are saved."""
        if distributed.get_world_size() == 1:
            return
        for index in self._buffers:
            torch.distributed.broadcast(self._average[index], src=0)

    def named_values(self) -> dict[str, torch.Tensor]:
        """The average by canonical name (a tied tensor under each of its names); the tensors themselves, no copies."""
        values = self._live if self._swapped else self._average
        return {name: values[index].detach() for name, index in self._index.items()}

    @torch.no_grad()
    def load_values(self, values: Mapping[str, torch.Tensor]) -> None:
        """Copy an average back by name; names that are not averaged are passed over.

        Raises:
            CheckpointError: a value is missing or has another shape.
        """
        own = self.named_values()
        for name, tensor in own.items():
            if name not in values:
                raise CheckpointError(f"the averaged weights lack {name!r}{did_you_mean(name, values)}")
            if values[name].shape != tensor.shape:
                found, expected = tuple(values[name].shape), tuple(tensor.shape)
                raise CheckpointError(f"the averaged weights hold {name!r} of shape {found}, the model's is {expected}")
        for name, tensor in own.items():
            tensor.copy_(values[name])


def check_averaging(kind: str, momentum: float, gamma: float, interval: int) -> None:
    """Raise ConfigError for values that make no average."""
    if kind not in KINDS:
        raise ConfigError(
            f"EMAHook.ema_type: expected one of {', '.join(KINDS)}, found {kind!r}{did_you_mean(kind, KINDS)}"
        )
    if kind != "StochasticWeightAverage" and not 0.0 < momentum < 1.0:
        raise ConfigError(f"EMAHook.momentum: expected a number above 0 and below 1, found {momentum!r}")
    if kind == "MomentumAnnealingEMA" and gamma <= 0:
        raise ConfigError(f"EMAHook.gamma: expected a number above 0, found {gamma!r}")
    if interval < 1:
        raise ConfigError(f"EMAHook.interval: expected at least 1, found {interval!r}")
