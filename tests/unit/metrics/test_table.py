from __future__ import annotations

import io
import math

import torch
from rich.console import Console

from rayseg.core.sample import PixelData, SegSample
from rayseg.metrics.iou import IoUMetric
from rayseg.metrics.table import render


def printed(rows, **options):
    buffer = io.StringIO()
    Console(file=buffer, width=160).print(render(rows, **options))
    return buffer.getvalue().splitlines()


def line_of(lines, word):
    return next(line for line in lines if word in line)


def test_rows_of_a_metric_are_shown_in_percent_with_the_worst_class_marked():
    metric = IoUMetric(metainfo={"classes": ("land", "water", "snow"), "ignore_index": 255}, iou_metrics=["mIoU"])
    label = torch.tensor([[[0, 0, 0, 1]]])
    pred = torch.tensor([[[0, 0, 1, 1]]])
    metric.process({}, [SegSample(gt_sem_seg=PixelData(label), pred_sem_seg=PixelData(pred))])
    lines = printed(metric.table, title="val")
    assert [cell.strip() for cell in line_of(lines, "land").split("│")[1:-1]] == [
        "land",
        "66.67 %",
        "66.67 %",
        "75.00 %",
    ]
    assert "50.00 %" in line_of(lines, "water (worst)")
    assert "-" in line_of(lines, "snow")
    assert "58.33 %" in line_of(lines, "mean")


def test_many_classes_show_the_worst_ones_only():
    rows = [{"class": f"class {i}", "IoU": i / 100, "pixels": 0.01} for i in reversed(range(100))]
    lines = printed(rows, limit=3)
    shown = [line.split("│")[1].strip() for line in lines if line.startswith("│ class")]
    assert shown == ["class 0 (worst)", "class 1", "class 2"]
    assert "49.50 %" in line_of(lines, "mean (97 more classes)")


def test_no_class_is_worst_when_none_has_a_score():
    rows = [{"class": name, "IoU": math.nan, "pixels": math.nan} for name in "ab"]
    assert not any("worst" in line for line in printed(rows))
