"""Any network as a segmentor's: what it is built with, which sizes it takes, and where its logits are."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from rayseg.core.errors import ConfigError
from rayseg.core.net_arguments import CLASS_ARGUMENTS
from rayseg.core.registries import NETS
from rayseg.models.pretrained import explained

# Images are padded to a multiple of this when nothing says better: enough for five halvings.
DEFAULT_DIVISOR = 32


def build_net(config: Any, num_classes: int) -> nn.Module:
    """The network of a config, with as many output channels as there are classes; a live one as it is.

    Raises:
        ConfigError: the config does not fit the network, asks for another number of classes than the data has, or
            for pretrained weights that cannot be had.
    """
    supplied: dict[str, int] = {}
    if isinstance(config, Mapping):
        name = _class_argument(config)
        if name is not None:
            _check_classes(config.get(name), name, num_classes)
            supplied = {name: num_classes}
            config = {**supplied, **config}
    with explained(config):
        net = NETS.build(config)
    if not isinstance(net, nn.Module):
        raise ConfigError(f"model.net: expected a torch.nn.Module, found {type(net).__name__}")
    return net


def _class_argument(config: Mapping[str, Any]) -> str | None:
    """The argument of the network's constructor that holds the number of classes."""
    given = next((name for name in CLASS_ARGUMENTS if name in config), None)
    if given or config.get("type") is None:
        return given
    component = NETS.resolve(config["type"])
    if getattr(component, "__init__", None) is nn.Module.__init__:  # says that it takes anything, and does not
        return None
    try:
        parameters = inspect.signature(component).parameters
    except ValueError:  # written in C
        return None
    named = next((name for name in CLASS_ARGUMENTS if name in parameters), None)
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    return named or ("num_classes" if takes_any else None)


def _check_classes(value: Any, name: str, num_classes: int) -> None:
    if type(value) is int and value != num_classes and not (value == 1 and num_classes == 2):
        one = " (or 1, with a sigmoid)" if num_classes == 2 else ""
        raise ConfigError(
            f"model.net.{name}: found {value}, the data has {num_classes} classes; leave it out{one}, or set the "
            "data set's classes"
        )


def logits_of(output: Any, key: str | int | None = None) -> Tensor:
    """The logits (B, C, h, w) in what a network gave.

    Args:
        output: a tensor, a dict with ``out``, or an object with ``.logits``; with ``key`` any dict, sequence or
            object.
        key: a dict's key, a sequence's index or an attribute's name.

    Raises:
        ConfigError: there are none; names what was found.
    """
    found = output if key is None else _at(output, key)
    if key is None and not isinstance(output, Tensor):
        found = output.get("out") if isinstance(output, Mapping) else getattr(output, "logits", None)
        if found is None and isinstance(output, Mapping):
            found = output.get("logits")
    if not isinstance(found, Tensor) or found.ndim != 4:
        place = "" if key is None else f" at model.output={key!r}"
        raise ConfigError(
            f"model.net: expected logits (B, C, H, W) as a tensor, in a dict under 'out', or in an object's .logits; "
            f"found {_description(output)}{place}; model.output names the key, index or attribute that holds them"
        )
    return found


def _at(output: Any, key: str | int) -> Any:
    try:
        return output[key]
    except (KeyError, IndexError, TypeError):
        return getattr(output, key, None) if isinstance(key, str) else None


def _description(output: Any) -> str:
    if isinstance(output, Tensor):
        return f"a tensor of shape {tuple(output.shape)}"
    if isinstance(output, Mapping):
        return f"a dict with {', '.join(map(repr, output)) or 'nothing'}"
    if isinstance(output, list | tuple):
        return f"a {type(output).__name__} of {len(output)}"
    return f"a {type(output).__name__}"


def auxiliary_logits_of(output: Any) -> Tensor | None:
    """The logits (B, C, h, w) of an auxiliary head, as torchvision's networks give them under ``aux``."""
    if isinstance(output, Tensor):
        return None
    found = output.get("aux") if isinstance(output, Mapping) else None
    return found if isinstance(found, Tensor) and found.ndim == 4 else None


def required_divisor(net: nn.Module) -> int:
    """What must divide an image's size for the network to take it, as far as the network says; else 1.

    smp's networks say it by their encoder's stride; one of one's own may have an attribute ``size_divisor``.
    """
    own = getattr(net, "size_divisor", None)
    if isinstance(own, int):
        return own
    if getattr(net, "requires_divisible_input_shape", False):
        return int(getattr(getattr(net, "encoder", None), "output_stride", 1))
    return 1


def inference_divisor(net: nn.Module) -> int:
    """To what multiple images are padded in validation when the config does not say."""
    if hasattr(net, "size_divisor") or hasattr(net, "requires_divisible_input_shape"):
        return required_divisor(net)
    return DEFAULT_DIVISOR


def resized(logits: Tensor, size: tuple[int, int], align_corners: bool = False) -> Tensor:
    """Logits (B, C, h, w) at another (height, width), bilinear; the same tensor when it has that size."""
    if tuple(logits.shape[-2:]) == tuple(size):
        return logits
    return F.interpolate(logits, size, mode="bilinear", align_corners=align_corners)


def as_classes(logits: Tensor, num_classes: int) -> Tensor:
    """Logits of K classes: those of one channel x as (0, x), whose softmax is x's sigmoid.

    Raises:
        ConfigError: the number of channels is neither K nor, with two classes, 1.
    """
    check_channels(logits, num_classes)
    if logits.shape[1] == num_classes:
        return logits
    return F.pad(logits, (0, 0, 0, 0, 1, 0))


def check_channels(logits: Tensor, num_classes: int) -> None:
    """Raise ConfigError when the number of channels is neither K nor, with two classes, 1."""
    channels = logits.shape[1]
    if channels != num_classes and not (channels == 1 and num_classes == 2):
        raise ConfigError(
            f"model.net: gives {channels} channel{'s' * (channels != 1)}, the data has {num_classes} classes; let "
            f"its constructor take one of {', '.join(CLASS_ARGUMENTS)}, which is supplied"
        )
