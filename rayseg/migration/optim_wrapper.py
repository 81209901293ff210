"""MM's optim_wrapper: as it is, but for what MM alone has, and for a word in it that nothing reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rayseg.migration.lines import Lines, without_scope

CONSTRUCTORS = (
    "DefaultOptimWrapperConstructor",
    "LearningRateDecayOptimizerConstructor",
    "LayerDecayOptimizerConstructor",
)
_FORCE_DEFAULT = "ForceDefaultOptimWrapperConstructor"
_OF_APEX = ("opt_level", "loss_scale", "enabled")


def migrate_optim_wrapper(config: Any, has_imports: bool, lines: Lines) -> Any:
    """The ``optim_wrapper`` section.

    Args:
        config: MM's.
        has_imports: whether ``custom_imports`` may register constructors that have no name here.
        lines: gets what is not as it was.
    """
    if not isinstance(config, Mapping):
        return config
    result = {**config, "type": without_scope(config.get("type", "OptimWrapper"))}
    if result["type"] == "ApexOptimWrapper":
        lines.differs(
            "optim_wrapper.type", result["type"], "torch's own mixed precision, AmpOptimWrapper, stands for it"
        )
        result = {key: value for key, value in result.items() if key not in _OF_APEX} | {"type": "AmpOptimWrapper"}
    if isinstance(optimizer := result.get("optimizer"), Mapping):
        result["optimizer"] = {**optimizer, "type": without_scope(optimizer.get("type"))}
    rules = result.get("paramwise_cfg")
    if isinstance(rules, Mapping) and isinstance(rules.get("custom_keys"), Mapping):
        rules = result["paramwise_cfg"] = {**rules, "custom_keys": _custom_keys(rules["custom_keys"], lines)}
    if constructor := without_scope(result.pop("constructor", None)):
        _set_constructor(constructor, rules, result, has_imports, lines)
    return result


def _set_constructor(constructor: Any, rules: Any, result: dict[str, Any], has_imports: bool, lines: Lines) -> None:
    if constructor == _FORCE_DEFAULT:
        why = "parameters without a rule of their own have the optimizer's settings here anyhow"
        lines.differs("optim_wrapper.constructor", constructor, why)
        result["paramwise_cfg"] = {
            key: value for key, value in (rules or {}).items() if key != "force_default_settings"
        }
        return
    result["constructor"] = constructor
    if constructor not in CONSTRUCTORS and "." not in str(constructor) and not has_imports:
        do = "name it by its dotted path"
        lines.missing("optim_wrapper.constructor", constructor, "rayseg has no constructor of this name", do)


def _custom_keys(keys: Mapping[str, Any], lines: Lines) -> dict[str, Any]:
    """The rules without ``wd_mult``, a word that MMEngine copies into a group where nothing reads it."""
    result = {}
    for key, rule in keys.items():
        result[key] = rule
        if isinstance(rule, Mapping) and "wd_mult" in rule:
            result[key] = {name: value for name, value in rule.items() if name != "wd_mult"}
            do = f"say decay_mult={rule['wd_mult']} if that was meant"
            where = f"optim_wrapper.paramwise_cfg.custom_keys.{key}.wd_mult"
            lines.differs(where, rule["wd_mult"], "MMEngine reads decay_mult, so this one changed nothing", do)
    return result
