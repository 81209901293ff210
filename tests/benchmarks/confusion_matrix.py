"""What counting a prediction costs, beside one masked ``torch.bincount``: 512×512 pixels, 150 classes."""

from __future__ import annotations

import torch
from _paired import Report, in_turn, one_thread
from torch import Tensor

from rayseg.metrics.confusion_matrix import ConfusionMatrix

CLASSES, SIDE, IGNORE = 150, 512, 255


def masked_bincount(pred: Tensor, label: Tensor) -> Tensor:
    """int64 (K, K), as it is usually written."""
    valid = label != IGNORE
    pair = label[valid].long() * CLASSES + pred[valid].long()
    return torch.bincount(pair, minlength=CLASSES**2).view(CLASSES, CLASSES)


def main() -> int:
    """Measure, print, and say whether the bound was kept."""
    report = Report("confusion matrix: ConfusionMatrix.update against a masked bincount", "torch", "rayseg")
    generator = torch.Generator().manual_seed(0)
    pred = torch.randint(0, CLASSES, (1, SIDE, SIDE), generator=generator)
    label = torch.randint(0, CLASSES, (1, SIDE, SIDE), generator=generator).to(torch.uint8)
    label[:, : SIDE // 16] = IGNORE
    ours, theirs = ConfusionMatrix(CLASSES, IGNORE), torch.zeros(CLASSES, CLASSES, dtype=torch.int64)
    with one_thread():
        pairs = in_turn(
            lambda: ours.update(pred, label),
            lambda: theirs.add_(masked_bincount(pred, label)),
            repetitions=151,
            calls=3,
        )
    report.require("the counts", torch.equal(ours.matrix, theirs), f"{int(ours.matrix.sum())} and {int(theirs.sum())}")
    report.ratio("an image", pairs, bound=1.05)
    return report.exit_code


if __name__ == "__main__":
    raise SystemExit(main())
