from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rayseg.metrics.confusion_matrix import ConfusionMatrix


def by_hand(pred, label, num_classes, ignore_index):
    matrix = torch.zeros(num_classes, num_classes, dtype=torch.int64)
    for p, y in zip(pred.flatten().tolist(), label.flatten().tolist(), strict=True):
        if y != ignore_index:
            matrix[y, p] += 1
    return matrix


@st.composite
def counted(draw):
    num_classes = draw(st.integers(1, 6))
    ignore_index = draw(st.sampled_from([255, 254, num_classes, num_classes - 1]))
    shape = draw(st.tuples(st.integers(1, 2), st.integers(0, 5), st.integers(1, 5)))
    size = shape[0] * shape[1] * shape[2]
    labels = draw(st.lists(st.sampled_from([*range(num_classes), ignore_index]), min_size=size, max_size=size))
    preds = draw(st.lists(st.integers(0, num_classes - 1), min_size=size, max_size=size))
    dtype = draw(st.sampled_from([torch.uint8, torch.int64, torch.int32]))
    return (
        torch.tensor(preds, dtype=torch.int64).view(shape),
        torch.tensor(labels, dtype=dtype).view(shape),
        num_classes,
        ignore_index,
    )


@given(counted())
def test_counts_what_a_loop_over_pixels_counts(case):
    pred, label, num_classes, ignore_index = case
    confusion = ConfusionMatrix(num_classes, ignore_index)
    confusion.update(pred, label)
    confusion.update(pred.transpose(1, 2), label.transpose(1, 2))
    expected = by_hand(pred, label, num_classes, ignore_index)
    assert confusion.matrix.dtype == torch.int64
    assert torch.equal(confusion.matrix, 2 * expected)


def test_neither_input_is_changed():
    pred, label = torch.tensor([[1, 0]]), torch.tensor([[0, 255]])
    ConfusionMatrix(2).update(pred, label)
    assert pred.tolist() == [[1, 0]]
    assert label.tolist() == [[0, 255]]


@pytest.mark.parametrize("value", [2, 7, -1, 300])
def test_a_prediction_outside_the_classes_is_an_error_with_both_shapes(value):
    label = torch.zeros(1, 4, 5, dtype=torch.uint8)
    pred = torch.zeros(1, 4, 5, dtype=torch.int64)
    pred[0, 3, 4] = value
    with pytest.raises(
        ValueError, match=rf"prediction outside the classes 0 to 1: found {value}.*\(1, 4, 5\).*\(1, 4, 5\)"
    ):
        ConfusionMatrix(2).update(pred, label)


@pytest.mark.parametrize(("num_classes", "value"), [(2, 2), (2, 254), (300, 301)])
def test_a_label_outside_the_classes_is_an_error_that_names_the_value(num_classes, value):
    label = torch.full((1, 2, 2), value, dtype=torch.int64)
    with pytest.raises(ValueError, match=rf"label outside the classes 0 to {num_classes - 1}: found {value}"):
        ConfusionMatrix(num_classes).update(torch.zeros(1, 2, 2, dtype=torch.int64), label)


def test_many_classes_do_not_wrap_small_dtypes_around():
    label = torch.tensor([[255, 44, 3]], dtype=torch.uint8)
    confusion = ConfusionMatrix(300, ignore_index=-1)
    confusion.update(torch.tensor([[299, 44, 3]]), label)
    assert confusion.matrix[255, 299] == 1
    assert confusion.matrix.sum() == 3


def test_what_is_predicted_at_ignored_pixels_does_not_matter():
    confusion = ConfusionMatrix(2)
    confusion.update(torch.tensor([[1, 255, -7]]), torch.tensor([[1, 255, 255]]))
    assert confusion.matrix.tolist() == [[0, 0], [0, 1]]


def test_different_shapes_are_an_error_that_names_both():
    with pytest.raises(ValueError, match=r"prediction \(1, 2, 2\) and label \(1, 2, 3\)"):
        ConfusionMatrix(2).update(torch.zeros(1, 2, 2), torch.zeros(1, 2, 3))
