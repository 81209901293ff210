"""Layer-wise learning-rate decay: the further a backbone's layer is from the heads, the smaller its learning rate."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, ClassVar, Literal, TypedDict

from torch.optim import Optimizer

from rayseg.config.markers import Rule, at_least
from rayseg.core.errors import ConfigError, did_you_mean
from rayseg.core.registry import UnknownNameError, import_dotted
from rayseg.optim.constructor import DefaultOptimWrapperConstructor, ParamwiseCfg
from rayseg.optim.grouping import Assignment, GroupRow, NamedParameter
from rayseg.optim.layer_rules import LayerRow
from rayseg.optim.layers import Layers, LayerTable, find_layers

_WHERE = "optim_wrapper.paramwise_cfg"
_RATE = Rule(lambda value: 0 < value <= 1, "above 0 and at most 1")
_TOKENS_AND_TABLES = frozenset(
    {
        "cls_token",
        "dist_token",
        "reg_token",
        "mask_token",
        "register_tokens",
        "pos_embed",
        "absolute_pos_embed",
        "position_embeddings",
        "relative_position_bias_table",
        "logit_scale",
    }
)
_POSITION_NETWORKS = frozenset({"cpb_mlp", "continuous_position_bias_mlp"})

DecayType = Literal["layer_wise", "stage_wise", "layer_wise_vit"]


class LayerRule(TypedDict, total=False):
    """A row of ``layer_table``: see ``rayseg.optim.layer_rules.LayerRow``."""

    pattern: str
    layer: int | str
    stage: int | str


class _Rate(TypedDict):
    decay_rate: Annotated[float, _RATE]


class _OldRate(TypedDict):
    layer_decay_rate: Annotated[float, _RATE]


class _LayerRules(ParamwiseCfg, total=False):
    num_layers: Annotated[int, at_least(1)] | Literal["auto"]
    layer_table: list[LayerRule] | str | Callable[[str], Any]


class LayerDecayCfg(_Rate, _LayerRules, total=False):
    """``paramwise_cfg`` of LearningRateDecayOptimizerConstructor, besides the keys of ParamwiseCfg.

    Keys:
        decay_rate: the factor from a layer to the one before it, above 0 and at most 1.
        decay_type: 'layer_wise', or 'stage_wise' for backbones with stages. MM's 'layer_wise_vit' is 'layer_wise'.
        num_layers: layers between the first and the heads. 'auto' (the default) counts them; a larger number makes
            the whole backbone slower.
        layer_table: where parameters belong that the built-in tables do not know, or know otherwise: a list of
            ``dict(pattern='net.encoder.blocks.{block}', layer='block + 1')``, or the dotted path of such a list or of
            a function from a parameter's name to its layer (None where it has nothing to say).
        stage_exponents: of 'stage_wise'. 'layers' is MM's, where the heads are ``num_layers + 1`` away from the stem,
            so that the last of four stages is far below the full rate; with 'stages' it is one step below.
    """

    decay_type: DecayType
    stage_exponents: Literal["layers", "stages"]


class OldLayerDecayCfg(_OldRate, _LayerRules, total=False):
    """``paramwise_cfg`` of LayerDecayOptimizerConstructor: ``layer_decay_rate`` is LayerDecayCfg's ``decay_rate``."""


