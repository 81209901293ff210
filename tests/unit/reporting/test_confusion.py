"""Confusion matrices: shares, the most confused, damage."""

from __future__ import annotations

import numpy as np
import pytest

from rayseg.reporting.confusion import Confusion, read_confusion
from rayseg.reporting.sections import heat_map
from tests.unit.reporting.run_dirs import write_json


def confusion(counts: list[list[int]]) -> Confusion:
    return Confusion("val", 7, tuple(f"c{i}" for i in range(len(counts))), np.array(counts, dtype=float))


def test_shares_are_of_the_label_and_a_label_without_pixels_has_none():
    shares = confusion([[3, 1], [0, 0]]).shares()
    assert shares.tolist() == [[0.75, 0.25], [0.0, 0.0]]


def test_pairs_by_pixels_without_the_diagonal():
    assert confusion([[9, 1, 0], [5, 9, 0], [0, 2, 9]]).pairs(9) == [(1, 0), (2, 1), (0, 1)]


def test_the_map_says_label_then_prediction():
    heat = heat_map(confusion([[3, 1], [0, 4]]))
    assert heat.classes == ["c0", "c1"]
    assert heat.rows[0][1].title == "c0 → c1: 1 pixels, 25.00 % of c0"
    assert heat.hidden == 0
    assert [pair[:3] for pair in heat.pairs] == [("c0", "c1", "1")]


def test_of_many_classes_those_of_the_most_confused_pairs_are_drawn():
    counts = np.eye(150, dtype=int) * 100
    counts[140, 3] = 50
    counts[7, 9] = 40
    heat = heat_map(confusion(counts.tolist()))
    assert heat.classes == ["c3", "c7", "c9", "c140"]
    assert heat.hidden == 146
    crowded = confusion((counts + 1).tolist())
    assert len(crowded.shown()) == 20
    assert {3, 7, 9, 140} <= set(crowded.shown())


def test_the_preferred_iteration_else_the_newest_that_is_whole(tmp_path):
    good = {"classes": ["a", "b"], "matrix": [[1, 2], [3, 4]]}
    for at_iter in (100, 200):
        write_json(tmp_path / f"confusion/val/iter_{at_iter}.json", good)
    write_json(tmp_path / "confusion/val/iter_300.json", {"classes": ["a", "b"], "matrix": [[1, 2]]})
    write_json(tmp_path / "confusion/val/other.json", good)
    notes: list[str] = []
    first = read_confusion(tmp_path, 100, notes)
    assert first is not None
    assert (first.iter, notes) == (100, [])
    second = read_confusion(tmp_path, float("nan"), notes)
    assert second is not None
    assert second.iter == 200
    assert len(notes) == 1
    assert "confusion/val/iter_300.json" in notes[0]


@pytest.mark.parametrize(
    "value",
    [{}, [], {"classes": [], "matrix": []}, {"classes": ["a"], "matrix": [[-1]]}, {"classes": ["a"], "matrix": [["x"]]},
     {"classes": ["a"], "matrix": 3}, {"classes": ["a"], "matrix": [[None]]}],
)  # fmt: skip
def test_damaged_ones_are_said(tmp_path, value):
    write_json(tmp_path / "confusion/val/iter_1.json", value)
    notes: list[str] = []
    assert read_confusion(tmp_path, 1, notes) is None
    assert len(notes) == 1
