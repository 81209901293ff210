"""DefaultOptimWrapperConstructor: learning rate and weight decay of each parameter by rules, as MMEngine has them."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, TypedDict, get_type_hints

from torch import nn
from torch.optim import Optimizer

from rayseg.core.errors import ConfigError, did_you_mean, edit_distance
from rayseg.core.registries import OPTIM_WRAPPERS, OPTIMIZERS
from rayseg.optim.grouping import DEFAULT_GROUP, Assignment, GroupRow, NamedParameter, close_name, merge_groups, walk
from rayseg.optim.optimizer_needs import check_needs
from rayseg.optim.wrapper import OptimWrapper

_NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)
_DEFORMABLE = frozenset({"DeformConv2d", "ModulatedDeformConv2d"})
_CUSTOM_MULTS = ("lr_mult", "decay_mult")
_WHERE = "optim_wrapper.paramwise_cfg"
_LAYER_DECAY = "; optim_wrapper.constructor='LearningRateDecayOptimizerConstructor' takes it"
_OTHERS_RULES = {
    **dict.fromkeys(("decay_rate", "decay_type", "num_layers", "layer_table", "stage_exponents"), _LAYER_DECAY),
    "layer_decay_rate": "; optim_wrapper.constructor='LayerDecayOptimizerConstructor' takes it",
}


class ParamwiseCfg(TypedDict, total=False):
    """``paramwise_cfg``; a multiplier applies to the optimizer's ``lr`` or ``weight_decay``.

    Keys:
        custom_keys: part of a parameter's name to ``dict(lr_mult, decay_mult, ...)``; other entries go into the group.
            The longest key that is found in a name wins (the alphabetically first of equally long ones), and no other
            rule applies to that parameter.
        bias_lr_mult: lr of biases, not those of norms and of what lies in deformable convolutions.
        bias_decay_mult: weight decay of biases, also those of norms when ``norm_decay_mult`` is absent.
        norm_decay_mult: weight decay of weights and biases of normalization layers.
        flat_decay_mult: weight decay of one-dimensional parameters that no other decay rule took.
        dwconv_decay_mult: weight decay of depthwise Conv2d (``groups == in_channels``).
        dcn_offset_lr_mult: lr of ``conv_offset`` layers inside deformable convolutions.
        bypass_duplicate: of a tied parameter whose names are given different options, take the first.
        strict: a custom key that matches no parameter is an error, not only a row in the table.
    """

    custom_keys: dict[str, dict[str, Any]]
    bias_lr_mult: float
    bias_decay_mult: float
    norm_decay_mult: float
    flat_decay_mult: float
    dwconv_decay_mult: float
    dcn_offset_lr_mult: float
    bypass_duplicate: bool
    strict: bool


class DefaultOptimWrapperConstructor:
    """Called with a model, gives its OptimWrapper.

    The rules are those of MMEngine 0.10.7, except that RMSNorm and layers called ``...Norm...`` with flat parameters
    count as norms, that frozen parameters stay in their groups (a hook may unfreeze them), and that parameters with
    equal options share one named group.

    Args:
        optim_wrapper_cfg: ``dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01), ...)``.
        paramwise_cfg: the rules; none when absent.

    Attributes:
        rules_type: the TypedDict of the rules that are known.
        base_group: name of the group that no rule touches; None to name it as the others.

    Raises:
        ConfigError: an unknown rule, one that needs an ``lr`` or ``weight_decay`` the optimizer lacks, or a custom
            key that is not.
    """

    rules_type: ClassVar[type] = ParamwiseCfg
    base_group: ClassVar[str | None] = DEFAULT_GROUP

    def __init__(self, optim_wrapper_cfg: Mapping[str, Any], paramwise_cfg: ParamwiseCfg | None = None) -> None:
        self.optim_wrapper_cfg = dict(optim_wrapper_cfg)
        if "optimizer" not in self.optim_wrapper_cfg:
            raise ConfigError("optim_wrapper: 'optimizer' is missing, such as optimizer=dict(type='SGD', lr=0.01)")
        self.optimizer_cfg = self.optim_wrapper_cfg.pop("optimizer")
        self.rules: dict[str, Any] = dict(paramwise_cfg or {})
        self.custom_keys: dict[str, dict[str, Any]] = self.rules.get("custom_keys") or {}
        self._keys = sorted(sorted(self.custom_keys), key=len, reverse=True)
        self.base = {} if isinstance(self.optimizer_cfg, Optimizer) else base_options(self.optimizer_cfg)
        self._check_rules()

    def __init_subclass__(cls) -> None:
        if "add_params" in vars(cls):
            raise TypeError(
                f"{cls.__name__}.add_params: MM's hook for grouping is never called here; override options_of(named), "
                "which gives the options of one parameter (docs/own-optimizer.md)"
            )

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Group the parameters of ``model`` and build optimizer and wrapper."""
        notes: list[GroupRow] = []
        optimizer = self.optimizer_cfg
        if not isinstance(optimizer, Optimizer):
            parameters = list(walk(model))
            check_needs(OPTIMIZERS.resolve(optimizer["type"]), parameters)
            groups = merge_groups(self._assign(parameters), self.base, self.base_group)
            notes = self._notes([named.name for named in parameters])
            optimizer = build_optimizer(optimizer, groups)
        cfg = {"type": "OptimWrapper", **self.optim_wrapper_cfg}
        wrapper = OPTIM_WRAPPERS.build(cfg, optimizer=optimizer)
        if not isinstance(wrapper, OptimWrapper):
            raise ConfigError(
                f"optim_wrapper.type: {cfg['type']!r} made a {type(wrapper).__name__}, not an OptimWrapper"
            )
        wrapper.group_notes = tuple(notes)
        return wrapper

    def options_of(self, named: NamedParameter) -> tuple[dict[str, Any], str]:
        """The options of one parameter, and the rules that chose them."""
        if (key := self.custom_key_of(named)) is not None:
            return self._custom_options(key), key
        options, labels = dict(self.base), dict[str, None]()
        if rule := self._lr_rule(named):
            options["lr"] = self.base["lr"] * self.rules[rule]
            labels[rule.removesuffix("_lr_mult")] = None
        if rule := self.decay_rule_of(named):
            options["weight_decay"] = self.base["weight_decay"] * self.rules[rule]
            labels[rule.removesuffix("_decay_mult")] = None
        return options, "_".join(labels)

    def custom_key_of(self, named: NamedParameter) -> str | None:
        """The custom key that decides on a parameter, if one does."""
        matched = f".{named.name}" if "." not in named.name else named.name  # MM's name of a top-level parameter
        return next((key for key in self._keys if key in matched), None)

    def _custom_options(self, key: str) -> dict[str, Any]:
        entries = dict(self.custom_keys[key])
        lr_mult, decay_mult = entries.pop("lr_mult", 1.0), entries.pop("decay_mult", 1.0)
        options = dict(self.base)
        if "lr" in options:
            options["lr"] = options["lr"] * lr_mult
        if "weight_decay" in options:
            options["weight_decay"] = options["weight_decay"] * decay_mult
        return {**options, **entries}

    def _lr_rule(self, named: NamedParameter) -> str | None:
        in_deformable = is_deformable(named.parent)
        rule = None
        if named.name.rpartition(".")[2] == "bias" and not is_norm(named.module) and not in_deformable:
            rule = "bias_lr_mult"
        elif in_deformable and "conv_offset" in named.name and isinstance(named.module, nn.Conv2d):
            rule = "dcn_offset_lr_mult"
        return rule if rule in self.rules else None

    def decay_rule_of(self, named: NamedParameter) -> str | None:
        """The rule that decides on the weight decay of a parameter without a custom key, if one does."""
        in_deformable = is_deformable(named.parent)
        applicable = {
            "norm_decay_mult": is_norm(named.module),
            "bias_decay_mult": named.name.rpartition(".")[2] == "bias" and not in_deformable,
            "dwconv_decay_mult": is_depthwise(named.module),
            "flat_decay_mult": named.parameter.ndim == 1 and not in_deformable,
        }
        return next((rule for rule, applies in applicable.items() if applies and rule in self.rules), None)

    def _assign(self, parameters: list[NamedParameter]) -> list[Assignment]:
        chosen: dict[int, Assignment] = {}
        for named in parameters:
            options, label = self.options_of(named)
            first = chosen.setdefault(id(named.parameter), Assignment(named, options, label))
            if first.options != options and not self.rules.get("bypass_duplicate"):
                raise ConfigError(
                    f"{_WHERE}: {first.named.name} and {named.name} are one tied parameter with different options, "
                    f"{dict(first.options)} and {options}; bypass_duplicate=True takes the first"
                )
        return list(chosen.values())

    def _notes(self, names: list[str]) -> list[GroupRow]:
        """Rows for the custom keys that act on nothing.

        Raises:
            ConfigError: such a key is a slip of a name, or ``strict`` is set.
        """
        rows = []
        padded = [name if "." in name else f".{name}" for name in names]
        winners = {next((key for key in self._keys if key in name), None) for name in padded}
        for key in (key for key in self.custom_keys if key not in winners):
            where = f"{_WHERE}.custom_keys.{key}"
            if any(key in name for name in padded):
                rows.append(GroupRow(key, None, None, 0, 0, "longer custom keys take all that it matches"))
                continue
            if close := close_name(key, names):
                raise ConfigError(f"{where}: matches no parameter; did you mean {close!r}?")
            if self.rules.get("strict"):
                raise ConfigError(f"{where}: matches no parameter, and strict=True; names are such as {names[0]!r}")
            rows.append(GroupRow(key, None, None, 0, 0, "matches no parameter"))
        return rows

    def _check_rules(self) -> None:
        if self.rules and isinstance(self.optimizer_cfg, Optimizer):
            raise ConfigError(f"{_WHERE}: the optimizer is already built, so its groups are as they are")
        known = get_type_hints(self.rules_type)
        for rule, value in self.rules.items():
            if rule not in known:
                raise ConfigError(f"{_WHERE}.{rule}: no such rule{self._advice(rule, known)}")
            if rule.endswith("_mult"):
                self._check_mult(value, rule, f"{_WHERE}.{rule}")
        if not isinstance(self.custom_keys, Mapping):
            raise ConfigError(f"{_WHERE}.custom_keys: expected a dict, found {self.custom_keys!r}")
        for key, entries in self.custom_keys.items():
            self._check_custom_key(key, entries)

    def _advice(self, rule: str, known: Iterable[str]) -> str:
        """What may be meant by a rule that is not known."""
        return _OTHERS_RULES.get(rule) or did_you_mean(rule, known) or f"; it takes {', '.join(known)}"

    def _check_custom_key(self, key: str, entries: Any) -> None:
        where = f"{_WHERE}.custom_keys.{key}"
        if not isinstance(entries, Mapping):
            raise ConfigError(f"{where}: expected dict(lr_mult=..., decay_mult=...), found {entries!r}")
        for name, value in entries.items():
            if name in _CUSTOM_MULTS:
                self._check_mult(value, name, f"{where}.{name}")
                continue
            known = [*_CUSTOM_MULTS, *_parameters_of(self.optimizer_cfg)]
            close = next((other for other in known if edit_distance(name, other) <= 2), None)
            if name in ("params", "name") or (close is not None and name not in known):
                suffix = f"; did you mean {close!r}?" if close else ""
                raise ConfigError(f"{where}.{name}: no such option{suffix}")

    def _check_mult(self, value: Any, rule: str, where: str) -> None:
        option = "lr" if rule.endswith("lr_mult") else "weight_decay"
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise ConfigError(f"{where}: expected a number of at least 0, found {value!r}")
        if option not in self.base:
            raise ConfigError(f"{where}: {self.optimizer_cfg.get('type')} has no {option!r} to multiply")


