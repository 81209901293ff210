"""MM's pipelines: transforms under the same names, without what the data set does here by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rayseg.migration.lines import Lines, without_scope

# What each transform takes here; a test compares this with their constructors.
TAKES: dict[str, tuple[str, ...]] = {
    "Pad": ("size", "size_divisor", "pad_to_square", "pad_val", "padding_mode"),
    "PhotoMetricDistortion": ("brightness_delta", "contrast_range", "saturation_range", "hue_delta"),
    "RandomChoiceResize": ("scales", "keep_ratio", "resize_type", "max_size"),
    "RandomCrop": ("crop_size", "cat_max_ratio", "pad_val"),
    "RandomFlip": ("prob", "direction"),
    "RandomResize": ("scale", "ratio_range", "keep_ratio", "resize_type"),
    "RandomRotate": ("prob", "degree", "pad_val", "seg_pad_val", "center", "auto_bound"),
    "Resize": ("scale", "scale_factor", "keep_ratio", "interpolation"),
}
_EVALUATION = ("Resize", "Pad")
_LOADING = ("LoadImageFromFile", "LoadAnnotations", "PackSegInputs")
_DO = "write it as a function called with (image, mask) and named by its dotted path, or take one of v2.*"


def migrate_pipeline(pipeline: Any, path: str, evaluates: bool, lines: Lines) -> list[dict[str, Any]]:
    """The transforms of a data set, those left out that load files, which the data set does."""
    found: list[dict[str, Any]] = []
    if pipeline is not None and not isinstance(pipeline, list | tuple):
        lines.missing(path, pipeline, "expected a list", "say pipeline=[dict(type=...), ...]")
        return found
    for index, config in enumerate(pipeline or ()):
        where = f"{path}.{index}"
        if not isinstance(config, Mapping):
            lines.missing(where, config, "expected dict(type=...)", _DO)
        elif (transform := _migrate(dict(config), where, evaluates, lines)) is not None:
            found.append(transform)
    return found


def reduces_zero_label(pipeline: Any) -> bool:
    """Whether the pipeline's LoadAnnotations makes label 0 unlabelled."""
    steps = pipeline if isinstance(pipeline, list | tuple) else ()
    loads = [step for step in steps if isinstance(step, Mapping)]
    return any(without_scope(step.get("type")) == "LoadAnnotations" and step.get("reduce_zero_label") for step in loads)


def _migrate(config: dict[str, Any], path: str, evaluates: bool, lines: Lines) -> dict[str, Any] | None:
    kind = without_scope(config.pop("type", None))
    if kind in _LOADING:
        _check_loading(kind, config, path, lines)
        return None
    if kind == "ResizeShortestEdge":
        return _shortest_edge(config, path, evaluates, lines)
    if kind == "ResizeToMultiple":
        lines.dropped(path, kind, "the model pads by itself, and cuts its output back to the label")
        return None
    if kind not in TAKES:
        lines.missing(path, {"type": kind, **config}, "there is no such transform here", _DO)
        return None
    if evaluates and kind not in _EVALUATION:
        why = "nothing is drawn at random in validation and test"
        lines.missing(path, kind, why, "leave it out, or resize with Resize")
        return None
    result: dict[str, Any] = {"type": kind}
    for key, value in config.items():
        if key in TAKES[kind] and not (
            key == "resize_type" and without_scope(value) not in ("Resize", "ResizeShortestEdge")
        ):
            result[key] = without_scope(value) if key == "resize_type" else _plain(value)
        elif key == "ignore_index" and value == 255:
            continue
        else:
            lines.differs(f"{path}.{key}", value, f"{kind} has no such argument here, or not this value")
    return result


def _check_loading(kind: str, config: Mapping[str, Any], path: str, lines: Lines) -> None:
    color = config.get("color_type", "color")
    if kind == "LoadImageFromFile" and color not in ("color", "color_ignore_orientation"):
        do = "make RGB images of them, or bring a data set of your own"
        lines.missing(f"{path}.color_type", color, "images are read as RGB here", do)
    if config.get("backend_args"):
        do = "mount the storage, or copy the data"
        lines.missing(f"{path}.backend_args", config["backend_args"], "files are read from a file system here", do)


def _shortest_edge(config: dict[str, Any], path: str, evaluates: bool, lines: Lines) -> dict[str, Any] | None:
    scale = config.get("scale")
    short = min(scale) if isinstance(scale, list | tuple) and scale else scale
    if not isinstance(short, int):
        lines.missing(path, config, "ResizeShortestEdge without a scale", "say Resize(scale=..., keep_ratio=True)")
        return None
    longest = max(short, config.get("max_size") or 2**31)
    return {"type": "Resize", "scale": (longest, short), "keep_ratio": True}


def _plain(value: Any) -> Any:
    """Lists of lists as tuples, where MM writes either."""
    return (
        tuple(value) if isinstance(value, list) and value and all(isinstance(item, float) for item in value) else value
    )
