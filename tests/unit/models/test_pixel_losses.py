from __future__ import annotations

import math

import pytest
import segmentation_models_pytorch as smp
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from rayseg.core.errors import ConfigError
from rayseg.models.losses import CrossEntropyLoss, FocalLoss
from tests.unit.models.batches import a_batch


def test_cross_entropy_is_torchs_over_valid_pixels():
    logits, labels = a_batch()
    expected = F.cross_entropy(logits, labels, ignore_index=255)
    torch.testing.assert_close(CrossEntropyLoss()(logits, labels), expected)


@pytest.mark.parametrize("shape", [(2, 3, 8, 8), (1, 150, 33, 17), (4, 19, 64, 64)])
def test_a_plain_mean_is_bit_for_bit_the_sum_divided_by_the_valid_pixels(shape):
    generator = torch.Generator().manual_seed(shape[1])
    logits = torch.randn(shape, generator=generator)
    labels = torch.randint(0, shape[1], (shape[0], *shape[2:]), generator=generator)
    labels[torch.rand(labels.shape, generator=generator) < 0.3] = 255
    found = []
    for normalize in ("per_rank", "global"):  # on one rank the same, by torch's mean and by sum and count
        leaf = logits.clone().requires_grad_()
        loss = CrossEntropyLoss(normalize=normalize)(leaf, labels)
        loss.backward()
        found.append((loss.detach(), leaf.grad))
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])


def test_a_loss_that_is_no_number_is_not_taken_for_one_without_valid_pixels():
    logits, labels = a_batch()
    with torch.no_grad():
        logits[0, 0] = math.nan
    assert CrossEntropyLoss()(logits, labels).isnan()


def test_class_weights_make_a_weighted_mean_as_torchs():
    logits, labels = a_batch()
    weight = [0.5, 2.0, 7.0]
    expected = F.cross_entropy(logits, labels, ignore_index=255, weight=torch.tensor(weight))
    torch.testing.assert_close(CrossEntropyLoss(class_weight=weight, num_classes=3)(logits, labels), expected)


def test_avg_non_ignore_false_divides_by_all_pixels_as_mm():
    logits, labels = a_batch()
    expected = F.cross_entropy(logits, labels, ignore_index=255, reduction="sum") / labels.numel()
    torch.testing.assert_close(CrossEntropyLoss(avg_non_ignore=False)(logits, labels), expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_one_channel_is_the_cross_entropy_of_two_classes(smoothing):
    logits, labels = a_batch(channels=1, num_classes=2)
    loss = CrossEntropyLoss(label_smoothing=smoothing)(logits, labels)
    as_two = torch.cat([torch.zeros_like(logits), logits], 1)
    expected = F.cross_entropy(as_two, labels, ignore_index=255, label_smoothing=smoothing)
    torch.testing.assert_close(loss, expected)


def test_use_sigmoid_is_the_mean_over_classes_of_binary_cross_entropies():
    logits, labels = a_batch()
    loss = CrossEntropyLoss(use_sigmoid=True)(logits, labels)
    valid = labels != 255
    per_class = [
        F.binary_cross_entropy_with_logits(logits[:, k][valid], (labels[valid] == k).float()) for k in range(3)
    ]
    torch.testing.assert_close(loss, sum(per_class) / 3)


@pytest.mark.parametrize("gamma", [0.0, 2.0])
@pytest.mark.parametrize(("channels", "num_classes"), [(1, 2), (3, 3)])
def test_focal_loss_is_smps(gamma, channels, num_classes):
    logits, labels = a_batch(channels, num_classes)
    mode = "binary" if channels == 1 else "multiclass"
    expected = smp.losses.FocalLoss(mode, alpha=0.25, gamma=gamma, ignore_index=255)(logits, labels)
    torch.testing.assert_close(FocalLoss(alpha=0.25, gamma=gamma)(logits, labels), expected)


def test_focal_alpha_for_each_class():
    logits, labels = a_batch()
    parts = [
        smp.losses.FocalLoss("binary", alpha=alpha, ignore_index=255)(
            logits[:, k], torch.where(labels == 255, 255, (labels == k).long())
        )
        for k, alpha in enumerate([0.1, 0.5, 0.9])
    ]
    torch.testing.assert_close(FocalLoss(alpha=[0.1, 0.5, 0.9], num_classes=3)(logits, labels), sum(parts) / 3)


LOSSES = [
    CrossEntropyLoss(),
    CrossEntropyLoss(class_weight=[1.0, 0.0, 3.0]),
    CrossEntropyLoss(use_sigmoid=True, class_weight=[1.0, 0.0, 3.0]),
    CrossEntropyLoss(label_smoothing=0.2),
    CrossEntropyLoss(avg_non_ignore=False),
    FocalLoss(),
    FocalLoss(class_weight=[1.0, 0.0, 3.0]),
]


@pytest.mark.parametrize("loss", LOSSES)
def test_a_batch_that_is_ignored_whole_costs_nothing_and_moves_nothing(loss):
    logits, labels = a_batch(ignored=1.1)
    value = loss(logits, labels)
    value.backward()
    assert value.item() == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


@given(st.integers(0, 2**16), st.sampled_from(LOSSES))
def test_ignored_pixels_have_no_gradient_and_no_say(seed, loss):
    logits, labels = a_batch(seed=seed)
    value = loss(logits, labels)
    value.backward()
    ignored = (labels == 255).unsqueeze(1).expand_as(logits)
    assert not logits.grad[ignored].any()
    other = torch.where(ignored, logits.detach() + 100, logits.detach())
    assert loss(other, labels).item() == value.item()


def test_weights_scale_a_loss():
    logits, labels = a_batch()
    for kind in (CrossEntropyLoss, FocalLoss):
        assert kind(loss_weight=0.5)(logits, labels).item() == pytest.approx(kind()(logits, labels).item() / 2)


def test_extreme_logits_stay_finite():
    logits = torch.tensor([[[[1e4, -1e4]], [[-1e4, 1e4]], [[0.0, 0.0]]]], requires_grad=True)
    labels = torch.tensor([[[1, 1]]])
    for loss in LOSSES:
        value = loss(logits, labels)
        value.backward()
        assert math.isfinite(value.item())
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"class_weight": [1.0, 2.0]}, "class_weight has 2 numbers, the data has 3 classes"),
        ({"class_weight": [1.0, -2.0, 1.0]}, "class_weight must be 0 or more"),
        ({"label_smoothing": 1.5}, r"label_smoothing is from 0 up to 1, found 1\.5"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        CrossEntropyLoss(**arguments, num_classes=3)
