"""IoUMetric: what one confusion matrix over all ranks says about a model, and the validation loss."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from rayseg.core import distributed
from rayseg.core.errors import ConfigError
from rayseg.core.sample import SegSample
from rayseg.metrics.confusion_matrix import ConfusionMatrix, class_iou
from rayseg.metrics.loss_sum import LossSum

IoUName = Literal["mIoU", "mDice", "mFscore"]

PER_CLASS: dict[str, tuple[str, ...]] = {
    "mIoU": ("IoU", "Acc"),
    "mDice": ("Dice", "Acc"),
    "mFscore": ("Fscore", "Precision", "Recall"),
}


class IoUMetric:
    """Scores of semantic segmentation, from one integer confusion matrix over the whole data set.

    With TP, FP and FN of a class over all labelled pixels of all images:

    - IoU = TP / (TP + FP + FN)
    - Acc = Recall = TP / (TP + FN), Precision = TP / (TP + FP)
    - Dice = 2 TP / (2 TP + FP + FN)
    - Fscore = (1 + b²) TP / ((1 + b²) TP + b² FN + FP), van Rijsbergen's F with b = ``beta``; Dice when b = 1
    - aAcc = pixels that are right / labelled pixels

    A score whose denominator is 0 is NaN and left out of its mean. So a class that is predicted somewhere but is not
    in the labels counts with IoU, Dice and Fscore 0, while its Acc is left out; a class in neither is left out.

    ``loss`` is the mean over images of the loss that the model noted in ``metainfo['loss']``; it is not there when
    no image had one. Every value is the same for every number of ranks and every split of the images over them.

    Args:
        iou_metrics: which families of scores: ``mIoU`` (with mAcc and aAcc), ``mDice`` (with mAcc), ``mFscore``
            (with precision and recall); all of them when not given.
        nan_to_num: a number instead of NaN, in the scores of classes and in means.
        beta: weight of recall against precision in Fscore.
        ignore_index: label that is not counted; the data set's when not given.
        prefix: put before each key, as ``prefix/mIoU``.
        collect_device: MM's key; counts are kept and reduced on the device of the model.
        metainfo: ``classes`` and ``ignore_index`` of the data set.
        device: where counts are kept.
    """

    def __init__(
        self,
        iou_metrics: list[IoUName] | None = None,
        nan_to_num: float | None = None,
        beta: float = 1.0,
        ignore_index: int | None = None,
        prefix: str | None = None,
        collect_device: Literal["cpu", "gpu"] = "cpu",
        *,
        metainfo: Mapping[str, Any],
        device: torch.device | str = "cpu",
    ) -> None:
        families: Sequence[IoUName] = iou_metrics or ("mIoU", "mDice", "mFscore")
        if unknown := sorted(set(families) - set(PER_CLASS)):
            raise ConfigError(f"IoUMetric: iou_metrics may hold {', '.join(PER_CLASS)}, found {unknown[0]!r}")
        self.classes: tuple[str, ...] = tuple(metainfo["classes"])
        self.names = tuple(dict.fromkeys(name for family in families for name in PER_CLASS[family]))
        self.nan_to_num = nan_to_num
        self.beta = beta
        self.prefix = f"{prefix}/" if prefix else ""
        ignored = metainfo.get("ignore_index", 255) if ignore_index is None else ignore_index
        self.confusion = ConfusionMatrix(len(self.classes), ignored, device)
        self.losses = LossSum()

    def reset(self) -> None:
        """Forget every image."""
        self.confusion.reset()
        self.losses = LossSum()

    def process(self, data_batch: Mapping[str, Any], data_samples: Sequence[SegSample]) -> None:
        """Count predictions against labels; each image's own counts go into its ``metainfo['confusion']``.

        Args:
            data_batch: what the model was given; not used.
            data_samples: with ``pred_sem_seg`` and ``gt_sem_seg``, integer (1, H, W) of equal size, and perhaps
                ``metainfo['loss']``, a number or 0-dim tensor.

        Raises:
            ValueError: sizes differ, a value is outside the classes, or an image has no label.
        """
        for sample in data_samples:
            if sample.gt_sem_seg is None or sample.pred_sem_seg is None:
                missing = "label" if sample.gt_sem_seg is None else "prediction"
                raise ValueError(f"{sample.img_path or 'an image'} has no {missing}, so it cannot be scored")
            try:
                counts = self.confusion.update(sample.pred_sem_seg.data, sample.gt_sem_seg.data)
            except ValueError as error:
                error.add_note(f"image: {sample.img_path}")
                raise
            sample.metainfo["confusion"] = counts
            if (loss := sample.metainfo.get("loss")) is not None:
                self.losses.add(float(loss))

    def reduce(self, group: Any = None, broken: bool = False) -> bool:
        """Sum the counts over ranks in one all-reduce; called once, by every rank, also by one without images.

        Args:
            group: the process group; the default one when not given.
            broken: this rank did not see all of its images.

        Returns:
            Whether any rank's pass was broken off, so that the counts are worth nothing.
        """
        matrix = self.confusion.matrix
        extra = torch.tensor([int(broken), *self.losses.words()], dtype=torch.int64)
        packed = torch.cat([matrix.flatten(), extra.to(matrix.device)])
        distributed.all_reduce(packed, group=group)
        matrix.copy_(packed[: matrix.numel()].view_as(matrix))
        any_broken, *words = packed[matrix.numel() :].tolist()
        self.losses = LossSum.from_words(words)
        return bool(any_broken)

    def compute(self) -> dict[str, float]:
        """Means (``mIoU``, ``aAcc``, ``loss`` ...) and then each class (``IoU.<class>`` ...), fractions of 1."""
        scores = self.scores()
        results: dict[str, float] = {}
        if "IoU" in self.names:
            results["aAcc"] = self._number(self._pixel_accuracy())
        results |= {f"m{name}": self._number(values.nanmean().item()) for name, values in scores.items()}
        if self.losses.count:
            results["loss"] = self.losses.mean()
        for name, values in scores.items():
            for class_name, value in zip(self.classes, values.tolist(), strict=True):
                results[f"{name}.{class_name}"] = self._number(value)
        return {self.prefix + key: value for key, value in results.items()}

    def scores(self) -> dict[str, Tensor]:
        """Each score of each class: float64 (K,) tensors on the CPU, NaN where it is not defined."""
        matrix = self.confusion.matrix.cpu().double()
        right, labelled, predicted = matrix.diagonal(), matrix.sum(1), matrix.sum(0)
        recall = right / labelled
        beta2 = self.beta**2
        formulas = {
            "IoU": class_iou(matrix),
            "Acc": recall,
            "Dice": 2 * right / (labelled + predicted),
            "Fscore": (1 + beta2) * right / (beta2 * labelled + predicted),
            "Precision": right / predicted,
            "Recall": recall,
        }
        return {name: formulas[name] for name in self.names}

    @property
    def table(self) -> list[dict[str, Any]]:
        """One row for each class: ``class``, its scores, and ``pixels``, its share of the labelled pixels."""
        matrix = self.confusion.matrix.cpu().double()
        scores = {name: values.tolist() for name, values in self.scores().items()}
        shares = (matrix.sum(1) / matrix.sum()).tolist()
        return [
            {
                "class": class_name,
                **{name: self._number(values[index]) for name, values in scores.items()},
                "pixels": shares[index],
            }
            for index, class_name in enumerate(self.classes)
        ]

    def _pixel_accuracy(self) -> float:
        matrix = self.confusion.matrix.cpu().double()
        return (matrix.diagonal().sum() / matrix.sum()).item()

    def _number(self, value: float) -> float:
        return self.nan_to_num if self.nan_to_num is not None and math.isnan(value) else value
