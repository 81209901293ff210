"""SegSample: one image's labels, predictions and facts, in the shape that MM hooks know."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


@dataclass(slots=True)
class PixelData:
    """A map over the pixels of one image.

    ``data`` is (1, H, W) with class indices (labels, predictions) or (K, H, W) with logits.
    """

    data: torch.Tensor

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        height, width = self.data.shape[-2:]
        return height, width


@dataclass(slots=True)
class SegSample:
    """One image on its way through the loop.

    Attributes:
        img_path: the image's path as the data set found it.
        ori_shape: (height, width) of the image and label as stored, in pixels.
        img_shape: (height, width) of the image as the model sees it, before batch padding.
        metainfo: what else transforms noted (``flip``, ``scale``, ``index`` in the data set ...).
        gt_sem_seg: labels, integer (1, H, W); values are class indices or the ignore index.
        pred_sem_seg: predicted class indices, int64 (1, H, W), at the label's size.
        seg_logits: logits, float (K, H, W), at the label's size.
    """

    img_path: str = ""
    ori_shape: tuple[int, int] = (0, 0)
    img_shape: tuple[int, int] = (0, 0)
    metainfo: dict[str, Any] = field(default_factory=dict)
    gt_sem_seg: PixelData | None = None
    pred_sem_seg: PixelData | None = None
    seg_logits: PixelData | None = None

    def pin_memory(self, device: Any = None) -> SegSample:
        """Pin the label in host memory; called by torch's DataLoader when ``pin_memory`` is on."""
        if self.gt_sem_seg is not None:
            self.gt_sem_seg = PixelData(self.gt_sem_seg.data.pin_memory())
        return self
