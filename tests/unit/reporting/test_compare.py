"""Several runs side by side: what is best, what differs."""

from __future__ import annotations

import os

from rayseg.reporting import write_report
from rayseg.reporting.compare import (
    circumstance_differences,
    class_comparison,
    comparison_verdict,
    config_differences,
    label_runs,
    outcomes,
    score_names,
)
from rayseg.reporting.run_data import read_run_data
from tests.unit.reporting.run_dirs import CONFIG, LINES, Page, make_run, train, val


def runs_of(*paths):
    return label_runs([read_run_data(path) for path in paths])


def two_runs(tmp_path):
    lines = [train(10), val(10, mIoU=0.8, aAcc=0.9, loss=0.3, **{"IoU.land": 0.9, "IoU.sky": None})]
    first = make_run(tmp_path / "a")
    text = CONFIG.replace("0.001", "0.01").replace("encoder='r18'", "encoder='r18', depth=4")
    best = {"mIoU": {"value": 0.8, "iter": 10}}
    second = make_run(tmp_path / "b", lines, text, status="failed", seed=2, versions={"torch": "2.10"}, best=best)
    return first, second


def test_leaves_that_differ_and_no_others(tmp_path):
    found = config_differences(runs_of(*two_runs(tmp_path)))
    assert [(row.name, list(row.values)) for row in found] == [
        ("optim_wrapper.optimizer.lr", ["0.001", "0.01"]),
        ("model.net.depth", ["", "4"]),
    ]


def test_versions_and_seeds_that_differ(tmp_path):
    found = circumstance_differences(runs_of(*two_runs(tmp_path)))
    assert {row.name: list(row.values) for row in found} == {
        "seed": ["1", "2"],
        "version of torch": ["2.9", "2.10"],
    }


def test_runs_that_are_alike_differ_in_nothing(tmp_path):
    runs = runs_of(make_run(tmp_path / "a"), make_run(tmp_path / "b"))
    assert config_differences(runs) == circumstance_differences(runs) == []


def test_the_best_of_each_score(tmp_path):
    runs = runs_of(*two_runs(tmp_path))
    assert list(score_names(runs)) == ["mIoU", "aAcc", "loss"]
    rows = outcomes(runs)
    assert [list(row.scores) for row in rows] == [
        [("75.00 %", "200", False), ("–", "", False), ("–", "", False)],
        [("80.00 %", "10", True), ("90.00 %", "10", True), ("0.3000", "10", True)],
    ]
    assert [row.status for row in rows] == ["finished", "failed"]
    assert comparison_verdict(runs) == (
        "1 of 2 runs finished. The best mIoU is 80.00 %, by b at iteration 10, 5.00 points ahead of a."
    )


def test_of_losses_the_lowest_is_best(tmp_path):
    paths = [
        make_run(tmp_path / name, [val(1, loss=loss), val(2, loss=2 * loss)], best={})
        for name, loss in (("a", 0.2), ("b", 0.1))
    ]
    rows = outcomes(runs_of(*paths))
    assert [list(row.scores) for row in rows] == [[("0.2000", "1", False)], [("0.1000", "1", True)]]


def test_classes_side_by_side(tmp_path):
    score, rows = class_comparison(runs_of(*two_runs(tmp_path)))
    assert score == "IoU"
    assert [(row.name, [cell.text for cell in row.cells], row.spread) for row in rows] == [
        ("land", ["70.00 %", "90.00 %"], "20.00"),
        ("water", ["80.00 %", "–"], "–"),
        ("sky", ["–", "–"], "–"),
    ]


def test_runs_of_the_same_name_are_told_apart(tmp_path):
    paths = [make_run(tmp_path / parent / "x", name="x") for parent in ("p", "q")]
    other = make_run(tmp_path / "p" / "y", experiment="e")
    assert list(runs_of(*paths, other)) == ["p/x", "q/x", "e/y"]


def test_an_experiment_of_all_runs_is_said_once(tmp_path):
    paths = [make_run(tmp_path / name, experiment="seg") for name in ("x", "y")]
    assert list(runs_of(*paths)) == ["x", "y"]
    assert Page(write_report(paths, tmp_path / "out.html")).text.startswith("2 runs of seg ·")


def test_two_names_of_one_score_are_one_column(tmp_path):
    paths = [
        make_run(tmp_path / name, [val(1, mDice=score, mFscore=score, mAcc=score, mRecall=recall)], best={})
        for name, score, recall in (("a", 0.5, 0.5), ("b", 0.6, 0.7))
    ]
    runs = runs_of(*paths)
    assert score_names(runs) == {"mDice": "mDice = mFscore", "mAcc": "mAcc", "mRecall": "mRecall"}
    page = Page(write_report(paths, tmp_path / "out.html"))
    assert list(page.charts()) == ["mDice = mFscore", "mAcc", "mRecall"]


def test_the_page_keeps_the_runs_order_in_every_chart(tmp_path, monkeypatch):
    first, second = two_runs(tmp_path)
    monkeypatch.chdir(tmp_path)
    path = write_report([second, first])
    assert os.fspath(path) == "report.html"
    page = Page(tmp_path / "report.html")
    charts = page.charts()
    assert list(charts) == ["Training loss", "mIoU", "aAcc", "Validation loss", "Learning rate", "Speed"]
    assert all([line["name"] for line in chart["lines"]] == ["b", "a"] for chart in charts.values())
    assert charts["aAcc"]["lines"][1]["x"] == []
    assert "optim_wrapper.optimizer.lr 0.01 0.001" in page.text
    assert not (first / "report.html").exists()


def test_a_run_without_anything_has_its_row(tmp_path):
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "run.json").write_text("{")
    full = make_run(tmp_path / "full", LINES)
    page = Page(write_report([tmp_path / "bare", full], tmp_path / "out.html"))
    assert "bare: run.json is damaged" in page.text
    assert "1 of 2 runs finished. The best mIoU is 75.00 %, by full at iteration 200." in page.text
