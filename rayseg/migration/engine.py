"""The engine's sections: as they are, apart from what MM's engine reads and rayseg's does not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rayseg.config.tree import as_tree
from rayseg.core.registries import HOOKS, METRICS, VIS_BACKENDS
from rayseg.migration.fractions import in_fractions
from rayseg.migration.lines import Lines, without_scope
from rayseg.migration.optim_wrapper import migrate_optim_wrapper
from rayseg.migration.schedules import migrate_schedulers

AS_THEY_ARE = ("experiment_name", "log_processor", "log_level", "randomness", "work_dir", "env_cfg")
MEANINGLESS = {
    "default_scope": "names have no scopes here",
    "launcher": "workers are started by Ray Train: scaling=dict(num_workers=...)",
    "tta_model": "probabilities of views are averaged here",
    "tta_pipeline": "rayseg test --tta averages with the mirrored image; there are no other scales",
}
# Names that a later version of rayseg may not know yet, but that mean something in MM's engine itself.
_ENGINE_HOOKS = ("EarlyStoppingHook", "ProfilerHook", "NPUProfilerHook", "RuntimeInfoHook", "PrepareTTAHook")
_METRIC_TAKES = ("type", "iou_metrics", "nan_to_num", "beta", "ignore_index", "prefix", "collect_device")
_MM_PACKAGES = ("mmengine", "mmcv", "mmseg", "mmpretrain", "mmcls", "mmdet")


def migrate_engine(tree: Mapping[str, Any], lines: Lines) -> dict[str, Any]:
    """Every section that is neither the model's nor a data loader's."""
    result: dict[str, Any] = {key: tree[key] for key in AS_THEY_ARE if tree.get(key) is not None}
    custom = _custom_imports(tree.get("custom_imports"), lines)
    sections: dict[str, Any] = {
        "custom_imports": custom,
        "optim_wrapper": migrate_optim_wrapper(tree.get("optim_wrapper"), bool(custom), lines),
        "param_scheduler": migrate_schedulers(tree, lines),
        "default_hooks": _default_hooks(tree.get("default_hooks"), bool(custom), lines),
        "custom_hooks": _custom_hooks(tree.get("custom_hooks"), bool(custom), lines),
        "vis_backends": _vis_backends(tree, lines),
        "load_from": tree.get("load_from"),
        "resume": tree.get("resume") or None,
    }
    for mode in ("train", "val", "test"):
        sections[f"{mode}_cfg"] = _loop(tree.get(f"{mode}_cfg"), f"{mode}_cfg", lines)
    for name in ("val_evaluator", "test_evaluator"):
        sections[name] = _evaluator(tree.get(name), name, lines)
    if sections["test_evaluator"] == sections["val_evaluator"]:
        del sections["test_evaluator"]
    result |= {name: value for name, value in sections.items() if value is not None}
    for name, why in MEANINGLESS.items():
        if tree.get(name):
            lines.dropped(name, None, why)
    if isinstance(scaling := tree.get("auto_scale_lr"), Mapping) and scaling.get("enable"):
        do = "set optim_wrapper.optimizer.lr for the global batch that you train with"
        lines.missing("auto_scale_lr", scaling, "the learning rate is never scaled here", do)
    if sections["load_from"]:
        do = "take a checkpoint of rayseg, or weights under the names of the network's parameters"
        lines.differs("load_from", sections["load_from"], "weights of MM's model do not fit a network of smp", do)
    return as_tree(result)  # type: ignore[no-any-return]


def _loop(config: Any, name: str, lines: Lines) -> Any:
    if not isinstance(config, Mapping):
        return config
    result = {key: value for key, value in config.items() if key not in ("fp16", "dynamic_intervals")}
    if "type" in result:
        result["type"] = without_scope(result["type"])
    if config.get("fp16"):
        lines.dropped(f"{name}.fp16", True, "validation runs with the precision of training")
    if config.get("dynamic_intervals"):
        do = "take one val_interval"
        lines.missing(f"{name}.dynamic_intervals", config["dynamic_intervals"], "the interval does not change here", do)
    return result


def _default_hooks(config: Any, has_imports: bool, lines: Lines) -> Any:
    if not isinstance(config, Mapping):
        return config
    hooks = {}
    for name, hook in config.items():
        if hook is None or _is_known_hook(hook, f"default_hooks.{name}", has_imports, lines):
            hooks[name] = in_fractions(_unscoped(hook), f"default_hooks.{name}", lines)
    return hooks


def _custom_hooks(config: Any, has_imports: bool, lines: Lines) -> Any:
    if not isinstance(config, list | tuple):
        return config
    paths = {f"custom_hooks.{index}": hook for index, hook in enumerate(config)}
    kept = {path: hook for path, hook in paths.items() if _is_known_hook(hook, path, has_imports, lines)}
    return [in_fractions(_unscoped(hook), path, lines) for path, hook in kept.items()] or None


def _is_known_hook(hook: Any, path: str, has_imports: bool, lines: Lines) -> bool:
    kind = without_scope(hook.get("type")) if isinstance(hook, Mapping) else None
    if kind is None or kind in _ENGINE_HOOKS or kind in HOOKS.known() or "." in str(kind):
        return True
    if has_imports:
        do = "import Hook and HOOKS from rayseg.compat.mmengine where it is defined"
        lines.differs(path, kind, "it is a hook of your own, written for MMEngine", do)
        return True
    do = (
        "import Hook from rayseg.compat.mmengine where it is defined, and name it by its dotted path (docs/own-hook.md)"
    )
    lines.missing(path, hook, "rayseg has no hook of this name", do)
    return False


def _unscoped(component: Any) -> Any:
    if isinstance(component, Mapping) and "type" in component:
        return {**component, "type": without_scope(component["type"])}
    return component


def _vis_backends(tree: Mapping[str, Any], lines: Lines) -> Any:
    """Those of the top level and of the visualizer, which is where MM reads them."""
    visualizer = tree.get("visualizer")
    inner = visualizer.get("vis_backends") if isinstance(visualizer, Mapping) else None
    places = [place for place in (inner, tree.get("vis_backends")) if place]
    listed = [place if isinstance(place, list | tuple) else [place] for place in places]
    backends = [_unscoped(backend) for place in listed for backend in place]
    kept = []
    for index, backend in enumerate(backends):
        if not isinstance(backend, Mapping) or backend.get("type") not in VIS_BACKENDS.known():
            do = "take one of trackers (docs/tracking.md)"
            lines.missing(f"vis_backends.{index}", backend, "there is no such backend here", do)
        elif backend not in kept:
            kept.append(backend)
    return kept or None


def _evaluator(config: Any, name: str, lines: Lines) -> Any:
    if config is None:
        return None
    metrics = []
    for metric in config if isinstance(config, list | tuple) else [config]:
        kind = without_scope(metric.get("type")) if isinstance(metric, Mapping) else None
        if kind is None or (kind not in METRICS.known() and "." not in str(kind)):
            do = "IoUMetric stands there for now; write the metric and name it by its dotted path"
            lines.missing(name, metric, "rayseg has no metric of this name", do)
            continue
        extra = {key: value for key, value in metric.items() if key not in _METRIC_TAKES}
        for key in [key for key in extra if kind == "IoUMetric"]:
            if extra[key]:
                why = "rayseg predict writes predictions to files"
                lines.dropped(f"{name}.{key}", extra[key], why)
        kept = {key: value for key, value in metric.items() if kind != "IoUMetric" or key in _METRIC_TAKES}
        metrics.append({**kept, "type": kind})
    metrics = metrics or [{"type": "IoUMetric"}]
    return metrics[0] if len(metrics) == 1 else metrics


def _custom_imports(config: Any, lines: Lines) -> Any:
    imports = config.get("imports") if isinstance(config, Mapping) else None
    modules = [imports] if isinstance(imports, str) else list(imports or ())
    own = [module for module in modules if module.partition(".")[0] not in _MM_PACKAGES]
    for module in [module for module in modules if module not in own]:
        lines.dropped("custom_imports", module, "nothing of MM is imported here")
    if not own:
        return None
    do = "let it import from rayseg.compat.mmengine, or from rayseg"
    lines.differs("custom_imports", own, "what it registers for MM has to be registered here", do)
    return {**config, "imports": own}
