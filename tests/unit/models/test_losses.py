from __future__ import annotations

import pytest
import segmentation_models_pytorch as smp
import torch
import torch.nn.functional as F
from torch import nn

from rayseg.core.errors import ConfigError
from rayseg.models.losses import CrossEntropyLoss, LossTerms
from tests.unit.models.batches import a_batch


def terms(losses, num_classes=3):
    return LossTerms(losses, num_classes, 255)


def valid_only(logits, labels):
    """The valid pixels as one image of one column."""
    valid = labels != 255
    return logits.permute(0, 2, 3, 1)[valid].t()[None, :, :, None], labels[valid][None, :, None]


class OwnLoss(nn.Module):
    """What a user writes: takes what is supplied, knows no weight."""

    def __init__(self, ignore_index, num_classes):
        super().__init__()
        self.given = (ignore_index, num_classes)

    def forward(self, logits, labels):
        assert labels.dtype == torch.int64
        return logits.square().mean()


def own_function_loss(scale):
    return lambda logits, labels: logits.mean() * scale


def test_the_total_is_the_sum_of_weighted_losses():
    logits, labels = a_batch()
    losses = terms([{"type": "CrossEntropyLoss", "loss_weight": 2.0}, {"type": "DiceLoss", "loss_name": "loss_d"}])(
        logits, labels
    )
    assert list(losses) == ["loss_ce", "loss_d", "loss"]
    torch.testing.assert_close(losses["loss_ce"], 2 * F.cross_entropy(logits, labels, ignore_index=255))
    torch.testing.assert_close(losses["loss"], losses["loss_ce"] + losses["loss_d"])
    assert all(value.ndim == 0 for value in losses.values())


def test_cross_entropy_when_nothing_is_said():
    logits, labels = a_batch()
    losses = terms(None)(logits, labels)
    torch.testing.assert_close(losses["loss"], F.cross_entropy(logits, labels, ignore_index=255))


def test_two_losses_of_one_name_are_told_apart():
    logits, labels = a_batch()
    assert list(terms([{"type": "CrossEntropyLoss"}] * 2)(logits, labels)) == ["loss_ce", "loss_ce_2", "loss"]


LIBRARY = {
    "torch.nn.CrossEntropyLoss": (3, {}, lambda x, y: F.cross_entropy(x, y)),
    "MultiMarginLoss": (3, {}, lambda x, y: F.multi_margin_loss(x[0, :, :, 0].t(), y.flatten())),
    "BCEWithLogitsLoss": (1, {}, lambda x, y: F.binary_cross_entropy_with_logits(x[:, 0], y.float())),
    "MultiLabelSoftMarginLoss": (
        3,
        {},
        lambda x, y: F.multilabel_soft_margin_loss(x[0, :, :, 0].t(), F.one_hot(y.flatten(), 3).float()),
    ),
    "smp.DiceLoss": (3, {"mode": "multiclass"}, smp.losses.DiceLoss("multiclass")),
    "smp.JaccardLoss": (1, {"mode": "binary"}, smp.losses.JaccardLoss("binary")),
    "smp.TverskyLoss": (3, {"mode": "multiclass", "alpha": 0.1}, smp.losses.TverskyLoss("multiclass", alpha=0.1)),
    "smp.FocalLoss": (1, {"mode": "binary"}, smp.losses.FocalLoss("binary")),
    "smp.LovaszLoss": (3, {"mode": "multiclass"}, smp.losses.LovaszLoss("multiclass")),
    "smp.SoftCrossEntropyLoss": (3, {"smooth_factor": 0.1}, smp.losses.SoftCrossEntropyLoss(smooth_factor=0.1)),
    "smp.SoftBCEWithLogitsLoss": (1, {}, lambda x, y: F.binary_cross_entropy_with_logits(x[:, 0], y.float())),
}


@pytest.mark.parametrize("ignored", [0.0, 0.3])
@pytest.mark.parametrize("name", LIBRARY)
def test_a_librarys_loss_is_over_the_valid_pixels(name, ignored):
    channels, arguments, reference = LIBRARY[name]
    num_classes = max(2, channels)
    logits, labels = a_batch(channels, num_classes, ignored)
    losses = terms({"type": name, "loss_weight": 0.5, **arguments}, num_classes)(logits, labels)
    torch.testing.assert_close(losses["loss"], 0.5 * reference(*valid_only(logits, labels)))


