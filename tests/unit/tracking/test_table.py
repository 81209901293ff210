"""The table of classes: order, percent, the worst, many classes, odd names."""

from __future__ import annotations

import io
import math

from rich.console import Console

from rayseg.tracking.table import ClassTable, is_fraction, percent, split_class_key

SCALARS = {
    "mIoU": 0.6,
    "IoU.land": 0.9,
    "IoU.b.c": 0.3,
    "IoU.none": math.nan,
    "Acc.land": 0.5,
    "Acc.b.c": 1.0,
    "loss": 2.0,
}


def table(scalars: dict) -> ClassTable:
    found = ClassTable.from_scalars(scalars)
    assert found is not None
    return found


def test_keys():
    assert split_class_key("IoU.land") == ("IoU", "land")
    assert split_class_key("IoU.a.b") == ("IoU", "a.b")
    assert split_class_key("p/Acc.x/y") == ("p/Acc", "x/y")
    assert split_class_key("lr.backbone") is None
    assert split_class_key("mIoU") is None
    assert is_fraction("aAcc")
    assert is_fraction("p/IoU.x")
    assert not is_fraction("loss.IoU")


def test_classes_keep_their_order_and_scores_their_columns():
    assert table(SCALARS).names == ("IoU", "Acc")
    assert table(SCALARS).cells() == [
        ("land", "90.00 %", "50.00 %"),
        ("b.c (worst)", "30.00 %", "100.00 %"),
        ("none", "-", "-"),
        ("mean", "60.00 %", "75.00 %"),
    ]


def test_no_class_no_table():
    assert ClassTable.from_scalars({"mIoU": 0.5, "lr.backbone": 0.1}) is None


def test_one_class_is_not_the_worst():
    assert table({"IoU.only": 0.1}).cells()[0] == ("only", "10.00 %")


def test_of_many_classes_the_worst_are_shown():
    many = table({f"IoU.c{i}": 1 - i / 100 for i in range(50)})
    cells = many.cells(limit=3)
    assert [row[0] for row in cells] == ["c49 (worst)", "c48", "c47", "mean (with 47 more classes)"]


def test_wide_characters_line_up():
    lines = table({"IoU.水域": 0.5, "IoU.land": 0.25}).plain()
    assert lines[2] == "水域          50.00 %"
    assert lines[3] == "land (worst)  25.00 %"


def test_the_terminals_table_shows_the_same():
    stream = io.StringIO()
    Console(file=stream, width=80).print(table(SCALARS).rich("Iter(val) [1/2]"))
    text = stream.getvalue()
    for cell in ("Iter(val) [1/2]", "land", "b.c (worst)", "30.00 %", "mean", "75.00 %"):
        assert cell in text
    assert "[bold" not in text


def test_a_class_named_as_markup_is_shown_as_it_is():
    stream = io.StringIO()
    Console(file=stream, width=80).print(table({"IoU.[red]x": 0.5}).rich())
    assert "[red]x" in stream.getvalue()


def test_percent():
    assert percent(0.98765) == "98.77 %"
    assert percent(math.nan) == "-"
