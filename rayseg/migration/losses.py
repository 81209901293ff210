"""MM's losses under their names here; what MM means by leaving an argument out is said where rayseg means another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rayseg.migration.lines import Lines, without_scope

# What each loss takes here; what rayseg means by leaving it out; what MM does, where that is another value.
_TAKES: dict[str, tuple[str, ...]] = {
    "CrossEntropyLoss": ("use_sigmoid", "class_weight", "avg_non_ignore"),
    "DiceLoss": ("use_sigmoid", "class_weight", "smooth"),
    "FocalLoss": ("gamma", "alpha", "class_weight", "avg_non_ignore"),
    "LovaszLoss": ("loss_type", "classes", "per_image", "reduction", "class_weight"),
    "TverskyLoss": ("smooth", "alpha", "beta", "class_weight"),
}
_COMMON = ("loss_weight", "loss_name")
_DEFAULT: dict[str, Any] = {"use_sigmoid": False, "class_weight": None, "loss_weight": 1.0, "reduction": "mean"}
_MM_DEFAULT: dict[str, dict[str, Any]] = {
    "CrossEntropyLoss": {"avg_non_ignore": False},
    "DiceLoss": {"use_sigmoid": True, "smooth": 0.0005},
    "FocalLoss": {"avg_non_ignore": False},
}
# Arguments of MM that change nothing at these values.
_NOTHING: dict[str, tuple[Any, ...]] = {
    "use_mask": (False,),
    "reduction": ("mean",),
    "ignore_index": (255, None),
    "activate": (True,),
    "naive_dice": (True,),
    "use_sigmoid": (True,),
}


def migrate_losses(config: Any, path: str, lines: Lines) -> list[dict[str, Any]]:
    """The losses of a head, in order; MM's own default when there is none."""
    if config is None:
        config = {"type": "CrossEntropyLoss"}
    configs = config if isinstance(config, list | tuple) else [config]
    paths = [f"{path}.{index}" for index in range(len(configs))] if isinstance(config, list | tuple) else [path]
    found = [_migrate_loss(loss, where, lines) for loss, where in zip(configs, paths, strict=True)]
    return [loss for loss in found if loss is not None]


def _migrate_loss(config: Any, path: str, lines: Lines) -> dict[str, Any] | None:
    kind = without_scope(config.get("type")) if isinstance(config, Mapping) else None
    if kind == "OhemCrossEntropy":
        lines.differs(path, config, "there is no hard-example mining: plain cross entropy stands for it")
        config, kind = {key: config[key] for key in ("class_weight", *_COMMON) if key in config}, "CrossEntropyLoss"
    if kind not in _TAKES:
        known = ", ".join(_TAKES)
        lines.missing(path, config, f"the losses here are {known}", "write it as a module called with (logits, labels)")
        return None
    loss: dict[str, Any] = {"type": kind}
    arguments = _renamed(kind, {**_MM_DEFAULT.get(kind, {}), **config}, path, lines)
    for key, value in arguments.items():
        if key in (*_TAKES[kind], *_COMMON):
            if isinstance(value, str) and key == "class_weight":
                lines.missing(f"{path}.{key}", value, "weights are not read from a file here", "write them as a list")
            elif key not in _DEFAULT or value != _DEFAULT[key]:
                loss[key] = list(value) if isinstance(value, tuple) else value
        elif key != "type" and value not in _NOTHING.get(key, ()):
            lines.differs(f"{path}.{key}", value, f"{kind} has no {key!r} here, so the loss is another")
    return loss


def _renamed(kind: str, arguments: dict[str, Any], path: str, lines: Lines) -> dict[str, Any]:
    if kind != "DiceLoss":
        return arguments
    # MM: (2 TP + eps) / (... + eps); here (2 TP + 2 smooth) / (... + 2 smooth).
    if "eps" in arguments:
        arguments["smooth"] = arguments.pop("eps") / 2
    squared = "" if arguments.pop("naive_dice", False) else ", and MM's has squares in its denominator"
    why = f"it is the mean over the batch's classes here, in MM over images with all classes as one{squared}"
    lines.differs(path, "DiceLoss", why)
    return arguments
