"""The Lovász extension of the Jaccard index as a loss (Berman, Rannen Triki, Blaschko 2018)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from rayseg.core.errors import ConfigError
from rayseg.models.pixel_losses import class_weight_tensor, one_hot, weighted


class LovaszLoss(nn.Module):
    """Lovász softmax over K channels, or Lovász hinge of one channel (classes 0 and 1).

    Called with float logits (B, K, H, W) or (B, 1, H, W) and int64 labels (B, H, W); gives a 0-dim tensor, 0 when no
    pixel is valid.

    Args:
        loss_type: MM's key; the number of channels decides.
        classes: over which classes the softmax's loss is the mean: ``present`` are those that the labels have.
        per_image: the mean of each image's own loss, instead of the loss of the batch as one image.
        reduction: MM's key; the loss is a mean.
        class_weight: one weight per class for the mean over classes.
        loss_weight: factor of this loss in the total.
        loss_name: its name in logs; begins with ``loss_``.
    """

    exact_over_ranks = False
    class_weight: Tensor | None

    def __init__(
        self,
        loss_type: Literal["multi_class", "binary"] | None = None,
        classes: Literal["all", "present"] | list[int] = "present",
        per_image: bool = False,
        reduction: Literal["mean", "none"] = "mean",
        class_weight: list[float] | None = None,
        loss_weight: float = 1.0,
        loss_name: str = "loss_lovasz",
        ignore_index: int = 255,
        num_classes: int | None = None,
    ) -> None:
        super().__init__()
        self.register_buffer("class_weight", class_weight_tensor(class_weight, num_classes), persistent=False)
        if isinstance(classes, list) and num_classes is not None and not set(classes) <= set(range(num_classes)):
            raise ConfigError(f"model.loss: classes are 0 to {num_classes - 1}, found {classes}")
        self.classes = classes
        self.per_image = per_image
        self.loss_weight = loss_weight
        self.loss_name = loss_name
        self.ignore_index = ignore_index

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The weighted loss, 0-dim."""
        images = [slice(i, i + 1) for i in range(len(logits))] if self.per_image else [slice(None)]
        losses = [self._loss(logits[part], labels[part]) for part in images]
        return weighted(torch.stack(losses).mean(), self.loss_weight)

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        channels = logits.shape[1]
        valid = labels != self.ignore_index
        target = one_hot(labels, valid, channels, torch.int64)
        errors = 1 - logits * (2 * target - 1) if channels == 1 else (target - logits.softmax(1)).abs()
        # An ignored pixel comes last in the order and counts nothing there.
        errors = errors.masked_fill(~valid.unsqueeze(1), -torch.inf)
        losses = _extension(_by_channel(errors), _by_channel(target))
        return losses[0] if channels == 1 else self._mean(losses, target.sum((0, 2, 3)) > 0)

    def _mean(self, losses: Tensor, present: Tensor) -> Tensor:
        counted = present
        if self.classes != "present":
            counted = torch.ones_like(present)
        if isinstance(self.classes, list):
            counted = torch.zeros_like(present)
            counted[self.classes] = True
        weight = counted.to(losses.dtype)
        if self.class_weight is not None:
            weight = weight * self.class_weight
        total = weight.sum()
        return (losses * weight).sum() / (total + (total == 0))


def _by_channel(image: Tensor) -> Tensor:
    """(B, C, H, W) as (C, B·H·W)."""
    return image.transpose(0, 1).flatten(1)


def _extension(errors: Tensor, target: Tensor) -> Tensor:
    """The Lovász extension of the Jaccard loss at the errors of each row.

    Args:
        errors: (C, P); what is below 0 costs nothing.
        target: int64 (C, P), 1 where the pixel is of the row's class.

    Returns:
        (C,).
    """
    errors, order = errors.sort(dim=1, descending=True, stable=True)
    target = target.gather(1, order)
    # Integer sums: a cumulative sum of floats has no deterministic CUDA kernel.
    seen = target.cumsum(1)
    labelled = seen[:, -1:]
    other = torch.arange(1, errors.shape[1] + 1, device=errors.device) - seen
    jaccard = 1 - (labelled - seen).to(errors.dtype) / (labelled + other)
    steps = jaccard.diff(dim=1, prepend=torch.zeros_like(jaccard[:, :1]))
    return (errors.relu() * steps).sum(1)
