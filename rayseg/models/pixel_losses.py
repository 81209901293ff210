"""Losses that are means over valid pixels, so that they can be exact over any number of ranks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rayseg.core.errors import ConfigError
from rayseg.models.normalization import Normalize, mean_over_pixels


class PixelLoss(nn.Module):
    """A weighted mean of a loss of each valid pixel; subclasses say what the pixels' losses sum up to.

    Args:
        class_weight: one weight per class; the mean is then weighted by them, as torch's.
        normalize: ``per_rank`` divides by the weight of this rank's valid pixels, ``global`` by that of all ranks'.
        avg_non_ignore: False divides by the number of all pixels, ignored ones too, as MM does by default.
        ignore_index: label of pixels that are not valid.
        num_classes: K, to check ``class_weight`` against.

    Raises:
        ConfigError: ``class_weight`` does not have one number for each class.
    """

    class_weight: Tensor | None

    def __init__(
        self,
        class_weight: Sequence[float] | None,
        normalize: Normalize,
        avg_non_ignore: bool,
        ignore_index: int,
        num_classes: int | None,
    ) -> None:
        super().__init__()
        self.register_buffer("class_weight", class_weight_tensor(class_weight, num_classes), persistent=False)
        self.normalize: Normalize = normalize
        self.avg_non_ignore = avg_non_ignore
        self.ignore_index = ignore_index

    @property
    def exact_over_ranks(self) -> bool:
        """Whether the same global batch gives the same loss on any number of ranks."""
        return self.normalize == "global"

    def weigh(self, labels: Tensor) -> Tensor:
        """What the mean divides by: the weight of the valid pixels of integer labels, 0-dim."""
        if not self.avg_non_ignore:
            return torch.tensor(labels.numel(), device=labels.device)
        valid = labels != self.ignore_index
        if self.class_weight is None:
            return torch.count_nonzero(valid)
        return (self.class_weight[torch.where(valid, labels, 0).long()] * valid).sum()

    def mean(self, total: Tensor, labels: Tensor) -> Tensor:
        """The sum over pixels as the mean that was asked for."""
        return mean_over_pixels(total, labels, self.weigh, self.normalize, key=self)


def weighted(loss: Tensor, weight: float) -> Tensor:
    """A loss times its weight, without an operation where that is 1."""
    return loss if weight == 1 else weight * loss


def class_weight_tensor(class_weight: Sequence[float] | None, num_classes: int | None) -> Tensor | None:
    """float32 (K,), or None where every class weighs the same.

    Raises:
        ConfigError: there is not one number for each class, or one is below 0, or none is above.
    """
    if class_weight is None:
        return None
    if num_classes is not None and len(class_weight) != num_classes:
        raise ConfigError(
            f"model.loss: class_weight has {len(class_weight)} numbers, the data has {num_classes} classes"
        )
    if min(class_weight) < 0 or max(class_weight) == 0:
        raise ConfigError(f"model.loss: class_weight must be 0 or more, not all 0; found {list(class_weight)}")
    return torch.tensor(list(class_weight), dtype=torch.float32)


def flat_pixels(logits: Tensor) -> Tensor:
    """(B, C, H, W) as (B·H·W, C)."""
    return logits.permute(0, 2, 3, 1).reshape(-1, logits.shape[1])


def deterministic_form(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Logits and labels in a form of which cross entropy is deterministic.

    Over two dimensions it has no deterministic kernel on CUDA (pytorch#71367), so there each pixel becomes a row; a
    CPU is more than twice as fast without that copy.
    """
    if logits.device.type == "cpu":
        return logits, labels
    return flat_pixels(logits), labels.reshape(-1)


