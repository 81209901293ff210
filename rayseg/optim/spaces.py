"""optim_wrapper_space: what the ``optim_wrapper`` section may be, for a sweep to draw from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rayseg.config.search import Choice, SearchLeaf, choice, loguniform
from rayseg.core.errors import ConfigError, did_you_mean

Names = str | Sequence[str] | Mapping[str, Mapping[str, Any]]


def _decoupled(**more: Any) -> dict[str, Any]:
    """Ranges of their own for each optimizer: one leaf object in two places would be one dimension."""
    return {"lr": loguniform(1e-5, 1e-2), "weight_decay": loguniform(1e-3, 0.3), **more}


# The arguments of each optimizer, with the ranges whose sources optim_wrapper_space gives.
OPTIMIZER_SPACES: Mapping[str, Mapping[str, Any]] = {
    "AdamW": _decoupled(),
    "Adam": {"lr": loguniform(1e-5, 1e-2), "weight_decay": loguniform(1e-6, 1e-3)},
    "SGD": {
        "lr": loguniform(1e-3, 1e-1),
        "weight_decay": loguniform(1e-5, 1e-3),
        "momentum": choice([0.9, 0.95, 0.99]),
        "nesterov": choice([False, True]),
    },
    "NAdam": _decoupled(decoupled_weight_decay=True),
    "RAdam": _decoupled(decoupled_weight_decay=True),
    "MuonAdamW": _decoupled(),
}
WRAPPERS = ("OptimWrapper", "AmpOptimWrapper")
_ACCUMULATION = choice([1, 2, 4])
_CLIPPING = choice(none=None, norm={"max_norm": loguniform(0.1, 10.0)})
_NO_RULE: Mapping[str, Any] = {}
_WEIGHTS_ONLY = {"norm_decay_mult": 0.0, "bias_decay_mult": 0.0}
_ENCODER_LR = loguniform(0.05, 1.0)


def optim_wrapper_space(
    optimizers: Names = ("AdamW", "SGD"),
    wrappers: Names = WRAPPERS,
    *,
    lr: Any = True,
    weight_decay: Any = True,
    accumulative_counts: Any = True,
    clip_grad: Any = True,
    paramwise: Any = True,
    encoder: str | None = None,
) -> Choice:
    """The section ``optim_wrapper``: wrapper × optimizer × accumulation × clipping × multipliers of parameters.

    ``optim_wrapper = optim_wrapper_space()`` in a config. In the arguments after ``*``, True means the ranges below,
    None or False leaves the key to the component's default, a leaf (``loguniform(1e-4, 1e-3)``) takes the place of the
    range, a list is a choice of its items, and any other value is fixed.

    The ranges hold the values of published recipes, with a margin:

    * AdamW: ``lr`` 1e-5 to 1e-2, ``weight_decay`` 1e-3 to 0.3. Segmentation is trained with 6e-5 and 0.01 (Liu et
      al., Swin, 2021; Xie et al., SegFormer, 2021) and with 1e-4 and 0.05 (Liu et al., ConvNeXt, 2022), from random
      weights with up to 4e-3; 0.3 is the greatest decay of Dosovitskiy et al., ViT, 2021.
    * MuonAdamW: the same, since its updates are as large as AdamW's (Liu et al., arXiv 2502.16982).
    * NAdam (Dozat, 2016), RAdam (Liu et al., 2020): the same, with AdamW's decoupled decay.
    * Adam: ``weight_decay`` 1e-6 to 1e-3, as it is part of the gradient there (Loshchilov and Hutter, 2019).
    * SGD: ``lr`` 1e-3 to 1e-1 and ``weight_decay`` 1e-5 to 1e-3 around the 0.007 to 0.01 and 1e-4 to 5e-4 of DeepLab
      (Chen et al., 2017) and PSPNet (Zhao et al., 2017); ``momentum`` 0.9, 0.95, 0.99, and Nesterov's or not, after
      Sutskever et al., 2013.
    * ``accumulative_counts`` 1, 2, 4. More make a greater batch, for which the best ``lr`` is another (Goyal et al.,
      2017): a good reason to draw both, and a trial has fewer steps then.
    * ``clip_grad``: none, or ``max_norm`` 0.1 (Carion et al., DETR, 2020) to 10, with ViT's 1 and Swin's 5 inside.
    * ``paramwise``: no rule, or no weight decay on norms and biases (He et al., Bag of Tricks, 2019). With
      ``encoder`` also a learning rate of 0.05 to 1 times ``lr`` for that part of the network, which was pretrained
      (0.1 in DETR and much of MM). These are branches of one choice, not a product: a custom key takes its parameters
      out of all other rules.

    Args:
        optimizers: names of OPTIMIZER_SPACES, or a mapping from name to arguments that replace or join those there
            (``{'AdamW': {}, 'SGD': dict(momentum=0.9)}``). With arguments any optimizer may stand there
            (``{'my_optim.SignSGD': dict(lr=loguniform(1e-4, 1e-2))}``), and with ``type`` among them the name is only
            the branch's label.
        wrappers: the same for wrappers: ``{'AmpOptimWrapper': dict(dtype=choice(['float16', 'bfloat16']))}``.
        lr: of every optimizer; True for each one's own.
        weight_decay: the same.
        accumulative_counts: of every wrapper.
        clip_grad: a number or range is a ``max_norm``; a dict is the section's ``clip_grad``.
        paramwise: ``paramwise_cfg`` as the section has it.
        encoder: a part of the names of the encoder's parameters, such as 'encoder' in smp's networks and 'backbone' in
            torchvision's; only with ``paramwise=True``.

    Returns:
        A choice labelled with the wrappers' names; it replaces a base's section whole. An override such as
        ``optim_wrapper.accumulative_counts=1`` holds for all of its branches.

    Raises:
        ConfigError: a name that is not known, nothing to choose from, or an argument that is none.
    """
    if encoder is not None and (paramwise is not True or not isinstance(encoder, str) or not encoder):
        raise _wrong("encoder", "a part of parameters' names, such as 'encoder', beside paramwise=True", encoder)
    entries = {
        "optimizer": _one_of(_optimizer_branches(optimizers, {"lr": lr, "weight_decay": weight_decay})),
        **_dimension("accumulative_counts", accumulative_counts, _ACCUMULATION),
        **_dimension("clip_grad", clip_grad, _CLIPPING, _clipping),
        **_dimension("paramwise_cfg", paramwise, _paramwise(encoder)),
    }
    named = _named("wrappers", wrappers, dict.fromkeys(WRAPPERS, _NO_RULE))
    return choice(**{label: {"type": branch["type"], **entries, **branch} for label, branch in named.items()})


def _optimizer_branches(optimizers: Names, given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Each optimizer's dict by its label; ``given`` are values for all, which a mapping's own ones go before."""
    own = optimizers if isinstance(optimizers, Mapping) else {}
    branches = _named("optimizers", optimizers, OPTIMIZER_SPACES)
    for label, branch in branches.items():
        for key, value in given.items():
            if value is True or key in own.get(label, {}):
                continue
            branch.pop(key, None)
            branch.update(_dimension(key, value, None))
    return branches


