"""The model section: a network, its losses, and how it looks at images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rayseg.migration.encoders import encoder_of
from rayseg.migration.families import Network, Parts, network_of
from rayseg.migration.lines import Lines, dict_of, replace_me, without_scope
from rayseg.migration.losses import migrate_losses
from rayseg.migration.preprocessor import migrate_preprocessor

AUXILIARY_WEIGHT = 0.4  # the Segmentor's default
_TEST_CFG = ("mode", "crop_size", "stride", "threshold")


@dataclass
class Model:
    """What came of a model section.

    Attributes:
        section: the Segmentor's config.
        network: what stands for the network; None where nothing does.
        family: the family's name, or what the parts are called.
        num_classes: as the head says; None when it does not.
        switches: keys of ``env_cfg`` that MM says in the model.
    """

    section: dict[str, Any]
    network: Network | None
    family: str
    num_classes: int | None
    switches: dict[str, bool]


def migrate_model(model: Mapping[str, Any], top_preprocessor: Any, lines: Lines) -> Model:
    """Map a model section; what has no counterpart becomes a name that ``rayseg config`` refuses."""
    head, last = _last_head(model.get("decode_head"))
    backbone = dict_of(model.get("backbone") or model.get("image_encoder"))
    network = _network(model, backbone, head, lines)
    family = network.family if network else _described(model, backbone, head)
    section: dict[str, Any] = {"type": "Segmentor"}
    net: dict[str, Any] = dict(network.net) if network else {"type": replace_me(_named(model, backbone, head))}
    threshold = _one_channel(head, net)
    section["net"] = net
    section["loss"] = migrate_losses(head.get("loss_decode"), f"model.{last}.loss_decode", lines)
    if not section["loss"]:
        section["loss"] = [{"type": "CrossEntropyLoss"}]
        lines.missing(f"model.{last}.loss_decode", None, "no loss came over", "CrossEntropyLoss stands there for now")
    if isinstance(head.get("sampler"), Mapping):
        why = "pixels are not sampled here, every one counts"
        lines.differs(f"model.{last}.sampler", head["sampler"], why)
    preprocessor = model.get("data_preprocessor", top_preprocessor)
    section["data_preprocessor"] = migrate_preprocessor(preprocessor, "model.data_preprocessor", lines)
    if test_cfg := {**_test_cfg(dict_of(model.get("test_cfg")), lines), **threshold}:
        section["test_cfg"] = test_cfg
    if head.get("align_corners"):
        section["align_corners"] = True
    _auxiliary(model.get("auxiliary_head"), network, section, lines)
    _train_cfg(model, lines)
    classes = head.get("num_classes")
    switches = _switches(backbone, head)
    if network is not None and network.has_unused:
        switches["find_unused_parameters"] = True
    return Model(section, network, family, classes if isinstance(classes, int) else None, switches)


def _network(
    model: Mapping[str, Any], backbone: Mapping[str, Any], head: Mapping[str, Any], lines: Lines
) -> Network | None:
    kind = without_scope(model.get("type", "EncoderDecoder"))
    weights = _weights(model, backbone)
    neck = model.get("neck")
    network, encoder = None, encoder_of(backbone, weights)
    if kind == "EncoderDecoder" and not isinstance(neck, list | tuple) and backbone.get("in_channels", 3) == 3:
        auxiliary = model.get("auxiliary_head")
        has_auxiliary = isinstance(auxiliary, Mapping) and without_scope(auxiliary.get("type")) == "FCNHead"
        network = network_of(Parts(backbone, head, dict_of(neck), encoder, has_auxiliary, bool(weights)))
    was = _described(model, backbone, head)
    if network is None:
        with_encoder = f" with encoder_name={encoder.name!r}" if encoder else ""
        do = f"set model.net to a network of smp{with_encoder}, or to your own by its dotted path (it gives logits)"
        lines.missing("model", was, "nothing here stands for this network", do)
    elif network.notes:
        lines.differs("model", was, f"{network.net['type']} stands for it: {'; '.join(network.notes)}")
    if weights and "://" not in weights:
        do = "name them in load_from if their parameters have the network's names"
        lines.differs("model.pretrained", weights, "the encoder's own ImageNet weights stand for this file", do)
    return network


def _weights(model: Mapping[str, Any], backbone: Mapping[str, Any]) -> str | None:
    """The checkpoint that the backbone begins with."""
    start = dict_of(backbone.get("init_cfg"))
    found = start.get("checkpoint") if start.get("type") == "Pretrained" else model.get("pretrained")
    return found if isinstance(found, str) else None


def _last_head(heads: Any) -> tuple[dict[str, Any], str]:
    """The head whose logits count, and its key."""
    if isinstance(heads, list | tuple) and heads:
        return dict_of(heads[-1]), f"decode_head.{len(heads) - 1}"
    return dict_of(heads), "decode_head"


def _named(model: Mapping[str, Any], backbone: Mapping[str, Any], head: Mapping[str, Any]) -> str:
    names = [str(without_scope(part["type"])) for part in (backbone, head) if part.get("type")]
    return "_".join(names) or str(without_scope(model.get("type", "Net")))


def _described(model: Mapping[str, Any], backbone: Mapping[str, Any], head: Mapping[str, Any]) -> str:
    """Such as ``CascadeEncoderDecoder, HRNet + OCRHead``."""
    kind = without_scope(model.get("type", "EncoderDecoder"))
    necks = model.get("neck") or []
    parts = [backbone, *(necks if isinstance(necks, list | tuple) else [necks]), head]
    names = " + ".join(str(without_scope(part["type"])) for part in parts if dict_of(part).get("type"))
    return ", ".join(text for text in ("" if kind == "EncoderDecoder" else str(kind), names) if text)


def _one_channel(head: Mapping[str, Any], net: dict[str, Any]) -> dict[str, Any]:
    """MM's ``out_channels=1`` for two classes: one channel with a sigmoid, and the threshold for ``test_cfg``."""
    if head.get("out_channels") != 1 and head.get("num_classes") != 1:
        return {}
    net["classes" if str(net["type"]).startswith("smp.") else "num_classes"] = 1
    threshold = head.get("threshold")
    return {"threshold": float(threshold)} if threshold else {}