def is_norm(module: nn.Module) -> bool:
    """Whether a module is a normalization layer: torch's, or one called so whose own parameters are all flat."""
    if isinstance(module, _NORMS):
        return True
    own = [parameter for parameter in module._parameters.values() if parameter is not None]
    return "norm" in type(module).__name__.lower() and all(parameter.ndim <= 1 for parameter in own)


def is_depthwise(module: nn.Module) -> bool:
    """Whether a module is a Conv2d with a group for each input channel (``Conv2d(1, n)`` is one, as in MM)."""
    return isinstance(module, nn.Conv2d) and module.in_channels == module.groups


def is_deformable(module: nn.Module | None) -> bool:
    """Whether a module is a deformable convolution, mmcv's or any class derived from one so called."""
    return module is not None and any(kind.__name__ in _DEFORMABLE for kind in type(module).__mro__)


def base_options(optimizer_cfg: Any) -> dict[str, Any]:
    """``lr`` and ``weight_decay`` as the config says or the optimizer's own defaults do; one it lacks is absent.

    Raises:
        ConfigError: no optimizer has the config's ``type``.
    """
    if not isinstance(optimizer_cfg, Mapping):
        raise ConfigError(f"optim_wrapper.optimizer: expected dict(type='SGD', lr=...), found {optimizer_cfg!r}")
    if "type" not in optimizer_cfg:
        raise ConfigError(f"optim_wrapper.optimizer: an optimizer needs a 'type', found {dict(optimizer_cfg)!r}")
    parameters = _parameters_of(optimizer_cfg)
    values = {
        name: optimizer_cfg.get(name, parameters[name].default)
        for name in ("lr", "weight_decay")
        if name in parameters or name in optimizer_cfg
    }
    return {name: value for name, value in values.items() if isinstance(value, int | float)}


