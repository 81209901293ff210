"""What docs/scaling.md says of the driver's work for a trial, counted with 1, 2 and 4 trials at a time."""

from __future__ import annotations

from collections import Counter

import pytest

from rayseg.tuning import SweepResult
from rayseg.tuning.journal import JOURNAL_FILE

from .conftest import Workspace, events

TRIALS, VALIDATIONS = 4, 3
LARGEST_LINE = 2048


@pytest.fixture(params=[pytest.param(1, marks=pytest.mark.slow), 2, pytest.param(4, marks=pytest.mark.slow)])
def sweep(request: pytest.FixtureRequest, workspace: Workspace, cluster: str) -> SweepResult:
    """Four trials, so many at a time."""
    if request.param == 2:
        result: SweepResult = request.getfixturevalue("undisturbed")
        return result
    share = {"CPU": 2 / request.param}
    overrides = {"tune.max_concurrent": request.param, "scaling.resources_per_worker": share}
    return workspace.tune(f"at_a_time_{request.param}", overrides)


def test_a_trial_costs_the_journal_three_lines_and_one_for_each_validation(sweep: SweepResult) -> None:
    per_trial = {"proposed": TRIALS, "started": TRIALS, "result": TRIALS * VALIDATIONS, "ended": TRIALS}
    assert Counter(line["event"] for line in events(sweep.sweep_dir)) == {"launch": 1, **per_trial}
    lines = (sweep.sweep_dir / JOURNAL_FILE).read_bytes().splitlines()
    assert max(map(len, lines)) < LARGEST_LINE
