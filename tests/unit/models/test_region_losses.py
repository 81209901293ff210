from __future__ import annotations

import pytest
import segmentation_models_pytorch as smp
import torch

from rayseg.core.errors import ConfigError
from rayseg.models.losses import DiceLoss, JaccardLoss, LovaszLoss, TverskyLoss
from tests.unit.models.batches import a_batch


def mode_of(channels):
    return "binary" if channels == 1 else "multiclass"


# With all classes in the batch, smp's mean over all classes is the mean over those that are there.
@pytest.mark.parametrize(("channels", "num_classes"), [(1, 2), (3, 3)])
@pytest.mark.parametrize("smooth", [0.0, 1.0])
def test_values_are_smps(channels, num_classes, smooth):
    logits, labels = a_batch(channels, num_classes)
    options = {"mode": mode_of(channels), "ignore_index": 255}
    ours = [DiceLoss(smooth), JaccardLoss(smooth), TverskyLoss(smooth, alpha=0.2, beta=0.9)]
    theirs = [
        smp.losses.DiceLoss(smooth=smooth, **options),
        smp.losses.JaccardLoss(smooth=smooth, **options),
        smp.losses.TverskyLoss(smooth=smooth, alpha=0.2, beta=0.9, **options),
    ]
    for own, reference in zip(ours, theirs, strict=True):
        torch.testing.assert_close(own(logits, labels), reference(logits, labels))


@pytest.mark.parametrize("per_image", [False, True])
@pytest.mark.parametrize(("channels", "num_classes"), [(1, 2), (3, 3)])
def test_lovasz_is_smps_with_its_gradient(per_image, channels, num_classes):
    logits, labels = a_batch(channels, num_classes, seed=3)
    reference = smp.losses.LovaszLoss(mode_of(channels), per_image=per_image, ignore_index=255)(logits, labels)
    (expected,) = torch.autograd.grad(reference, logits)
    loss = LovaszLoss(per_image=per_image)(logits, labels)
    loss.backward()
    torch.testing.assert_close(loss, reference)
    torch.testing.assert_close(logits.grad, expected)


def test_lovasz_of_hard_predictions_is_one_minus_iou():
    labels = torch.tensor([[[0, 0, 1, 1, 1, 2]]])
    predicted = torch.tensor([[[0, 1, 1, 1, 2, 2]]])
    logits = torch.nn.functional.one_hot(predicted, 3).permute(0, 3, 1, 2) * 1000.0
    ious = [1 / 2, 2 / 4, 1 / 2]
    for k, iou in enumerate(ious):
        assert LovaszLoss(classes=[k], num_classes=3)(logits, labels).item() == pytest.approx(1 - iou)
    assert LovaszLoss()(logits, labels).item() == pytest.approx(1 - sum(ious) / 3)


def test_classes_without_a_labelled_pixel_are_left_out():
    logits, labels = a_batch()
    labels = torch.where(labels == 2, 1, labels)
    for kind in (DiceLoss, JaccardLoss, TverskyLoss, LovaszLoss):
        weights = kind(class_weight=[1.0, 1.0, 100.0], num_classes=3)(logits, labels)
        torch.testing.assert_close(weights, kind()(logits, labels))
    everything = LovaszLoss(classes="all")(logits, labels)
    assert everything.item() != LovaszLoss()(logits, labels).item()


def test_class_weights_weigh_the_mean_over_classes():
    logits, labels = a_batch()
    for kind in (DiceLoss, LovaszLoss):
        alone = [kind(class_weight=[float(k == i) for i in range(3)])(logits, labels).item() for k in range(3)]
        mixed = kind(class_weight=[1.0, 2.0, 5.0])(logits, labels).item()
        assert mixed == pytest.approx((alone[0] + 2 * alone[1] + 5 * alone[2]) / 8)


def test_use_sigmoid_looks_at_each_channel_alone():
    logits, labels = a_batch()
    alone = [
        DiceLoss()(logits[:, k : k + 1], torch.where(labels == 255, 255, (labels == k).long())).item() for k in range(3)
    ]
    assert DiceLoss(use_sigmoid=True)(logits, labels).item() == pytest.approx(sum(alone) / 3)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "loss", [DiceLoss(), DiceLoss(smooth=0.0), JaccardLoss(), TverskyLoss(), LovaszLoss(), LovaszLoss(per_image=True)]
)
def test_a_batch_that_is_ignored_whole_costs_nothing_and_moves_nothing(loss, channels):
    logits, labels = a_batch(channels, ignored=1.1)
    value = loss(logits, labels)
    value.backward()
    assert value.item() == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


@pytest.mark.parametrize("loss", [DiceLoss(), JaccardLoss(), TverskyLoss(), LovaszLoss(), LovaszLoss(classes="all")])
def test_ignored_pixels_have_no_gradient_and_no_say(loss):
    logits, labels = a_batch()
    value = loss(logits, labels)
    value.backward()
    ignored = (labels == 255).unsqueeze(1).expand_as(logits)
    assert not logits.grad[ignored].any()
    other = torch.where(ignored, logits.detach() + 100, logits.detach())
    torch.testing.assert_close(loss(other, labels), value.detach())


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ConfigError, match="alpha and beta not both 0"):
        TverskyLoss(alpha=0, beta=0)
    with pytest.raises(ConfigError, match=r"classes are 0 to 2, found \[3\]"):
        LovaszLoss(classes=[3], num_classes=3)