def _parameters_of(optimizer_cfg: Any) -> dict[str, inspect.Parameter]:
    if not isinstance(optimizer_cfg, Mapping) or "type" not in optimizer_cfg:
        return {}
    return dict(inspect.signature(OPTIMIZERS.resolve(optimizer_cfg["type"])).parameters)


def _quickest(optimizer_cfg: Mapping[str, Any], groups: list[dict[str, Any]]) -> dict[str, bool]:
    """``fused=True`` for parameters on a CPU, where the config leaves the choice to us and the optimizer has it.

    torch itself loops over the parameters there; one fused kernel took a fifth of the time for SGD and AdamW over 159
    small tensors, and an eighth for AdamW over 14 million values. On other devices the choice is torch's.
    """
    parameters = _parameters_of(optimizer_cfg)
    chosen = any(optimizer_cfg.get(name) is not None for name in ("fused", "foreach", "capturable", "differentiable"))
    tensors = [tensor for group in groups for tensor in group["params"]]
    fits = all(tensor.device.type == "cpu" and tensor.is_floating_point() for tensor in tensors)
    return {"fused": True} if "fused" in parameters and not chosen and fits else {}


def build_optimizer(optimizer_cfg: Mapping[str, Any], groups: list[dict[str, Any]]) -> Optimizer:
    """The optimizer of a config over parameter groups.

    Raises:
        ConfigError: the optimizer refuses an argument, needs a closure, or is none.
    """
    if not groups:
        raise ConfigError("optim_wrapper: the model has no parameters")
    name = optimizer_cfg.get("type")
    first = next(iter(_parameters_of(optimizer_cfg)), "params")  # some call it model_params
    try:
        optimizer = OPTIMIZERS.build({**_quickest(optimizer_cfg, groups), **optimizer_cfg}, **{first: groups})
    except ConfigError:
        raise
    except (TypeError, ValueError) as error:
        raise ConfigError(f"optim_wrapper.optimizer: {name}: {error}") from error
    if not isinstance(optimizer, Optimizer):
        raise ConfigError(f"optim_wrapper.optimizer.type: {name!r} is a {type(optimizer).__name__}, not an optimizer")
    closure = inspect.signature(type(optimizer).step).parameters.get("closure")
    if closure is not None and closure.default is closure.empty:
        raise ConfigError(
            f"optim_wrapper.optimizer.type: {name} needs a closure that computes the loss several times a step; "
            "a training iteration computes it once, so take another optimizer, such as AdamW"
        )
    return optimizer
