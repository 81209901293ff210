"""The report at the end of a sweep: it can be turned off, and cannot fail the sweep."""

from __future__ import annotations

import pytest

from rayseg.config import Config
from rayseg.tuning.report import write_sweep_report
from tests.unit.reporting.sweep_dirs import make_sweep


@pytest.mark.parametrize("sections", [{}, {"trackers": None}, {"trackers": {"tensorboard": {"type": "TensorBoard"}}}])
def test_it_is_written(tmp_path, sections):
    sweep = make_sweep(tmp_path / "sweep")
    assert write_sweep_report(Config(sections), sweep) is None
    assert "The best mIoU is 75.00 %" in (sweep / "report.html").read_text()


def test_it_is_turned_off_with_the_reports_of_the_trials(tmp_path):
    sweep = make_sweep(tmp_path / "sweep")
    assert write_sweep_report(Config({"trackers": {"report": None}}), sweep) is None
    assert not (sweep / "report.html").exists()


def test_what_goes_wrong_is_a_line(tmp_path):
    sweep = make_sweep(tmp_path / "sweep")
    (sweep / "report.html").mkdir()
    problem = write_sweep_report(Config({}), sweep)
    assert problem is not None
    assert "report.html could not be written (" in problem
    assert "rayseg report" in problem
    assert "\n" not in problem
