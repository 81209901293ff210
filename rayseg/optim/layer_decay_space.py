"""layer_decay_space: with layer decay or without, for a sweep to draw from, where the backbone has a layer table."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from rayseg.config.search import Choice, choice, find_search_leaves, uniform
from rayseg.core.errors import ConfigError, did_you_mean
from rayseg.core.net_arguments import CLASS_ARGUMENTS, NO_PRETRAINED
from rayseg.core.registries import NETS

DECAY_TYPES = ("layer_wise", "stage_wise")
DECAY_RATE = uniform(0.6, 0.95)
_CFG = "optim_wrapper.paramwise_cfg"


def layer_decay_space(
    net: Any = None, decay_rate: Any = DECAY_RATE, decay_type: Any = None, *, layer_table: Any = None
) -> Choice:
    """A variant: the section ``optim_wrapper`` as it is, or with the learning rate decayed by layer.

    ``variants = dict(layer_decay=layer_decay_space(model['net']))`` in a config. ``optim_wrapper`` is drawn first and
    a variant changes what was drawn, so this composes with ``optim_wrapper_space()``: the decay comes on top of the
    optimizer's ``lr``, and of the rules and custom keys of ``paramwise_cfg``.

    Args:
        net: as layer_decay_keys.
        decay_rate: as layer_decay_keys.
        decay_type: as layer_decay_keys.
        layer_table: as layer_decay_keys.

    Returns:
        A choice of ``off``, no keys, and ``on``, those of layer_decay_keys.

    Raises:
        ConfigError: as layer_decay_keys.
    """
    return choice(off={}, on=layer_decay_keys(net, decay_rate, decay_type, layer_table=layer_table))


def layer_decay_keys(
    net: Any = None, decay_rate: Any = DECAY_RATE, decay_type: Any = None, *, layer_table: Any = None
) -> dict[str, Any]:
    """The dotted keys of a branch of ``variants`` that has layer decay, to stand beside others.

    ``convnext={'model.net.encoder_name': 'tu-convnext_atto', **layer_decay_keys(dict(model['net'],
    encoder_name='tu-convnext_atto'))}``. Rates are drawn from 0.6 to 0.95, which holds those of published fine-tuning:
    0.65 and 0.75 for MAE's classifiers (He et al., 2022), 0.7 and 0.8 for ConvNeXt's and 0.9 for its segmentation (Liu
    et al., 2022), 0.9 and 0.95 for BEiT's segmentation (Bao et al., 2021).

    Args:
        net: the network, ``dict(type='smp.Unet', encoder_name=...)``, its dotted path or class, or a live one. It is
            built, without memory where it can be and without pretrained weights, to see that its backbone has a layer
            table. None leaves that to each trial.
        decay_rate: a leaf, a list to choose from, or a number.
        decay_type: 'layer_wise', 'stage_wise', or a leaf or list of them; None is those that the backbone has. With
            ``net=None`` it is both, and over a backbone without stages the 'stage_wise' trials fail.
        layer_table: rows of one's own, as ``paramwise_cfg.layer_table``.

    Raises:
        ConfigError: the backbone has no layer table (names the families that have one) or not the stages asked for;
            the network cannot be built; another decay type.
    """
    types = _decay_types(decay_type)
    if net is not None:
        types = _fitting(net, types, layer_table, may_narrow=decay_type is None)
    if not isinstance(decay_type, Choice):
        decay_type = types[0] if len(types) == 1 else choice(list(types))
    keys = {
        "optim_wrapper.constructor": "LearningRateDecayOptimizerConstructor",
        f"{_CFG}.decay_rate": choice(decay_rate) if isinstance(decay_rate, list) else decay_rate,
        f"{_CFG}.decay_type": decay_type,
    }
    return keys if layer_table is None else {**keys, f"{_CFG}.layer_table": layer_table}


def _decay_types(decay_type: Any) -> tuple[str, ...]:
    """The types that an argument names."""
    if decay_type is None:
        return DECAY_TYPES
    options = decay_type.options if isinstance(decay_type, Choice) else decay_type
    types = tuple(options) if isinstance(options, list | tuple) else (options,)
    for kind in types:
        if kind not in DECAY_TYPES:
            hint = did_you_mean(str(kind), DECAY_TYPES) or f"; known are {', '.join(DECAY_TYPES)}"
            raise ConfigError(f"layer decay: decay_type: no such type {kind!r}{hint}")
    if not types:
        raise ConfigError("layer decay: decay_type: expected at least one type, found none")
    return types


def _fitting(net: Any, types: Sequence[str], layer_table: Any, may_narrow: bool) -> tuple[str, ...]:
    """The types that a network's backbone can have.

    Raises:
        ConfigError: it has no layer table, or not that of a type, unless another is left and ``may_narrow``.
    """
    from rayseg.optim.grouping import walk
    from rayseg.optim.layer_decay import layer_table_of
    from rayseg.optim.layers import find_layers

    table, fitting = layer_table_of(layer_table), []
    names = [f"net.{named.name}" for named in walk(_built(net))]
    if not names:
        raise ConfigError(f"layer decay of {_shown(net)}: the network has no parameters")
    for kind in types:
        try:
            find_layers(names, table, by_stage=kind == "stage_wise")
            fitting.append(kind)
        except ConfigError as error:
            if not (may_narrow and fitting):
                raise ConfigError(f"layer decay of {_shown(net)}: {error}") from None
    return tuple(fitting)


def _built(net: Any) -> Any:
    """A network's modules, on torch's meta device where its constructor can do without values.

    Raises:
        ConfigError: it cannot be built, or its config has search leaves.
    """
    import torch
    from torch import nn

    if isinstance(net, nn.Module):
        return net
    if not isinstance(net, str | Mapping) and not callable(net):
        raise ConfigError(f"layer decay: net: expected dict(type='smp.Unet', ...), found {net!r}")
    config = dict(net) if isinstance(net, Mapping) else {"type": net}
    _refuse_leaves(net, config)
    config |= _supplied(config)
    with torch.random.fork_rng(devices=[]):
        try:
            with torch.device("meta"):
                built = NETS.build(config)
        except ConfigError:
            raise
        except Exception:  # some draw numbers in their constructor
            built = _built_for_real(net, config)
    if not isinstance(built, nn.Module):
        raise ConfigError(f"layer decay of {_shown(net)}: expected a torch.nn.Module, found {type(built).__name__}")
    return built


def _built_for_real(net: Any, config: Mapping[str, Any]) -> Any:
    try:
        return NETS.build(config)
    except ConfigError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(
            f"layer decay of {_shown(net)}: building it failed: {type(error).__name__}: {reason}"
        ) from error


def _refuse_leaves(net: Any, config: Mapping[str, Any]) -> None:
    if leaves := find_search_leaves(config):
        key, leaf = next(iter(leaves.items()))
        raise ConfigError(
            f"layer decay of {_shown(net)}: {key} is {leaf!r}; which backbone it is must be known, so give each a "
            "branch of variants with layer_decay_keys(net) of its own"
        )


def _supplied(config: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments that ask for no pretrained weights, and for two classes where a constructor needs a number."""
    try:
        parameters = inspect.signature(NETS.resolve(config["type"])).parameters
    except (KeyError, TypeError, ValueError):  # no type, which building says; or written in C
        parameters = {}  # type: ignore[assignment]
    nothing = {name: value for name, value in NO_PRETRAINED.items() if name in parameters or name in config}
    needed = [name for name in CLASS_ARGUMENTS if name in parameters and name not in config]
    return nothing | {name: 2 for name in needed if parameters[name].default is inspect.Parameter.empty}


def _shown(net: Any) -> str:
    kind = net.get("type") if isinstance(net, Mapping) else net
    name = kind if isinstance(kind, str) else getattr(kind, "__name__", type(kind).__name__)
    encoder = net.get("encoder_name") if isinstance(net, Mapping) else None
    return f"{name}({encoder!r})" if isinstance(encoder, str) else str(name)
