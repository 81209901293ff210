"""MM's SegDataPreProcessor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rayseg.migration.lines import Lines, dict_of, without_scope

IMAGENET = {"mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375]}
_TAKES = ("size", "size_divisor", "pad_val", "test_cfg")


def migrate_preprocessor(given: Any, path: str, lines: Lines) -> dict[str, Any]:
    """The arguments of rayseg's preprocessor.

    MM turns BGR into RGB if asked to; images are RGB here, so not asking for it is what has to be said.
    """
    config = dict_of(given)
    if given is not None and not isinstance(given, Mapping):
        lines.missing(path, given, "expected a dict", "say it as dict(mean=[...], std=[...], bgr_to_rgb=True)")
    if without_scope(config.get("type", "SegDataPreProcessor")) != "SegDataPreProcessor":
        why = "there is SegDataPreProcessor only; its arguments are taken over where they are the same"
        lines.differs(f"{path}.type", config["type"], why)
    result = {key: _statistics(config, key, path, lines) for key in ("mean", "std")}
    if not (config.get("bgr_to_rgb") or config.get("rgb_to_bgr")):
        result["rgb_to_bgr"] = True
        lines.differs(path, "no bgr_to_rgb", "MM's network gets BGR, so rgb_to_bgr=True; weights of timm want RGB")
    for key in _TAKES:
        if config.get(key) not in (None, 0, {}):
            result[key] = config[key]
    if config.get("seg_pad_val", 255) != 255:
        why = "padded pixels have the data set's ignore_index here"
        lines.dropped(f"{path}.seg_pad_val", config["seg_pad_val"], why)
    for key in sorted(set(config) - {"type", "mean", "std", "bgr_to_rgb", "rgb_to_bgr", "seg_pad_val", *_TAKES}):
        if config[key]:
            lines.missing(f"{path}.{key}", config[key], "SegDataPreProcessor has no such argument here", "leave it out")
    return result


def _statistics(config: Mapping[str, Any], key: str, path: str, lines: Lines) -> Any:
    value = config.get(key)
    if value is None:
        return None
    if not _are_numbers(value):
        why = "expected 3 numbers, one for each channel, of pixels from 0 to 255"
        lines.missing(f"{path}.{key}", value, why, f"say {key}=[...]; ImageNet's stands there for now")
        return "imagenet"
    numbers = [float(number) for number in value]
    if numbers == IMAGENET[key]:
        return "imagenet"
    if len(numbers) != 3:
        why, do = "images have 3 channels here", "bring a data set and a network of your own"
        lines.missing(f"{path}.{key}", value, why, do)
        return "imagenet"
    return numbers


def _are_numbers(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(number, int | float) for number in value)
