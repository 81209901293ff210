"""The confusion matrix of a whole data set, in integers, on the device where predictions are made."""

from __future__ import annotations

import torch
from torch import Tensor


class ConfusionMatrix:
    """Counts of (label, prediction) pairs over the pixels that are labelled.

    Integer counts do not depend on the order or the grouping in which images were counted.

    Args:
        num_classes: K, at least 1.
        ignore_index: label of the pixels that are not counted.
        device: where the counts are kept; predictions and labels are counted there.

    Attributes:
        matrix: int64 (K, K); rows are labels, columns are predictions.
    """

    def __init__(self, num_classes: int, ignore_index: int = 255, device: torch.device | str = "cpu") -> None:
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.matrix = torch.zeros(num_classes, num_classes, dtype=torch.int64, device=device)

    def reset(self) -> None:
        """Forget every count."""
        self.matrix.zero_()

    def update(self, pred: Tensor, label: Tensor) -> Tensor:
        """Count the pixels of one image or batch, and return these counts: int64 (K, K), on the device of the matrix.

        Args:
            pred: class indices 0 .. K-1, any integer dtype; what it says of ignored pixels does not matter.
            label: class indices or ``ignore_index``, any integer dtype, of the same shape.

        Raises:
            ValueError: the shapes differ, or a value is outside the classes; the message has both shapes.
        """
        if pred.shape != label.shape:
            raise ValueError(f"prediction {tuple(pred.shape)} and label {tuple(label.shape)} differ in shape")
        if pred.numel() == 0:
            return torch.zeros_like(self.matrix)
        classes = self.num_classes
        # int64 first: a uint8 tensor compared with 300 or -1 wraps the number around.
        pred = pred.to(self.matrix.device, non_blocking=True).to(torch.int64)
        label = label.to(self.matrix.device, non_blocking=True).to(torch.int64, copy=True)
        ignored = label == self.ignore_index
        self._check(pred, label, ignored)
        # One more bin than the matrix has takes the ignored pixels: cheaper than selecting the others.
        pair = label.mul_(classes).add_(pred).masked_fill_(ignored, classes**2)
        counts = torch.bincount(pair.flatten(), minlength=classes**2 + 1)[:-1].view(classes, classes)
        self.matrix += counts
        return counts

    def _check(self, pred: Tensor, label: Tensor, ignored: Tensor) -> None:
        low, high = pred.aminmax()
        strays = (label < 0) | (label >= self.num_classes)
        suspicious = torch.stack([(strays != ignored).any(), low < 0, high >= self.num_classes])
        if not suspicious.any():
            return
        for name, values in (("prediction", pred), ("label", label)):
            wrong = ((values < 0) | (values >= self.num_classes)) & ~ignored
            if wrong.any():
                found = ", ".join(str(value) for value in torch.unique(values[wrong])[:5].tolist())
                raise ValueError(
                    f"{name} outside the classes 0 to {self.num_classes - 1}: found {found} "
                    f"(prediction {tuple(pred.shape)}, label {tuple(label.shape)}, ignore_index {self.ignore_index})"
                )


def class_iou(matrix: Tensor) -> Tensor:
    """IoU of each class, TP / (TP + FP + FN): float64 (K,) from counts (K, K); NaN for a class that does not occur."""
    counts = matrix.double()
    right = counts.diagonal()
    return right / (counts.sum(0) + counts.sum(1) - right)
