"""A data set's transforms in order, and the checks that keep labels true."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from rayseg.core.errors import ConfigError, DataError
from rayseg.core.registries import TRANSFORMS


class Pipeline:
    """Calls each transform with (image, mask); see ``rayseg.data.transforms`` for that contract.

    Args:
        transforms: configs, or live objects.
        ignore_index: given to transforms that take it, and to those of torchvision as the label of filled pixels.
        test_mode: for evaluation: nothing random, and labels keep their size.

    Raises:
        ConfigError: a transform cannot be built, or draws at random in test mode.
    """

    def __init__(self, transforms: Sequence[Any], ignore_index: int, test_mode: bool) -> None:
        self.test_mode = test_mode
        self.transforms: list[Callable[..., Any]] = [
            self._build(transform, ignore_index, f"pipeline.{position}")
            for position, transform in enumerate(transforms)
        ]

    def _build(self, config: Any, ignore_index: int, where: str) -> Callable[..., Any]:
        if isinstance(config, dict):
            config = _with_label_fill(config, ignore_index)
        transform: Callable[..., Any] = TRANSFORMS.build(config, ignore_index=ignore_index, test_mode=self.test_mode)
        name = type(transform).__name__
        if not callable(transform):
            raise ConfigError(f"{where}: {name} is not callable as transform(image, mask) -> (image, mask)")
        if self.test_mode and getattr(transform, "is_random", False):
            raise ConfigError(f"{where}: {name} draws at random and has no place in an evaluation pipeline")
        return transform

    def __call__(self, image: Any, mask: Any) -> tuple[Any, Any]:
        """The transformed pair: a uint8 image (3, H, W) and an integer mask (1, H, W).

        Raises:
            DataError: a transform returned something else, or changed a label's size in test mode.
        """
        label_size = mask.shape[-2:]
        for transform in self.transforms:
            try:
                image, mask = transform(image, mask)
            except (TypeError, ValueError) as error:
                error.add_note(f"in the pipeline's {type(transform).__name__}, called with (image, mask)")
                raise
        if problem := self._problem(image, mask, label_size):
            raise DataError(f"pipeline: {problem}")
        return image, mask

    def _problem(self, image: Any, mask: Any, label_size: Any) -> str:
        if str(image.dtype) != "torch.uint8" or image.ndim != 3 or image.shape[0] != 3:
            return (
                f"it gives an image of {image.dtype} {tuple(image.shape)}, expected torch.uint8 (3, H, W); "
                "normalisation is done by model.data_preprocessor"
            )
        if mask.is_floating_point() or mask.ndim != 3 or mask.shape[0] != 1:
            return f"it gives labels of {mask.dtype} {tuple(mask.shape)}, expected integers (1, H, W)"
        if self.test_mode and mask.shape[-2:] != label_size:
            return (
                f"in evaluation it changes the label's size from {tuple(label_size)} to {tuple(mask.shape[-2:])}, "
                "which a score must not depend on; use Resize, which leaves labels as they are there"
            )
        if not self.test_mode and mask.shape[-2:] != image.shape[-2:]:
            return f"it gives an image of {tuple(image.shape[-2:])} with labels of {tuple(mask.shape[-2:])}"
        return ""


def _with_label_fill(config: dict[str, Any], ignore_index: int) -> dict[str, Any]:
    """torchvision's transforms fill labels with 0, a class, unless told: fill them with the ignore index."""
    component = TRANSFORMS.resolve(config["type"]) if "type" in config else None
    if not getattr(component, "__module__", "").startswith("torchvision.transforms.v2"):
        return config
    parameters = inspect.signature(component).parameters if component else {}
    if "fill" not in parameters or isinstance(config.get("fill"), dict):
        return config
    from torchvision import tv_tensors

    return {**config, "fill": {tv_tensors.Image: config.get("fill", 0), tv_tensors.Mask: ignore_index}}
