from __future__ import annotations

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F

from rayseg.models.losses import CrossEntropyLoss
from rayseg.models.normalization import mean_over_pixels, this_rank_only, whole_share
from tests.distributed import run_ranks
from tests.unit.models.batches import a_batch

WEIGHTS = [1.0, 4.0, 0.5]


def global_batch():
    """Four images of which the ranks' halves have very different numbers of valid pixels."""
    logits, labels = a_batch(size=(4, 6, 6), ignored=0.2)
    labels[0] = 255
    labels[1, 1:] = 255
    return logits, labels


def loss_and_gradient(logits, labels, loss, pieces=1):
    """As the engine works through a share: the mean over pieces, inside whole_share when there are several."""
    parts = list(zip(logits.chunk(pieces), labels.chunk(pieces), strict=True))
    with whole_share(list(labels), pieces):
        value = sum(loss(*part) for part in parts) / pieces
    return value.detach(), torch.autograd.grad(value, logits)[0]


def share_of_rank(weights):
    """For each class weight: the losses and gradients in one and in two pieces, without a share, and of this rank."""
    logits, labels = global_batch()
    rank, world_size = dist.get_rank(), dist.get_world_size()
    mine = slice(rank * 2, rank * 2 + 2)
    results = []
    for weight in weights:
        loss = CrossEntropyLoss(normalize="global", class_weight=weight)
        values, gradients = [], []
        for pieces in (1, 2):
            value, gradient = loss_and_gradient(logits.detach()[mine].requires_grad_(), labels[mine], loss, pieces)
            values.append(value)
            gradients.append((gradient / world_size).tolist())
        values.append(loss(logits.detach()[mine], labels[mine]))
        means = torch.stack(values) / world_size
        dist.all_reduce(means)
        with this_rank_only():
            alone = loss(logits.detach()[mine], labels[mine]).item() if rank == 0 else None
        results.append((means.tolist(), gradients, alone))
    return results


@pytest.mark.world_size(2)
def test_global_is_the_mean_over_the_pixels_of_both_ranks():
    logits, labels = global_batch()
    weights = [None, WEIGHTS]
    for rank, results in enumerate(run_ranks(share_of_rank, 2, weights)):
        for weight, (means, gradients, alone) in zip(weights, results, strict=True):
            tensor = torch.tensor(weight) if weight else None
            expected = F.cross_entropy(logits, labels, ignore_index=255, weight=tensor)
            (gradient,) = torch.autograd.grad(expected, logits)
            assert means == pytest.approx([expected.item()] * 3)
            for own_gradient in gradients:
                torch.testing.assert_close(torch.tensor(own_gradient), gradient[rank * 2 : rank * 2 + 2])
            if rank == 0:  # the other rank was not asked, and this one would have waited for ever
                own = F.cross_entropy(logits[:2], labels[:2], ignore_index=255, weight=tensor)
                assert alone == pytest.approx(own.item())


@pytest.mark.parametrize("avg_non_ignore", [True, False])
@pytest.mark.parametrize("pieces", [2, 4])
def test_micro_batches_of_one_rank_add_up_to_the_whole(pieces, avg_non_ignore):
    logits, labels = global_batch()
    loss = CrossEntropyLoss(normalize="global", avg_non_ignore=avg_non_ignore)
    whole = loss_and_gradient(logits, labels, loss)
    torch.testing.assert_close(loss_and_gradient(logits, labels, loss, pieces), whole)
    per_rank = loss_and_gradient(logits, labels, CrossEntropyLoss(), pieces)
    assert not torch.allclose(per_rank[0], F.cross_entropy(logits, labels, ignore_index=255))


def test_a_share_asks_for_each_losses_weight_once():
    asked = []

    def weigh(labels):
        asked.append(labels)
        return (labels != 255).sum()

    total = torch.tensor(6.0)
    label = torch.tensor([[0, 1, 255]], dtype=torch.uint8)
    with whole_share([label, label], pieces=2):
        means = [mean_over_pixels(total, label, weigh, "global", key="a") for _ in range(2)]
    assert [mean.item() for mean in means] == [3.0, 3.0]  # 6 · 2 pieces / 4 valid pixels
    assert len(asked) == 2
    assert mean_over_pixels(total, label, weigh, "global", key="a").item() == 3.0


def test_a_share_ends_with_its_block():
    logits, labels = a_batch()
    loss = CrossEntropyLoss(normalize="global")
    with pytest.raises(RuntimeError, match="inside"), whole_share([labels[:1]], 1):
        raise RuntimeError("inside")
    torch.testing.assert_close(loss(logits, labels), F.cross_entropy(logits, labels, ignore_index=255))
