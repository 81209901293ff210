from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rayseg.core.errors import ConfigError
from rayseg.core.registries import METRICS
from rayseg.core.sample import PixelData, SegSample
from rayseg.metrics.iou import IoUMetric
from tests.distributed import run_ranks

METAINFO = {"classes": ("land", "open water", "snow"), "palette": [[0, 0, 0]] * 3, "ignore_index": 255}


def a_sample(pred, label, loss=None):
    sample = SegSample(
        img_path="a.png",
        gt_sem_seg=PixelData(torch.as_tensor(label, dtype=torch.uint8)),
        pred_sem_seg=PixelData(torch.as_tensor(pred)),
    )
    if loss is not None:
        sample.metainfo["loss"] = torch.tensor(loss)
    return sample


def score(samples, **options):
    metric = IoUMetric(metainfo=METAINFO, **options)
    metric.process({}, samples)
    metric.reduce()
    return metric.compute()


def by_hand(samples, class_index, beta=1.0):
    """Scores of one class from the sets of its pixels."""
    tp = fp = fn = 0
    for sample in samples:
        pred, label = sample.pred_sem_seg.data.flatten().tolist(), sample.gt_sem_seg.data.flatten().tolist()
        for p, y in zip(pred, label, strict=True):
            if y != 255:
                tp += p == y == class_index
                fp += p == class_index != y
                fn += y == class_index != p

    def ratio(a, b):
        return a / b if b else math.nan

    b2 = beta**2
    return {
        "IoU": ratio(tp, tp + fp + fn),
        "Acc": ratio(tp, tp + fn),
        "Dice": ratio(2 * tp, 2 * tp + fp + fn),
        "Fscore": ratio((1 + b2) * tp, (1 + b2) * tp + b2 * fn + fp),
        "Precision": ratio(tp, tp + fp),
        "Recall": ratio(tp, tp + fn),
    }


def nanmean(values):
    numbers = [v for v in values if not math.isnan(v)]
    return sum(numbers) / len(numbers) if numbers else math.nan


def pixels(values, size):
    return st.lists(st.sampled_from(values), min_size=size, max_size=size)


some_samples = st.lists(
    st.builds(
        lambda pred, label, loss: a_sample([[pred]], [[label]], loss),
        pixels([0, 1, 2], 6),
        pixels([0, 1, 2, 255], 6),
        st.floats(0, 20, width=32),
    ),
    min_size=1,
    max_size=5,
)


@given(some_samples, st.sampled_from([0.5, 1.0, 2.0]))
def test_scores_are_those_counted_by_hand(samples, beta):
    results = score(samples, beta=beta)
    by_class = [by_hand(samples, index, beta) for index in range(3)]
    for name in by_class[0]:
        for index, class_name in enumerate(METAINFO["classes"]):
            assert results[f"{name}.{class_name}"] == pytest.approx(by_class[index][name], nan_ok=True)
        assert results[f"m{name}"] == pytest.approx(nanmean([scores[name] for scores in by_class]), nan_ok=True)


@given(some_samples, st.randoms(use_true_random=False))
def test_order_and_grouping_of_images_change_no_bit(samples, random):
    results = score(samples)
    shuffled = random.sample(samples, len(samples))
    metric = IoUMetric(metainfo=METAINFO)
    for sample in shuffled:
        metric.process({}, [sample])
    assert str(metric.compute()) == str(results)


def test_a_class_that_is_predicted_but_not_labelled_counts_in_iou_and_not_in_accuracy():
    results = score([a_sample([[[0, 1]]], [[[0, 0]]])])
    assert results["IoU.open water"] == 0
    assert math.isnan(results["Acc.open water"])
    assert math.isnan(results["IoU.snow"])
    assert results["mIoU"] == 0.25  # (0.5 + 0) / 2: snow is in neither
    assert results["mAcc"] == 0.5
    assert results["mPrecision"] == 0.5


def test_a_class_that_is_missed_everywhere_has_fscore_0():
    results = score([a_sample([[[0, 1]]], [[[1, 0]]])])
    assert results["Fscore.land"] == results["mFscore"] == 0


def test_families_choose_the_keys():
    samples = [a_sample([[[0, 1]]], [[[0, 1]]])]
    assert "mDice" not in score(samples, iou_metrics=["mIoU"])
    only_dice = score(samples, iou_metrics=["mDice"], prefix="val")
    assert set(only_dice) == {f"val/{key}" for key in ("mDice", "mAcc", *per_class("Dice"), *per_class("Acc"))}
    with pytest.raises(ConfigError, match="found 'mIuO'"):
        score(samples, iou_metrics=["mIuO"])


def per_class(name):
    return [f"{name}.{class_name}" for class_name in METAINFO["classes"]]


def test_nan_to_num_replaces_undefined_scores():
    assert score([a_sample([[[0]]], [[[0]]])], nan_to_num=-1)["IoU.snow"] == -1


def test_no_loss_key_without_losses_and_nan_after_one_that_is_not_finite():
    assert "loss" not in score([a_sample([[[0]]], [[[0]]])])
    assert score([a_sample([[[0]]], [[[0]]], 2.0), a_sample([[[0]]], [[[0]]], 1.0)])["loss"] == 1.5
    assert math.isnan(score([a_sample([[[0]]], [[[0]]], math.inf), a_sample([[[0]]], [[[0]]], 1.0)])["loss"])


def test_reset_forgets():
    metric = IoUMetric(metainfo=METAINFO)
    metric.process({}, [a_sample([[[0]]], [[[1]]], 3.0)])
    metric.reset()
    metric.process({}, [a_sample([[[1]]], [[[1]]])])
    assert metric.compute()["aAcc"] == 1
    assert "loss" not in metric.compute()


def test_errors_name_the_image():
    metric = IoUMetric(metainfo=METAINFO)
    with pytest.raises(ValueError, match="differ in shape") as caught:
        metric.process({}, [a_sample([[[0, 1]]], [[[0]]])])
    assert caught.value.__notes__ == ["image: a.png"]
    with pytest.raises(ValueError, match=r"a\.png has no label"):
        metric.process({}, [SegSample(img_path="a.png", pred_sem_seg=PixelData(torch.zeros(1, 1, 1)))])


def test_the_registry_builds_it_with_what_the_engine_supplies():
    metric = METRICS.build({"type": "IoUMetric", "beta": 2}, metainfo=METAINFO, device=torch.device("cpu"))
    assert metric.classes == METAINFO["classes"]


def seven_images():
    generator = torch.Generator().manual_seed(0)
    return [
        a_sample(
            torch.randint(0, 3, (1, 4, 4), generator=generator),
            torch.randint(0, 3, (1, 4, 4), generator=generator),
            torch.rand((), generator=generator).item() * 7,
        )
        for _ in range(7)
    ]


def share_of_rank(images):
    import torch.distributed as dist

    rank, world_size = dist.get_rank(), dist.get_world_size()
    results = []
    for count in (images, 1):  # with one image, ranks 1 and 2 have none
        metric = IoUMetric(metainfo=METAINFO)
        metric.process({}, seven_images()[:count][rank::world_size])
        broken = metric.reduce(broken=False)
        results.append((broken, metric.compute()))
    again = IoUMetric(metainfo=METAINFO)
    return results, again.reduce(broken=rank == 1)


@pytest.mark.world_size(3)
def test_three_ranks_give_what_one_gives_bit_for_bit():
    for results, any_broken in run_ranks(share_of_rank, 3, 7):
        assert any_broken
        for (broken, metrics), count in zip(results, (7, 1), strict=True):
            assert not broken
            assert str(metrics) == str(score(seven_images()[:count]))