def _named(argument: str, names: Any, ready: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """``dict(type=..., ...)`` by label, from names or from a mapping with arguments.

    Raises:
        ConfigError: no names, or one without arguments that is not ``ready``.
    """
    listed = [names] if isinstance(names, str) else names
    if not isinstance(listed, list | tuple | Mapping) or not listed or not all(isinstance(n, str) for n in listed):
        raise _wrong(argument, f"names such as {next(iter(ready))!r}, or a dict from names to arguments", names)
    branches = {}
    for label in listed:
        arguments = listed[label] if isinstance(listed, Mapping) else {}
        if not isinstance(arguments, Mapping):
            raise _wrong(f"{argument}[{label!r}]", "a dict of arguments", arguments)
        kind = arguments.get("type", label)
        if kind not in ready and not arguments:
            own = f"with its own arguments, {argument}={{{kind!r}: dict(...)}}"
            hint = did_you_mean(kind, ready) or f"; they are {', '.join(ready)}, and any other {own}"
            raise ConfigError(f"optim_wrapper_space: {argument}: no ready-made {kind!r}{hint}")
        branches[label] = {"type": kind, **ready.get(kind, {}), **arguments}
    return branches


def _dimension(key: str, value: Any, ready: Any, convert: Callable[[Any], Any] = lambda value: value) -> dict[str, Any]:
    """The entry of one argument; none where the argument turns it off."""
    if value is None or value is False:
        return {}
    if value is True:
        return {key: ready}
    if isinstance(value, list):
        value = choice(value)
    if isinstance(value, Choice):
        return {key: replace(value, options=tuple(convert(option) for option in value.options))}
    return {key: convert(value)}


def _clipping(value: Any) -> Any:
    """``clip_grad`` of a number or a range is that by the norm."""
    is_limit = isinstance(value, int | float | SearchLeaf) and not isinstance(value, bool | Choice)
    return {"max_norm": float(value) if isinstance(value, int) else value} if is_limit else value


def _paramwise(encoder: str | None) -> Choice:
    branches: dict[str, Any] = {"all_alike": _NO_RULE, "decay_weights_only": _WEIGHTS_ONLY}
    if encoder is not None:
        branches["slow_encoder"] = {"custom_keys": {encoder: {"lr_mult": _ENCODER_LR}}}
    return choice(**branches)


def _one_of(branches: Mapping[str, Any]) -> Any:
    """A choice among several branches, the branch itself where there is one."""
    return choice(**branches) if len(branches) > 1 else next(iter(branches.values()))


def _wrong(argument: str, expected: str, found: Any) -> ConfigError:
    return ConfigError(f"optim_wrapper_space: {argument}: expected {expected}, found {found!r}")
