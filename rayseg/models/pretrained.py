"""Pretrained weights that a network's constructor fetches from a hub: fetched once, left out where others follow."""

from __future__ import annotations

import inspect
import socket
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rayseg.core.errors import ConfigError, did_you_mean
from rayseg.core.net_arguments import NO_PRETRAINED
from rayseg.core.registries import NETS

_OFFLINE_SIGNS = ("connect", "resolve", "offline", "internet", "timed out", "timeout", "urlopen", "unreachable")


def pretrained_arguments(net: Any) -> dict[str, Any]:
    """The arguments by which a network's config asks for pretrained weights, said or by default; often one or none.

    ``smp.Unet`` alone asks for ImageNet's, since that is its constructor's default.
    """
    if not isinstance(net, Mapping) or net.get("type") is None:
        return {}
    try:
        parameters = inspect.signature(NETS.resolve(net["type"])).parameters
    except (TypeError, ValueError):
        return {}
    asked: dict[str, Any] = {}
    for name, nothing in NO_PRETRAINED.items():
        default = parameters[name].default if name in parameters else nothing
        value = net.get(name, nothing if default is inspect.Parameter.empty else default)
        if value is not None and value is not False:
            asked[name] = value
    return asked


def without_pretrained(model: Mapping[str, Any]) -> dict[str, Any]:
    """A model's config whose network fetches nothing: for test, predict and resume, where other weights follow."""
    net = model.get("net")
    nothing = {name: NO_PRETRAINED[name] for name in pretrained_arguments(net)}
    return {**model, "net": {**net, **nothing}} if isinstance(net, Mapping) else dict(model)


def fetch_pretrained(model: Mapping[str, Any]) -> bool:
    """Fetch what the network's constructor would fetch into the hub's cache, once per node, before workers build it.

    Returns:
        Whether the config asks for anything.

    Raises:
        ConfigError: it cannot be had; names the cache and what to say to do without.
    """
    net = model.get("net")
    if not pretrained_arguments(net):
        return False
    with explained(net):
        NETS.build(net)
    return True


@contextmanager
def explained(net: Any) -> Iterator[None]:
    """Turn what a network's constructor raises into a ConfigError that says what to change.

    Raises:
        ConfigError: weights could not be fetched, the encoder's name is unknown, or the constructor refused a value.
    """
    asked = pretrained_arguments(net)
    try:
        with _cache_only_when_unreachable() if asked else nullcontext():
            yield
    except ConfigError:
        raise
    except Exception as error:
        if not isinstance(net, Mapping):
            raise
        if asked and _is_offline(error):
            raise ConfigError(_offline_message(net, asked, error)) from error
        raise ConfigError(_refusal(net, error)) from error


@contextmanager
def _cache_only_when_unreachable() -> Iterator[None]:
    """Inside, Hugging Face's client looks into its cache only, if its host has no address from here.

    It would ask six times over 25 s, and log each failure.
    """
    try:
        from huggingface_hub import constants
    except ImportError:
        yield
        return
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or not _has_address(constants.ENDPOINT)
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _has_address(url: str) -> bool:
    if urllib.request.getproxies():  # then it is the proxy that looks addresses up
        return True
    try:
        socket.getaddrinfo(urlsplit(url).hostname, None)
    except OSError:
        return False
    return True


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _is_offline(error: BaseException) -> bool:
    """Whether an error, or what led to it, is that of a network that is not there."""
    return any(
        isinstance(link, ConnectionError | TimeoutError)
        or any(sign in f"{type(link).__name__} {link}".lower() for sign in _OFFLINE_SIGNS)
        for link in _chain(error)
    )


def _offline_message(net: Mapping[str, Any], asked: Mapping[str, Any], error: Exception) -> str:
    name, value = next(iter(asked.items()))
    caches = " and ".join(str(path) for path in cache_folders())
    said = "" if name in net else " (its default)"
    return (
        f"model.net.{name}: {value!r}{said} asks for pretrained weights, which are not in the cache {caches} and "
        f"could not be fetched ({type(error).__name__}); say {name}={NO_PRETRAINED[name]!r} to train from random "
        "weights, or fill the cache on a machine with a connection and copy it here"
    )


def cache_folders() -> list[Path]:
    """Where pretrained weights are looked for: Hugging Face's cache (smp, timm, transformers) and torch hub's."""
    import torch

    folders = [Path(torch.hub.get_dir()) / "checkpoints"]
    try:
        from huggingface_hub import constants
    except ImportError:
        return folders
    return [Path(constants.HF_HUB_CACHE), *folders]


def _refusal(net: Mapping[str, Any], error: Exception) -> str:
    kind = net.get("type")
    name = kind if isinstance(kind, str) else getattr(kind, "__name__", str(kind))
    encoder = net.get("encoder_name")
    if isinstance(encoder, str) and isinstance(error, KeyError) and "encoder name" in str(error):
        from segmentation_models_pytorch.encoders import get_encoder_names

        hint = did_you_mean(encoder, get_encoder_names()) or "; timm's are named tu-<name>"
        return f"model.net.encoder_name: no encoder {encoder!r}{hint}"
    if isinstance(encoder, str) and encoder.startswith("tu-") and "Unknown model" in str(error):
        import timm

        hint = did_you_mean(encoder.removeprefix("tu-"), timm.list_models())
        return f"model.net.encoder_name: timm has no {encoder.removeprefix('tu-')!r}{hint}"
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    return f"model.net: building {name} failed: {type(error).__name__}: {text[:500]}"