def _test_cfg(config: dict[str, Any], lines: Lines) -> dict[str, Any]:
    mode = config.get("mode", "whole")
    result: dict[str, Any] = {}
    if mode in ("slide", "slide_flip"):
        result = {"mode": "slide", **{key: _pair(config[key]) for key in ("crop_size", "stride") if key in config}}
    if mode == "slide_flip":
        result["flip"] = True
    unknown = sorted(set(config) - {*_TEST_CFG, "crop_size", "stride"})
    for key in unknown:
        lines.dropped(f"model.test_cfg.{key}", config[key], "nothing here reads it")
    return result


def _pair(value: Any) -> Any:
    return (value, value) if isinstance(value, int) else tuple(value)


def _auxiliary(heads: Any, network: Network | None, section: dict[str, Any], lines: Lines) -> None:
    """Auxiliary heads: torchvision's networks have one, smp's have none."""
    listed = heads if isinstance(heads, list | tuple) else [heads] if heads else []
    if not listed:
        return
    losses = [dict_of(head).get("loss_decode") for head in listed]
    weights = [float(dict_of(loss).get("loss_weight", 1.0)) for loss in losses]
    if network is not None and network.has_auxiliary and len(listed) == 1:
        if weights[0] != AUXILIARY_WEIGHT:
            section["auxiliary_weight"] = weights[0]
        return
    names = " and ".join(str(without_scope(dict_of(head).get("type"))) for head in listed)
    if network is not None:
        why = f"{network.net['type']} has no auxiliary head, so it trains by the last layer's loss alone"
        lines.differs("model.auxiliary_head", f"{names} (loss_weight {', '.join(map(str, weights))})", why)


def _train_cfg(model: Mapping[str, Any], lines: Lines) -> None:
    if any(dict_of(model.get("train_cfg")).values()):
        lines.dropped("model.train_cfg", model["train_cfg"], "it is the original network's, nothing here reads it")


def _switches(backbone: Mapping[str, Any], head: Mapping[str, Any]) -> dict[str, bool]:
    norms = [dict_of(part.get("norm_cfg")).get("type") for part in (backbone, head)]
    found = {"sync_batchnorm": "SyncBN" in norms, "activation_checkpointing": bool(backbone.get("with_cp"))}
    return {name: True for name, is_on in found.items() if is_on}
