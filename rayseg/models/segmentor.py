"""Segmentor: a network, its losses and its way of looking at images, as the one model that the engine calls."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn

from rayseg.config.markers import ComponentKeys
from rayseg.core.errors import ConfigError, DataError
from rayseg.core.registries import NETS, PREPROCESSORS
from rayseg.core.sample import PixelData, SegSample
from rayseg.models.adapter import (
    as_classes,
    auxiliary_logits_of,
    build_net,
    check_channels,
    inference_divisor,
    logits_of,
    required_divisor,
    resized,
)
from rayseg.models.inference import InferenceSettings, image_logits
from rayseg.models.losses import LossConfig, LossTerms
from rayseg.models.normalization import this_rank_only
from rayseg.models.preprocess import SegDataPreProcessor, pad_to, round_up

Images = Tensor | Sequence[Tensor]


class Segmentor(nn.Module):
    """Any network as a model for semantic segmentation.

    Called with images, uint8 (B, 3, H, W) or a list of (3, H, W), and samples; see ``forward``.

    Args:
        net: the network: an ``smp.`` name, the dotted path of any module, or a module. It is called with float32
            images (B, 3, H, W) and gives logits (B, K, h, w), as a tensor, in a dict under ``out`` or as ``.logits``,
            at any size; of two classes also one channel, with a sigmoid. K is given to a constructor that takes
            ``classes``, ``num_classes`` or ``num_labels``.
        loss: one or several losses; cross entropy when not given.
        data_preprocessor: arguments of SegDataPreProcessor; ImageNet's mean and std when not given.
        train_cfg: MM's key; empty.
        test_cfg: how validation looks at an image: see InferenceSettings.
        output: the key, index or attribute that holds the logits in what the network gives, where it is another.
        auxiliary_weight: factor of the losses of an auxiliary head, which a network gives in a dict under ``aux``.
        align_corners: how logits are resized to the labels' size.
        metainfo: ``classes`` and ``ignore_index`` of the data set.

    Attributes:
        num_classes: K.
        notes: lines for ``--dry-run``.

    Raises:
        ConfigError: a part does not fit, or the data has fewer than two classes.
    """

    def __init__(
        self,
        net: Annotated[Any, NETS],
        loss: LossConfig | list[LossConfig] | None = None,
        data_preprocessor: Annotated[Any, PREPROCESSORS, ComponentKeys(default_type="SegDataPreProcessor")]
        | None = None,
        train_cfg: dict[str, Any] | None = None,
        test_cfg: InferenceSettings | None = None,
        output: str | int | None = None,
        auxiliary_weight: float = 0.4,
        align_corners: bool = False,
        *,
        metainfo: Mapping[str, Any],
    ) -> None:
        super().__init__()
        self.classes = tuple(metainfo["classes"])
        self.num_classes = len(self.classes)
        self.ignore_index = int(metainfo.get("ignore_index", 255))
        if self.num_classes < 2:
            raise ConfigError(
                f"the data set has {self.num_classes} class{'es' * (self.num_classes != 1)}; segmentation needs two or "
                "more, the background counted"
            )
        if train_cfg:
            raise ConfigError(f"model.train_cfg: nothing reads {', '.join(map(repr, train_cfg))}; leave it out")
        self.net = build_net(net, self.num_classes)
        self.losses = LossTerms(loss, self.num_classes, self.ignore_index)
        self.data_preprocessor = self._build_preprocessor(data_preprocessor)
        self.inference = _inference_settings(test_cfg)
        self._training_divisor = required_divisor(self.net)
        self._divisor = self.data_preprocessor.test_size_divisor or inference_divisor(self.net)
        self.output = output
        self.auxiliary_weight = auxiliary_weight
        self.align_corners = align_corners
        self.notes = [*self.data_preprocessor.notes, *self._notes_on_ranks()]

    @property
    def backbone(self) -> nn.Module:
        """The network's part of that name, or ``encoder``, as smp calls it: what MM's users freeze and scale."""
        found = next((part for name in ("backbone", "encoder") if (part := getattr(self.net, name, None))), None)
        if not isinstance(found, nn.Module):
            raise AttributeError(f"model.backbone: {type(self.net).__name__} has no backbone and no encoder")
        return found

    def _build_preprocessor(self, config: Any) -> SegDataPreProcessor:
        if config is None or isinstance(config, Mapping):
            config = {"type": "SegDataPreProcessor", **(config or {})}
        preprocessor: SegDataPreProcessor = PREPROCESSORS.build(config)
        preprocessor.check_label_padding(self.ignore_index)
        return preprocessor

    def _notes_on_ranks(self) -> list[str]:
        names = self.losses.inexact_over_ranks
        if not names:
            return []
        return [
            f"model.loss: {', '.join(names)} may change with the number of workers for the same global batch "
            "(means over each rank's pixels; CrossEntropyLoss and FocalLoss have normalize='global')"
        ]

    def forward(
        self,
        inputs: Images,
        data_samples: Sequence[SegSample] | None = None,
        mode: Literal["loss", "predict", "tensor"] = "tensor",
    ) -> Any:
        """One call for everything, so that DDP and hooks see it.

        Args:
            inputs: RGB images in 0 to 255, (B, 3, H, W), or B of (3, H, W) whose sizes differ; on any device.
            data_samples: one for each image; ``loss`` needs their labels.
            mode: what is asked for.

        Returns:
            ``loss``: a dict of 0-dim tensors, each loss under its name and their total as ``loss``.
            ``predict``: the samples with ``pred_sem_seg`` int64 (1, H, W) and ``seg_logits`` float (K, H, W), at the
            label's size, without a label at ``ori_shape``, without that at the image's; with a label also
            ``metainfo['loss']``, 0-dim.
            ``tensor``: the network's logits (B, C, H, W) at the images' size; C is 1 or K.
        """
        if mode == "loss":
            return self.loss(inputs, data_samples)
        if mode == "predict":
            return self.predict(inputs, data_samples)
        if mode == "tensor":
            if not isinstance(inputs, Tensor):
                raise ValueError("mode='tensor' needs images of one size, (B, 3, H, W)")
            return self._logits(inputs)
        raise ValueError(f"mode is 'loss', 'predict' or 'tensor', not {mode!r}")

    def loss(self, inputs: Images, data_samples: Sequence[SegSample] | None) -> dict[str, Tensor]:
        """Each loss, weighted, and their total; 0-dim tensors with gradients."""
        labels = [_label_of(sample) for sample in data_samples or ()]
        if not labels or len(labels) != len(inputs):
            raise ValueError(f"the loss needs a sample for each of {len(inputs)} images, found {len(labels)}")
        images, label_bhw = self.data_preprocessor.training_batch(
            inputs, labels, self.ignore_index, self._training_divisor
        )
        output = self.net(images)
        losses = self._losses_of(logits_of(output, self.output), label_bhw)
        auxiliary = auxiliary_logits_of(output)
        if auxiliary is not None and self.auxiliary_weight:
            extra = self._losses_of(auxiliary, label_bhw)
            losses |= {f"aux.{name}": self.auxiliary_weight * value for name, value in extra.items() if name != "loss"}
            losses["loss"] = losses["loss"] + self.auxiliary_weight * extra["loss"]
        return losses

    def _losses_of(self, logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
        check_channels(logits, self.num_classes)
        height, width = labels.shape[-2:]
        logits = resized(logits.float(), (height, width), self.align_corners)
        kind = logits.device.type
        # Sums over all pixels of a batch need more digits than half precision has.
        full_precision = torch.autocast(kind, enabled=False) if torch.is_autocast_enabled(kind) else nullcontext()
        with full_precision:
            losses: dict[str, Tensor] = self.losses(logits, labels)
        return losses

    @torch.no_grad()
    def predict(self, inputs: Images, data_samples: Sequence[SegSample] | None = None) -> list[SegSample]:
        """The samples with predictions; images of different sizes, and windows, go through the network one by one."""
        samples = list(data_samples) if data_samples is not None else [SegSample() for _ in inputs]
        if isinstance(inputs, Tensor) and self.inference.mode == "whole":
            for logits, sample in zip(self._image_logits(inputs), samples, strict=True):
                self._fill(sample, logits[None])
        else:
            for image, sample in zip(inputs, samples, strict=True):
                self._fill(sample, self._image_logits(image[None]))
        return samples

    def _image_logits(self, images: Tensor) -> Tensor:
        """float32 (B, C, H, W) of images of one size, C being 1 or K."""
        images = images.to(self.data_preprocessor.device, non_blocking=True)
        return image_logits(self._logits, images, self.inference)

    def _logits(self, images: Tensor) -> Tensor:
        """The network's logits (B, C, H, W) at the images' size; padded right and bottom on the way, and cropped."""
        height, width = images.shape[-2:]
        divisor = self.inference.size_divisor or self._divisor
        padded = (round_up(height, divisor), round_up(width, divisor))
        batch = pad_to(self.data_preprocessor(images), *padded, self.data_preprocessor.pad_val)
        logits = logits_of(self.net(batch), self.output)
        check_channels(logits, self.num_classes)
        return resized(logits.float(), padded, self.align_corners)[..., :height, :width]

    def _fill(self, sample: SegSample, logits: Tensor) -> None:
        label = sample.gt_sem_seg.data if sample.gt_sem_seg is not None else None
        height, width = logits.shape[-2:]
        if label is not None:
            height, width = label.shape[-2:]
        elif all(sample.ori_shape):
            height, width = sample.ori_shape
        logits = resized(logits, (height, width), self.align_corners)
        if label is not None:
            with this_rank_only():
                target = label.to(logits.device, non_blocking=True).reshape(1, height, width).long()
                sample.metainfo["loss"] = self.losses(logits, target)["loss"]
        sample.seg_logits = PixelData(as_classes(logits, self.num_classes)[0])
        sample.pred_sem_seg = PixelData(self._predicted(logits)[0])

    def _predicted(self, logits: Tensor) -> Tensor:
        """Class indices, int64 (B, 1, H, W)."""
        if logits.shape[1] == self.num_classes:
            return logits.argmax(1, keepdim=True)
        threshold = self.inference.threshold
        return (logits > math.log(threshold / (1 - threshold))).long()


def _inference_settings(config: InferenceSettings | Mapping[str, Any] | None) -> InferenceSettings:
    if isinstance(config, InferenceSettings):
        return config
    try:
        return InferenceSettings(**(config or {}))
    except TypeError as error:
        raise ConfigError(f"model.test_cfg: {error}") from None


def _label_of(sample: SegSample) -> Tensor:
    if sample.gt_sem_seg is None:
        raise DataError(f"{sample.img_path or 'an image'} has no label to train on")
    return sample.gt_sem_seg.data