class LearningRateDecayOptimizerConstructor(DefaultOptimWrapperConstructor):
    """DefaultOptimWrapperConstructor with a learning rate for each layer: ``lr * decay_rate ** (n + 1 - layer)``.

    Layer 0 is the stem, layer n (``num_layers``) the last of the backbone, and heads and necks, n + 1, have the full
    rate. There is no weight decay on one-dimensional parameters, biases, tokens, position embeddings and tables of
    position biases, unless a decay rule or a custom key's ``decay_mult`` says otherwise. All rules of ``paramwise_cfg``
    act as usual, multipliers on top of the layer's rate. Groups are called ``layer_<layer>_decay`` and
    ``layer_<layer>_no_decay``.

    Exponents and layers are those of mmsegmentation 1.2.2; backbones are known by their parameters' names, and a
    parameter inside one that no row of the tables names is an error.

    Args:
        optim_wrapper_cfg: as DefaultOptimWrapperConstructor's; the optimizer must have an ``lr``.
        paramwise_cfg: needs ``decay_rate``.

    Raises:
        ConfigError: ``decay_rate`` is missing, or a value is out of its range. When called: a parameter of the
            backbone has no layer, ``num_layers`` is too small, or the backbone has no stages.
    """

    rules_type: ClassVar[type] = LayerDecayCfg
    base_group: ClassVar[str | None] = None
    rate_key: ClassVar[str] = "decay_rate"

    def __init__(self, optim_wrapper_cfg: Mapping[str, Any], paramwise_cfg: LayerDecayCfg | None = None) -> None:
        super().__init__(optim_wrapper_cfg, paramwise_cfg)
        if isinstance(self.optimizer_cfg, Optimizer):
            raise ConfigError("optim_wrapper.optimizer: it is already built, so its groups are as they are")
        if "lr" not in self.base:
            raise ConfigError(f"optim_wrapper.optimizer: {self.optimizer_cfg.get('type')} has no 'lr' to decay")
        self.decay_rate = self._checked_rate()
        kind = self._one_of("decay_type", "layer_wise", "stage_wise", "layer_wise_vit")
        self.by_stage = kind == "stage_wise"
        self.from_stages = self._one_of("stage_exponents", "layers", "stages") == "stages"
        if self.from_stages and not self.by_stage:
            raise ConfigError(f"{_WHERE}.stage_exponents: it belongs to decay_type='stage_wise'")
        self.num_layers = self._checked_num_layers()
        self.table = layer_table_of(self.rules.get("layer_table"))
        self._layers = Layers({}, 0, ())

    def options_of(self, named: NamedParameter) -> tuple[dict[str, Any], str]:
        """The options of one parameter of the model that is being grouped, and the name of its group."""
        options, rule = super().options_of(named)
        layer = self._layers.ids[named.name]
        scale = self.decay_rate ** (self._layers.top + 1 - layer)
        key = self.custom_key_of(named)
        entries = {} if key is None else self.custom_keys[key]
        if "lr" not in entries:
            options["lr"] = options["lr"] * scale
        decided = {"decay_mult", "weight_decay"} & set(entries) if key else self.decay_rule_of(named)
        if "weight_decay" in options and not decided and is_exempt(named):
            options["weight_decay"] = 0.0
        plain = {**self.base, "lr": self.base["lr"] * scale}
        exempt = {**plain, "weight_decay": 0.0} if "weight_decay" in plain else plain
        label = f"layer_{layer}_{'decay' if options.get('weight_decay', 1.0) else 'no_decay'}"
        return options, label if options in (plain, exempt) else f"{label}_{rule}"

    def _assign(self, parameters: list[NamedParameter]) -> list[Assignment]:
        names = [named.name for named in parameters]
        if names:
            self._layers = self._layers_of(names)
        return super()._assign(parameters)

    def _layers_of(self, names: list[str]) -> Layers:
        if self.from_stages:
            return find_layers(names, self.table, by_stage=True)
        count = self.num_layers
        if self.by_stage and count is None:
            count = find_layers(names, self.table).top
        return find_layers(names, self.table, count, by_stage=self.by_stage)

    def _notes(self, names: list[str]) -> list[GroupRow]:
        unit = "stages" if self.by_stage else "layers"
        rows = []
        for backbone in self._layers.backbones:
            note = f"{backbone.naming or 'layer_table'}: {backbone.count} {unit}, {self.rate_key} {self.decay_rate:g}"
            if self.num_layers is not None and self.from_stages:
                note += f"; num_layers={self.num_layers} is not looked at with stage_exponents='stages'"
            elif self.num_layers is not None and self.num_layers > backbone.count:
                note += f"; num_layers={self.num_layers} keeps them further below the full rate"
            rows.append(GroupRow(backbone.prefix.rstrip(".") or "model", None, None, 0, 0, note))
        idle = "a row of layer_table that matches no parameter"
        rows.extend(
            GroupRow(entry.pattern, None, None, 0, 0, idle)
            for entry in (() if callable(self.table) else self.table)
            if all(entry.numbers(name) is None for name in names)
        )
        return [*rows, *super()._notes(names)]

    def _checked_rate(self) -> float:
        rate = self.rules.get(self.rate_key)
        if rate is None:
            raise ConfigError(f"{_WHERE}: {self.rate_key!r} is missing, such as {self.rate_key}=0.9")
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not _RATE.test(rate):
            raise ConfigError(f"{_WHERE}.{self.rate_key}: expected a number {_RATE.expected}, found {rate!r}")
        return float(rate)

    def _checked_num_layers(self) -> int | None:
        value = self.rules.get("num_layers", "auto")
        if value == "auto":
            return None
        if type(value) is not int or value < 1:
            raise ConfigError(f"{_WHERE}.num_layers: expected 'auto' or a number of at least 1, found {value!r}")
        return value

    def _one_of(self, rule: str, *values: str) -> str:
        value = self.rules.get(rule, values[0])
        if value not in values:
            suffix = did_you_mean(str(value), values)
            raise ConfigError(
                f"{_WHERE}.{rule}: expected one of {', '.join(map(repr, values))}, found {value!r}{suffix}"
            )
        return str(value)

    def _advice(self, rule: str, known: Iterable[str]) -> str:
        other = {"decay_rate": "layer_decay_rate", "layer_decay_rate": "decay_rate"}.get(rule)
        if other is not None:
            return f"; it is called {other!r} with this constructor"
        return did_you_mean(rule, known) or f"; it takes {', '.join(known)}"


