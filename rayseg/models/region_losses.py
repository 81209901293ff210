"""Losses of overlap between a class's predicted and labelled regions: Dice, Jaccard, Tversky.

They are ratios of sums over a rank's whole batch, not means over pixels, so they change with the number of ranks.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rayseg.core.errors import ConfigError
from rayseg.models.pixel_losses import class_weight_tensor, one_hot, weighted


class TverskyLoss(nn.Module):
    """1 - (TP + s) / (TP + α FP + β FN + s), the mean over the classes that the batch's labels have (Salehi 2017).

    TP, FP and FN are sums of probabilities over the valid pixels of the whole batch. A class without a labelled
    pixel is left out; with none at all the loss is 0.

    Called with float logits (B, K, H, W), or (B, 1, H, W) of classes 0 and 1 (only class 1 counts then), and int64
    labels (B, H, W); gives a 0-dim tensor.

    Args:
        smooth: s, keeps small regions from dominating.
        alpha: weight of false positives.
        beta: weight of false negatives.
        use_sigmoid: with K channels, each class's own sigmoid instead of the softmax.
        class_weight: one weight per class for the mean over classes.
        loss_weight: factor of this loss in the total.
        loss_name: its name in logs; begins with ``loss_``.
    """

    exact_over_ranks = False
    class_weight: Tensor | None

    def __init__(
        self,
        smooth: float = 1.0,
        alpha: float = 0.3,
        beta: float = 0.7,
        use_sigmoid: bool = False,
        class_weight: Sequence[float] | None = None,
        loss_weight: float = 1.0,
        loss_name: str = "loss_tversky",
        ignore_index: int = 255,
        num_classes: int | None = None,
    ) -> None:
        super().__init__()
        if min(smooth, alpha, beta) < 0 or alpha + beta == 0:
            raise ConfigError(
                f"model.loss: smooth, alpha and beta are 0 or more, alpha and beta not both 0; found smooth={smooth}, "
                f"alpha={alpha}, beta={beta}"
            )
        self.register_buffer("class_weight", class_weight_tensor(class_weight, num_classes), persistent=False)
        self.smooth = smooth
        self.alpha = alpha
        self.beta = beta
        self.use_sigmoid = use_sigmoid
        self.loss_weight = loss_weight
        self.loss_name = loss_name
        self.ignore_index = ignore_index

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The weighted loss, 0-dim."""
        channels = logits.shape[1]
        valid = labels != self.ignore_index
        target = one_hot(labels, valid, channels, logits.dtype)
        probability = logits.sigmoid() if self.use_sigmoid or channels == 1 else logits.softmax(1)
        probability = probability * valid.unsqueeze(1)
        hit = (probability * target).sum((0, 2, 3))
        labelled = target.sum((0, 2, 3))
        false_positive = probability.sum((0, 2, 3)) - hit
        false_negative = labelled - hit
        # The floor matters where smooth is 0 and a class has no pixel, which the mean leaves out.
        overlap = hit + self.alpha * false_positive + self.beta * false_negative + self.smooth
        losses = 1 - (hit + self.smooth) / overlap.clamp(min=torch.finfo(overlap.dtype).tiny)
        return weighted(self._mean(losses, labelled > 0), self.loss_weight)

    def _mean(self, losses: Tensor, present: Tensor) -> Tensor:
        weight = present.to(losses.dtype)
        if self.class_weight is not None:
            weight = weight * self.class_weight[-len(losses) :]
        total = weight.sum()
        return (losses * weight).sum() / (total + (total == 0))


class DiceLoss(TverskyLoss):
    """1 - Dice, Tversky's with α = β = 1/2: 1 - (2 TP + 2 s) / (2 TP + FP + FN + 2 s) (Milletari et al. 2016).

    Args:
        smooth: s, keeps small regions from dominating.
        use_sigmoid: with K channels, each class's own sigmoid instead of the softmax.
        class_weight: one weight per class for the mean over classes.
        loss_weight: factor of this loss in the total.
        loss_name: its name in logs; begins with ``loss_``.
    """

    def __init__(
        self,
        smooth: float = 1.0,
        use_sigmoid: bool = False,
        class_weight: Sequence[float] | None = None,
        loss_weight: float = 1.0,
        loss_name: str = "loss_dice",
        ignore_index: int = 255,
        num_classes: int | None = None,
    ) -> None:
        super().__init__(smooth, 0.5, 0.5, use_sigmoid, class_weight, loss_weight, loss_name, ignore_index, num_classes)


class JaccardLoss(TverskyLoss):
    """1 - IoU, Tversky's with α = β = 1: 1 - (TP + s) / (TP + FP + FN + s) (Rahman and Wang 2016).

    Args:
        smooth: s, keeps small regions from dominating.
        use_sigmoid: with K channels, each class's own sigmoid instead of the softmax.
        class_weight: one weight per class for the mean over classes.
        loss_weight: factor of this loss in the total.
        loss_name: its name in logs; begins with ``loss_``.
    """

    def __init__(
        self,
        smooth: float = 1.0,
        use_sigmoid: bool = False,
        class_weight: Sequence[float] | None = None,
        loss_weight: float = 1.0,
        loss_name: str = "loss_jaccard",
        ignore_index: int = 255,
        num_classes: int | None = None,
    ) -> None:
        super().__init__(smooth, 1.0, 1.0, use_sigmoid, class_weight, loss_weight, loss_name, ignore_index, num_classes)
