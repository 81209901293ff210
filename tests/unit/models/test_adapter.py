from __future__ import annotations

from types import SimpleNamespace

import pytest
import segmentation_models_pytorch as smp
import torch
from torch import nn

from rayseg.core.errors import ConfigError
from rayseg.models.adapter import (
    as_classes,
    auxiliary_logits_of,
    build_net,
    check_channels,
    inference_divisor,
    logits_of,
    required_divisor,
    resized,
)

LOGITS = torch.randn(2, 3, 4, 5)


class TimmLike(nn.Module):
    def __init__(self, num_classes=1000, **others):
        super().__init__()
        self.given = (num_classes, others)


class TransformersLike(nn.Module):
    def __init__(self, num_labels):
        super().__init__()
        self.given = num_labels


class TakesAnything(nn.Module):
    def __init__(self, **arguments):
        super().__init__()
        self.given = arguments


class TakesNothing(nn.Module):
    pass


def no_module(num_classes):
    return {"classes": num_classes}


def refuses(num_classes):
    raise ValueError(f"{num_classes} is odd")


def test_the_class_count_goes_where_the_constructor_takes_it():
    assert build_net({"type": TimmLike}, 5).given == (5, {})
    assert build_net({"type": TransformersLike}, 5).given == 5
    assert build_net({"type": TakesAnything}, 5).given == {"num_classes": 5}
    assert build_net({"type": TakesAnything, "classes": 5}, 5).given == {"classes": 5}
    build_net({"type": TakesNothing}, 5)
    net = build_net({"type": "smp.Unet", "encoder_name": "resnet18", "encoder_weights": None}, 5)
    assert net.segmentation_head[0].out_channels == 5


def test_a_live_network_is_taken_as_it_is():
    net = TakesNothing()
    assert build_net(net, 3) is net


def test_one_channel_may_be_asked_for_with_two_classes():
    assert build_net({"type": TimmLike, "num_classes": 1}, 2).given == (1, {})
    with pytest.raises(ConfigError, match=r"model\.net\.num_classes: found 1, the data has 3 classes"):
        build_net({"type": TimmLike, "num_classes": 1}, 3)
    with pytest.raises(ConfigError, match=r"found 19, the data has 2 classes; leave it out \(or 1, with a sigmoid\)"):
        build_net({"type": TimmLike, "num_classes": 19}, 2)


@pytest.mark.parametrize(
    ("net", "message"),
    [
        ({"type": "smp.Unett"}, "unknown network 'smp.Unett'; did you mean 'smp.Unet'"),
        ({"type": "smp.Unet", "encoder_name": "resnet8", "encoder_weights": None}, "did you mean 'resnet18'"),
        ({"type": "smp.Unet", "encoder_name": "tu-convnex_atto", "encoder_weights": None}, "mean 'convnext_atto'"),
        ({"type": refuses}, "building refuses failed: ValueError: 2 is odd"),
        ({"type": no_module}, "expected a torch.nn.Module, found dict"),
        (lambda x: x, "expected a torch.nn.Module, found function"),
        ({"type": TransformersLike, "depth": 3}, "unexpected keyword argument 'depth'"),
    ],
)
def test_what_is_no_network_is_refused(net, message):
    with pytest.raises(ConfigError, match=message):
        build_net(net, 2)


@pytest.mark.parametrize(
    ("output", "key"),
    [
        (LOGITS, None),
        ({"out": LOGITS, "aux": LOGITS[:1]}, None),
        ({"logits": LOGITS}, None),
        (SimpleNamespace(logits=LOGITS), None),
        ({"masks": LOGITS}, "masks"),
        ((LOGITS, LOGITS[:1]), 0),
        (SimpleNamespace(masks=LOGITS), "masks"),
    ],
)
def test_logits_are_found_in_what_a_network_gives(output, key):
    assert logits_of(output, key) is LOGITS


@pytest.mark.parametrize(
    ("output", "key", "message"),
    [
        ((LOGITS, LOGITS), None, r"found a tuple of 2; model\.output names"),
        ({"masks": LOGITS}, None, "found a dict with 'masks'"),
        ({"masks": LOGITS}, "mask", "found a dict with 'masks' at model.output='mask'"),
        ([LOGITS], 3, "found a list of 1 at model.output=3"),
        (LOGITS[0], None, r"found a tensor of shape \(3, 4, 5\)"),
        (SimpleNamespace(masks=LOGITS), None, "found a SimpleNamespace"),
    ],
)
def test_where_there_are_none_the_error_says_what_was_found(output, key, message):
    with pytest.raises(ConfigError, match=message):
        logits_of(output, key)


def test_auxiliary_logits_are_torchvisions():
    assert auxiliary_logits_of({"out": LOGITS, "aux": LOGITS}) is LOGITS
    assert auxiliary_logits_of(LOGITS) is auxiliary_logits_of({"out": LOGITS}) is None


def test_one_channel_becomes_two_classes_with_the_same_probability():
    logits = LOGITS[:, :1]
    two = as_classes(logits, 2)
    torch.testing.assert_close(two.softmax(1)[:, 1:], logits.sigmoid())
    assert as_classes(LOGITS, 3) is LOGITS


def test_a_wrong_number_of_channels_is_an_error():
    check_channels(LOGITS, 3)
    check_channels(LOGITS[:, :1], 2)
    with pytest.raises(ConfigError, match="gives 3 channels, the data has 2 classes"):
        check_channels(LOGITS, 2)
    with pytest.raises(ConfigError, match="gives 1 channel, the data has 3 classes"):
        as_classes(LOGITS[:, :1], 3)


def test_sizes_that_networks_need():
    no_weights = {"encoder_name": "resnet18", "encoder_weights": None}
    assert required_divisor(smp.FPN(**no_weights)) == inference_divisor(smp.FPN(**no_weights)) == 32
    assert required_divisor(smp.DeepLabV3Plus(**no_weights)) == 16
    assert inference_divisor(smp.Unet(**no_weights)) == 1  # it resizes its features itself
    own = TakesNothing()
    assert (required_divisor(own), inference_divisor(own)) == (1, 32)
    own.size_divisor = 8
    assert required_divisor(own) == inference_divisor(own) == 8


def test_logits_are_resized_only_when_they_must():
    assert resized(LOGITS, (4, 5)) is LOGITS
    assert resized(LOGITS, (8, 9)).shape == (2, 3, 8, 9)
    corners = resized(LOGITS, (7, 9), align_corners=True)
    torch.testing.assert_close(corners[..., ::6, ::8], LOGITS[..., ::3, ::4])