class LayerDecayOptimizerConstructor(LearningRateDecayOptimizerConstructor):
    """MM's older name of layer-wise decay, for BEiT and MAE there: ``layer_decay_rate`` in place of ``decay_rate``."""

    rules_type: ClassVar[type] = OldLayerDecayCfg
    rate_key: ClassVar[str] = "layer_decay_rate"

    def __init__(self, optim_wrapper_cfg: Mapping[str, Any], paramwise_cfg: OldLayerDecayCfg | None = None) -> None:
        super().__init__(optim_wrapper_cfg, paramwise_cfg)  # type: ignore[arg-type]


def is_exempt(named: NamedParameter) -> bool:
    """Whether layer decay leaves a parameter without weight decay.

    Source: the optimizers of BEiT (2021) and Swin (2021, 2022), whose position networks are exempt too.
    """
    parts = named.name.split(".")
    return (
        named.parameter.ndim <= 1
        or parts[-1] == "bias"
        or parts[-1] in _TOKENS_AND_TABLES
        or not _POSITION_NETWORKS.isdisjoint(parts)
    )


def layer_table_of(value: Any) -> LayerTable:
    """The ``layer_table`` of a config, checked.

    Raises:
        ConfigError: it is no table, or a row of it is none.
    """
    where = f"{_WHERE}.layer_table"
    if isinstance(value, str):
        try:
            value = import_dotted(value)
        except UnknownNameError as error:
            raise ConfigError(f"{where}: {error}") from None
    if value is None or callable(value):
        return value or ()
    if not isinstance(value, list | tuple):
        raise ConfigError(f"{where}: expected a list of dict(pattern=..., layer=...) or a function, found {value!r}")
    return [_row(row, f"{where}.{index}") for index, row in enumerate(value)]


def _row(row: Any, where: str) -> LayerRow:
    if isinstance(row, LayerRow):
        return row
    if not isinstance(row, Mapping):
        raise ConfigError(f"{where}: expected dict(pattern=..., layer=...), found {row!r}")
    for key in row:
        if key not in LayerRule.__annotations__:
            raise ConfigError(f"{where}.{key}: no such key; a row has 'pattern', 'layer' and, for stage_wise, 'stage'")
    if not isinstance(row.get("pattern"), str) or "layer" not in row:
        raise ConfigError(f"{where}: a row needs a 'pattern' and a 'layer', found {dict(row)!r}")
    try:
        return LayerRow(**row)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
