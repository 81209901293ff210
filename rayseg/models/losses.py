"""The losses of a segmentor: from their configs to one module that gives each loss and the total."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from torch import Tensor, nn

from rayseg.config.markers import ComponentKeys, Rule
from rayseg.core.errors import ConfigError
from rayseg.core.registries import LOSSES
from rayseg.models.library_losses import LibraryLoss, is_library_loss
from rayseg.models.lovasz import LovaszLoss
from rayseg.models.pixel_losses import CrossEntropyLoss, FocalLoss
from rayseg.models.region_losses import DiceLoss, JaccardLoss, TverskyLoss

__all__ = [
    "CrossEntropyLoss",
    "DiceLoss",
    "FocalLoss",
    "JaccardLoss",
    "LossConfig",
    "LossTerms",
    "LovaszLoss",
    "TverskyLoss",
]

PREFIX = "loss_"

# A loss in a config: dict(type=..., loss_weight=..., loss_name=...) of any registered, torch.nn, smp or own loss.
LossConfig = Annotated[
    Any,
    LOSSES,
    ComponentKeys(
        {
            "loss_weight": float,
            "loss_name": Annotated[str, Rule(lambda name: name.startswith(PREFIX), "a name that begins with 'loss_'")],
        }
    ),
]


class _Weighted(nn.Module):
    """A loss that knows no weight of its own, times its weight."""

    def __init__(self, loss: Callable[[Tensor, Tensor], Tensor], weight: float) -> None:
        super().__init__()
        self.loss = loss
        self.weight = weight

    @property
    def exact_over_ranks(self) -> bool:
        return bool(getattr(self.loss, "exact_over_ranks", False))

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        return self.weight * self.loss(logits, labels)


class LossTerms(nn.Module):
    """Every configured loss under its name, weighted, and their sum as ``loss``.

    A loss of one's own is any callable of float32 logits (B, C, H, W) and int64 labels (B, H, W), ignored pixels
    included, that gives a 0-dim tensor; ``ignore_index`` and ``num_classes`` are given to a constructor that takes
    them. ``loss_weight`` and ``loss_name`` may stand in any loss's config. Two losses of one name are told apart by
    a number: ``loss_ce``, ``loss_ce_2``.

    Args:
        losses: a config or live object, or a list of them; cross entropy when None.
        num_classes: K.
        ignore_index: label of pixels that do not count.

    Raises:
        ConfigError: there is no loss, a name does not begin with ``loss_``, or a loss refuses its arguments.
    """

    def __init__(self, losses: Any, num_classes: int, ignore_index: int) -> None:
        super().__init__()
        if losses is None:
            losses = {"type": "CrossEntropyLoss"}
        listed = list(losses) if isinstance(losses, Sequence) and not isinstance(losses, str) else [losses]
        if not listed:
            raise ConfigError("model.loss: the list is empty; give a loss, such as dict(type='CrossEntropyLoss')")
        self.terms = nn.ModuleDict()
        for config in listed:
            loss, name = _build_loss(config, num_classes=num_classes, ignore_index=ignore_index)
            self.terms[self._free_name(name)] = loss

    def _free_name(self, name: str) -> str:
        number = 2
        free = name
        while free in self.terms:
            free, number = f"{name}_{number}", number + 1
        return free

    def forward(self, logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Each loss and ``loss``, their sum, as 0-dim tensors."""
        values: dict[str, Tensor] = {name: term(logits, labels) for name, term in self.terms.items()}
        first, *others = values.values()
        values["loss"] = sum(others, first)
        return values

    @property
    def inexact_over_ranks(self) -> list[str]:
        """Names of the losses whose value for one global batch depends on the number of ranks."""
        return [name for name, term in self.terms.items() if not getattr(term, "exact_over_ranks", False)]


def _build_loss(config: Any, *, num_classes: int, ignore_index: int) -> tuple[nn.Module, str]:
    """A loss that applies its own weight, and its name."""
    weight, name = 1.0, None
    if isinstance(config, Mapping):
        arguments = dict(config)
        name = arguments.get("loss_name")
        takes = _arguments_of(arguments.get("type"))
        for key in ("loss_weight", "loss_name"):
            if key in arguments and key not in takes:
                value = arguments.pop(key)
                weight = value if key == "loss_weight" else weight
        config = arguments
    supplied = {"num_classes": num_classes, "ignore_index": ignore_index}
    loss = LOSSES.build(config, **({} if _has_no_constructor(config) else supplied))
    if not callable(loss) or isinstance(loss, type):
        raise ConfigError(f"model.loss: expected a loss, called with (logits, labels); found {loss!r}")
    name = name or getattr(loss, "loss_name", None) or _default_name(loss)
    if not name.startswith(PREFIX) or "." in name:
        raise ConfigError(f"model.loss: loss_name begins with 'loss_' and has no dot; found {name!r}")
    if is_library_loss(loss):
        loss = LibraryLoss(loss, ignore_index)
    if weight != 1.0 or not isinstance(loss, nn.Module):
        loss = _Weighted(loss, weight)
    return loss, name


def _has_no_constructor(config: Any) -> bool:
    """Whether a loss is a module without one of its own; torch's says that it takes anything, and does not."""
    kind = LOSSES.resolve(config["type"]) if isinstance(config, Mapping) and config.get("type") is not None else None
    return getattr(kind, "__init__", None) is nn.Module.__init__


def _arguments_of(kind: Any) -> set[str]:
    """The named arguments of a loss's constructor; none where they cannot be read."""
    if kind is None:
        return set()
    try:
        return set(inspect.signature(LOSSES.resolve(kind)).parameters)
    except (TypeError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        return set()


def _default_name(loss: Any) -> str:
    """``loss_mcc`` for MCCLoss, ``loss_soft_cross_entropy`` for SoftCrossEntropyLoss."""
    kind = getattr(loss, "__name__", type(loss).__name__)
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", kind.removesuffix("Loss")).lower()
    return PREFIX + (words.strip("_").removeprefix(PREFIX) or "own")