class CrossEntropyLoss(PixelLoss):
    """Cross entropy of the softmax over K channels, or of the sigmoid of one channel (classes 0 and 1).

    Called with float logits (B, K, H, W) or (B, 1, H, W) and int64 labels (B, H, W); gives a 0-dim tensor, 0 when no
    pixel is valid.

    Args:
        use_sigmoid: with K channels, the mean over classes of each class's own binary cross entropy. One channel
            always has a sigmoid.
        label_smoothing: share of the target that is spread evenly over the classes, 0 to 1 (Szegedy et al. 2016).
        reduction: MM's key; the loss is a mean.
        class_weight: one weight per class; the mean is then weighted by them, as torch's and MM's.
        avg_non_ignore: False divides by the number of all pixels, ignored ones too, as MM does by default.
        normalize: ``per_rank`` or ``global``: whose valid pixels the mean is over.
        loss_weight: factor of this loss in the total.
        loss_name: its name in logs; begins with ``loss_``.
    """

    def __init__(
        self,
        use_sigmoid: bool = False,
        label_smoothing: float = 0.0,
        reduction: Literal["mean"] = "mean",
        class_weight: Sequence[float] | None = None,
        avg_non_ignore: bool = True,
        normalize: Normalize = "per_rank",
        loss_weight: float = 1.0,
        loss_name: str = "loss_ce",
        ignore_index: int = 255,
        num_classes: int | None = None,
    ) -> None:
        super().__init__(class_weight, normalize, avg_non_ignore, ignore_index, num_classes)
        if not 0 <= label_smoothing < 1:
            raise ConfigError(f"model.loss: label_smoothing is from 0 up to 1, found {label_smoothing}")
        self.use_sigmoid = use_sigmoid
        self.label_smoothing = label_smoothing
        is_plain = class_weight is None and label_smoothing == 0
        self._is_torch_mean = is_plain and avg_non_ignore and normalize == "per_rank"  # bit for bit
        self.loss_weight = loss_weight
        self.loss_name = loss_name

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The weighted loss, 0-dim."""
        is_softmax = not self.use_sigmoid and logits.shape[1] > 1
        if is_softmax and self._is_torch_mean and logits.device.type == "cpu":
            loss = F.cross_entropy(logits, labels, ignore_index=self.ignore_index)
            if not loss.detach().isnan():  # as it is when no pixel is valid; a look that a GPU would have to wait for
                return weighted(loss, self.loss_weight)
        if not is_softmax:
            total = self._binary_sum(logits, labels)
        else:
            total = F.cross_entropy(
                *deterministic_form(logits, labels),
                weight=self.class_weight,
                ignore_index=self.ignore_index,
                reduction="sum",
                label_smoothing=self.label_smoothing,
            )
        return weighted(self.mean(total, labels), self.loss_weight)

    def _binary_sum(self, logits: Tensor, labels: Tensor) -> Tensor:
        target, weight = binary_targets(logits, labels, self.ignore_index, self.class_weight)
        target = target * (1 - self.label_smoothing) + self.label_smoothing / 2
        losses = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
        return (losses * weight).sum() / logits.shape[1]


class FocalLoss(PixelLoss):
    """Focal loss of each class against the rest: -α (1 - p)^γ log p (Lin et al. 2017), the mean over classes.

    Called with float logits (B, K, H, W), or (B, 1, H, W) of classes 0 and 1, and int64 labels (B, H, W); gives a
    0-dim tensor, 0 when no pixel is valid.

    Args:
        use_sigmoid: MM's key; the loss is of sigmoids.
        gamma: how much less pixels weigh that are right already, 0 or more.
        alpha: weight of a pixel's own class, 1 - alpha that of the others; one number, or one for each class.
        reduction: MM's key; the loss is a mean.
        class_weight: one weight per class; the mean is then weighted by them.
        avg_non_ignore: False divides by the number of all pixels, ignored ones too.
        normalize: ``per_rank`` or ``global``: whose valid pixels the mean is over.
        loss_weight: factor of this loss in the total.
        loss_name: its name in logs; begins with ``loss_``.
    """

    alpha: Tensor

    def __init__(
        self,
        use_sigmoid: Literal[True] = True,
        gamma: float = 2.0,
        alpha: float | list[float] = 0.5,
        reduction: Literal["mean"] = "mean",
        class_weight: Sequence[float] | None = None,
        avg_non_ignore: bool = True,
        normalize: Normalize = "per_rank",
        loss_weight: float = 1.0,
        loss_name: str = "loss_focal",
        ignore_index: int = 255,
        num_classes: int | None = None,
    ) -> None:
        super().__init__(class_weight, normalize, avg_non_ignore, ignore_index, num_classes)
        if gamma < 0:
            raise ConfigError(f"model.loss: gamma is 0 or more, found {gamma}")
        if isinstance(alpha, list) and num_classes is not None and len(alpha) not in (1, num_classes):
            raise ConfigError(f"model.loss: alpha has {len(alpha)} numbers, the data has {num_classes} classes")
        self.register_buffer("alpha", torch.tensor(alpha, dtype=torch.float32).view(-1, 1, 1), persistent=False)
        self.gamma = gamma
        self.loss_weight = loss_weight
        self.loss_name = loss_name

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The weighted loss, 0-dim."""
        target, weight = binary_targets(logits, labels, self.ignore_index, self.class_weight)
        log_loss = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
        probability = logits.sigmoid()
        wrong = probability * (1 - target) + (1 - probability) * target
        alpha = self.alpha if logits.shape[1] == self.alpha.shape[0] or self.alpha.shape[0] == 1 else self.alpha[1:]
        balance = alpha * target + (1 - alpha) * (1 - target)
        total = (balance * wrong.pow(self.gamma) * log_loss * weight).sum() / logits.shape[1]
        return weighted(self.mean(total, labels), self.loss_weight)


def one_hot(labels: Tensor, valid: Tensor, channels: int, dtype: torch.dtype) -> Tensor:
    """(B, channels, H, W) of 0 and 1: each class against the rest; one channel is class 1. 0 where not valid."""
    classes = torch.arange(channels, device=labels.device) if channels > 1 else torch.ones(1, device=labels.device)
    return ((labels.unsqueeze(1) == classes.view(-1, 1, 1)) & valid.unsqueeze(1)).to(dtype)


def binary_targets(
    logits: Tensor, labels: Tensor, ignore_index: int, class_weight: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Targets of each channel's own yes or no, (B, C, H, W), and the pixels' weights (B, 1, H, W), 0 where ignored."""
    valid = labels != ignore_index
    weight = valid.to(logits.dtype)
    if class_weight is not None:
        weight = weight * class_weight[torch.where(valid, labels, 0)]
    return one_hot(labels, valid, logits.shape[1], logits.dtype), weight.unsqueeze(1)
