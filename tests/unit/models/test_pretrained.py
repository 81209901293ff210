from __future__ import annotations

import socket

import pytest
import torch
from torch import nn

from rayseg.core.errors import ConfigError
from rayseg.models.adapter import build_net
from rayseg.models.pretrained import fetch_pretrained, pretrained_arguments, without_pretrained


class Backbone(nn.Module):
    built = 0

    def __init__(self, num_classes=2, pretrained=True):
        super().__init__()
        type(self).built += 1
        if pretrained == "unreachable":
            raise RuntimeError("wrapped") from ConnectionRefusedError("no route")
        if pretrained == "broken":
            raise RuntimeError("these weights do not fit")


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    """No host has an address, and every cache is empty."""
    from huggingface_hub import constants

    def no_address(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_address)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "torch"))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_smp_asks_for_imagenet_by_default():
    assert pretrained_arguments({"type": "smp.Unet"}) == {"encoder_weights": "imagenet"}
    assert pretrained_arguments({"type": "smp.Unet", "encoder_weights": None}) == {}
    assert pretrained_arguments({"type": Backbone}) == {"pretrained": True}
    assert pretrained_arguments({"type": Backbone, "pretrained": False}) == {}
    assert pretrained_arguments(Backbone()) == {}


def test_a_config_without_pretrained_weights_asks_for_none():
    model = {"type": "Segmentor", "net": {"type": "smp.Unet", "encoder_name": "resnet18"}, "loss": [1]}
    bare = without_pretrained(model)
    assert bare["net"] == {"type": "smp.Unet", "encoder_name": "resnet18", "encoder_weights": None}
    assert bare["loss"] == [1]
    assert "encoder_weights" not in model["net"]
    live = Backbone()
    assert without_pretrained({"net": live}) == {"net": live}


@pytest.mark.parametrize("encoder", ["resnet18", "tu-resnet18"])
def test_offline_names_the_cache_and_what_to_say(no_network, encoder, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    net = {"type": "smp.Unet", "encoder_name": encoder, "encoder_weights": True if "tu" in encoder else "imagenet"}
    with pytest.raises(ConfigError, match="say encoder_weights=None") as caught:
        build_net(net, 2)
    assert str(no_network / "hub") in str(caught.value)
    assert constants.HF_HUB_OFFLINE is False


def test_offline_without_having_asked_says_that_it_is_the_default(no_network):
    with pytest.raises(ConfigError, match=r"encoder_weights: 'imagenet' \(its default\) asks for pretrained weights"):
        fetch_pretrained({"net": {"type": "smp.Unet", "encoder_name": "resnet18"}})


def test_the_cause_may_lie_below_other_errors(no_network):
    with pytest.raises(
        ConfigError, match=r"pretrained: 'unreachable' asks for pretrained weights.*say pretrained=False"
    ):
        build_net({"type": Backbone, "pretrained": "unreachable"}, 2)
    with pytest.raises(ConfigError, match="building Backbone failed: RuntimeError: these weights do not fit"):
        build_net({"type": Backbone, "pretrained": "broken"}, 2)


def test_fetching_builds_the_network_once_if_it_asks_for_anything(no_network):
    before = Backbone.built
    assert fetch_pretrained({"net": {"type": Backbone}})
    assert not fetch_pretrained({"net": {"type": Backbone, "pretrained": False}})
    assert Backbone.built == before + 1
