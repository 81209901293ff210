"""Losses of torch.nn and segmentation-models-pytorch, given what they expect: no ignored pixel, their own shapes."""

from __future__ import annotations

from torch import Tensor, nn

from rayseg.core.errors import ConfigError
from rayseg.models.pixel_losses import flat_pixels, one_hot

# torch.nn's losses of logits against class indices, and those of logits against 0 and 1 for each channel.
_OF_INDICES = ("CrossEntropyLoss", "MultiMarginLoss")
_OF_ONE_HOT = ("BCEWithLogitsLoss", "MultiLabelSoftMarginLoss")
# smp's that take the labels of a batch, and the one whose targets have the shape of the logits.
_SMP_OF_LABELS = ("DiceLoss", "FocalLoss", "JaccardLoss", "LovaszLoss", "SoftCrossEntropyLoss", "TverskyLoss")
_SMP_OF_ONE_HOT = ("SoftBCEWithLogitsLoss",)
_SMP = "segmentation_models_pytorch."


def is_library_loss(loss: object) -> bool:
    """Whether a loss is a module of torch.nn or smp."""
    module = type(loss).__module__
    return isinstance(loss, nn.Module) and (module.startswith(("torch.nn.", _SMP)))


class LibraryLoss(nn.Module):
    """A library's loss over the valid pixels of a batch; 0 when there are none.

    The library sees the valid pixels as one image, so what it averages or sums up, it does over them alone.

    Args:
        loss: the module; its own ignore_index does not matter, as it never sees an ignored pixel.
        ignore_index: label of the ignored pixels.

    Raises:
        ConfigError: it does not compare logits with one class per pixel.
    """

    exact_over_ranks = False

    def __init__(self, loss: nn.Module, ignore_index: int) -> None:
        super().__init__()
        self.loss = loss
        self._name = type(loss).__name__
        self._of_smp = type(loss).__module__.startswith(_SMP)
        self._mode = getattr(loss, "mode", None)
        known = (*_SMP_OF_LABELS, *_SMP_OF_ONE_HOT) if self._of_smp else (*_OF_INDICES, *_OF_ONE_HOT)
        if self._name not in known:
            library = "smp.losses" if self._of_smp else "torch.nn"
            raise ConfigError(
                f"model.loss: {library}'s {self._name} does not compare logits with class labels; of {library} there "
                f"are {', '.join(known)}; a loss of your own is a module called with (logits, labels)"
            )
        if self._mode == "multilabel":
            raise ConfigError(
                f"model.loss: smp.{self._name} with mode='multilabel': a pixel has one class here; say "
                "mode='multiclass', or 'binary' for a network of one channel"
            )
        self._one_hot = self._name in (_SMP_OF_ONE_HOT if self._of_smp else _OF_ONE_HOT)
        self.ignore_index = ignore_index

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The loss, 0-dim; logits float (B, C, H, W), labels int64 (B, H, W)."""
        self._check_channels(logits.shape[1])
        if self._of_smp and getattr(self.loss, "per_image", False):
            parts = [self._over_valid(logits[i : i + 1], labels[i : i + 1]) for i in range(len(logits))]
            return sum(parts[1:], parts[0]) / len(parts)
        return self._over_valid(logits, labels)

    def _over_valid(self, logits: Tensor, labels: Tensor) -> Tensor:
        valid = labels != self.ignore_index
        pixels, classes = flat_pixels(logits), labels.reshape(-1)
        if not bool(valid.all()):
            kept = valid.reshape(-1)
            pixels, classes = pixels[kept], classes[kept]
            if not len(classes):
                return logits.sum() * 0.0
        image, label = pixels.t()[None, :, :, None], classes[None, :, None]
        target = one_hot(label, label >= 0, image.shape[1], image.dtype) if self._one_hot else label
        if self._of_smp:
            loss: Tensor = self.loss(image, target)
        else:
            loss = self.loss(pixels, flat_pixels(target) if self._one_hot else classes)
        return loss

    def _check_channels(self, channels: int) -> None:
        needs_one = self._mode == "binary"
        needs_more = self._mode == "multiclass" or (not self._one_hot and self._mode is None)
        if (needs_one and channels != 1) or (needs_more and channels == 1):
            hint = (
                f"; say mode={'multiclass' if needs_one else 'binary'!r}" if self._mode else "; BCEWithLogitsLoss does"
            )
            raise ConfigError(
                f"model.loss: {self._name} does not take a network of {channels} channel{'s' * (channels > 1)}{hint}"
            )