@pytest.mark.parametrize("name", LIBRARY)
def test_a_librarys_loss_of_a_batch_that_is_ignored_whole_is_0_without_gradient(name):
    channels, arguments, _ = LIBRARY[name]
    logits, labels = a_batch(channels, max(2, channels), ignored=1.1)
    loss = terms({"type": name, **arguments}, max(2, channels))(logits, labels)["loss"]
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()


def test_a_librarys_loss_of_each_image():
    logits, labels = a_batch()
    config = {"type": "smp.LovaszLoss", "mode": "multiclass", "per_image": True}
    expected = smp.losses.LovaszLoss("multiclass", per_image=True, ignore_index=255)(logits, labels)
    torch.testing.assert_close(terms(config)(logits, labels)["loss"], expected)


@pytest.mark.parametrize(
    ("config", "channels", "message"),
    [
        (
            {"type": "smp.DiceLoss", "mode": "binary"},
            3,
            "DiceLoss does not take a network of 3 channels; say mode='mul",
        ),
        (
            {"type": "smp.DiceLoss", "mode": "multiclass"},
            1,
            "DiceLoss does not take a network of 1 channel; say mode='b",
        ),
        ({"type": "torch.nn.CrossEntropyLoss"}, 1, "CrossEntropyLoss does not take a network of 1 channel; BCEWithL"),
    ],
)
def test_a_mode_that_does_not_fit_the_channels_is_an_error(config, channels, message):
    logits, labels = a_batch(channels, 2)
    with pytest.raises(ConfigError, match=message):
        terms(config)(logits, labels)


def test_ones_own_loss_gets_what_its_constructor_takes_and_a_weight():
    logits, labels = a_batch()
    built = terms({"type": OwnLoss, "loss_weight": 0.25})
    torch.testing.assert_close(built(logits, labels)["loss_own"], logits.square().mean() / 4)
    assert built.terms["loss_own"].loss.given == (255, 3)


def test_a_function_that_makes_a_loss_and_a_live_loss_are_taken():
    logits, labels = a_batch()
    losses = terms([{"type": own_function_loss, "scale": 3.0, "loss_name": "loss_f"}, nn.CrossEntropyLoss()])(
        logits, labels
    )
    torch.testing.assert_close(losses["loss_f"], 3 * logits.mean())
    torch.testing.assert_close(losses["loss_cross_entropy"], F.cross_entropy(logits, labels, ignore_index=255))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ([], "the list is empty"),
        ({"type": "DiceLos"}, "unknown loss 'DiceLos'; did you mean 'DiceLoss'"),
        ({"type": "DiceLoss", "loss_name": "dice"}, "begins with 'loss_' and has no dot; found 'dice'"),
        ({"type": "torch.nn.MSELoss"}, "MSELoss does not compare logits with class labels; of torch.nn there are"),
        ({"type": "smp.MCCLoss"}, "MCCLoss does not compare logits with class labels"),
        ({"type": "smp.DiceLoss", "mode": "multilabel"}, "a pixel has one class here"),
        ("CrossEntropyLoss", "expected a loss, called with"),
    ],
)
def test_what_is_no_loss_is_refused(config, message):
    with pytest.raises(ConfigError, match=message):
        terms(config)


def test_losses_that_depend_on_the_number_of_ranks_are_named():
    exact = {"type": "CrossEntropyLoss", "normalize": "global"}
    assert terms([exact, {"type": "DiceLoss"}, {"type": "FocalLoss"}]).inexact_over_ranks == ["loss_dice", "loss_focal"]
    assert terms(exact).inexact_over_ranks == []


def test_losses_leave_nothing_in_the_state_dict():
    assert not terms(
        [{"type": "CrossEntropyLoss", "class_weight": [1.0, 2.0, 3.0]}, {"type": "FocalLoss"}]
    ).state_dict()


def test_a_live_loss_keeps_its_own_weight():
    logits, labels = a_batch()
    losses = terms(CrossEntropyLoss(loss_weight=0.5))(logits, labels)
    torch.testing.assert_close(losses["loss"], 0.5 * F.cross_entropy(logits, labels, ignore_index=255))
