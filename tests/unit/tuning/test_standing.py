"""The journal and what it says of a sweep."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import pytest

from rayseg.config import Config
from rayseg.core.errors import ConfigError
from rayseg.search import uniform
from rayseg.tuning.exporting import export_best
from rayseg.tuning.journal import JOURNAL_FILE, Journal, read_journal
from rayseg.tuning.results import SweepFiles, read_sweep
from rayseg.tuning.space import Space
from rayseg.tuning.standing import Standing


def written(tmp_path: Path, *events: tuple[str, dict[str, Any]]) -> Standing:
    journal = Journal(tmp_path)
    for event, facts in events:
        journal.write(event, **facts)
    journal.close()
    return Standing(read_journal(tmp_path))


def proposed(number: int, **draw: Any) -> tuple[str, dict[str, Any]]:
    return "proposed", {"trial": f"{number:04d}", "number": number, "draw": draw or {"x": 0.5}}


def result(number: int, at: int, value: float | None) -> tuple[str, dict[str, Any]]:
    return "result", {"trial": f"{number:04d}", "iter": at, "values": {"mIoU": value}}


def ended(number: int, status: str = "finished", **facts: Any) -> tuple[str, dict[str, Any]]:
    return "ended", {"trial": f"{number:04d}", "status": status, "iter": 30, "reason": "", **facts}


def test_the_journal_survives_a_torn_line(tmp_path: Path) -> None:
    written(tmp_path, proposed(0))
    with (tmp_path / JOURNAL_FILE).open("ab") as file:
        file.write(b'{"event": "result", "trial": "00')
    standing = written(tmp_path, result(0, 10, 0.5))
    assert standing.trials["0000"].results == {10: {"mIoU": 0.5}}


def test_numbers_come_back_as_they_were(tmp_path: Path) -> None:
    standing = written(tmp_path, proposed(0, lr=0.1 + 0.2, n=3, b=True, none=None), result(0, 10, math.nan))
    draw = standing.trials["0000"].draw
    assert draw == {"lr": 0.1 + 0.2, "n": 3, "b": True, "none": None}
    assert type(draw["b"]) is bool
    assert standing.trials["0000"].best("mIoU", "max") is None


def test_no_journal(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no sweep directory: it has no journal\.jsonl"):
        list(read_journal(tmp_path))


def test_the_best_is_the_best_validation_the_earlier_of_two_equal_ones(tmp_path: Path) -> None:
    standing = written(
        tmp_path,
        proposed(0), result(0, 10, 0.5), result(0, 20, 0.7), result(0, 30, 0.7), ended(0),
        proposed(1), result(1, 10, 0.7), ended(1, "stopped"),
        proposed(2), ended(2, "failed", reason="it broke"),
        proposed(3), result(3, 10, 0.1),
    )  # fmt: skip
    assert [trial.name for trial in standing.ranked("mIoU", "max")] == ["0000", "0001", "0003"]
    assert [trial.name for trial in standing.ranked("mIoU", "min")] == ["0003", "0000", "0001"]
    assert standing.trials["0000"].best("mIoU", "max") == (0.7, 20)
    assert [trial.name for trial in standing.unfinished()] == ["0003"]
    assert standing.counts() == {
        "finished": 1, "stopped": 1, "failed": 1, "interrupted": 0, "running": 0, "proposed": 1,
    }  # fmt: skip
    assert standing.trials["0002"].reason == "it broke"


def test_a_result_that_is_made_again_does_not_replace_the_first(tmp_path: Path) -> None:
    standing = written(tmp_path, proposed(0), result(0, 10, 0.5), result(0, 10, 0.6))
    assert standing.trials["0000"].results == {10: {"mIoU": 0.5}}


def test_retried_judged_and_taken_over(tmp_path: Path) -> None:
    standing = written(
        tmp_path,
        proposed(0), ("started", {"trial": "0000", "host": "h", "pid": 1}), result(0, 10, 0.5), result(0, 20, 0.6),
        ("retried", {"trial": "0000", "reason": "its process was killed"}),
        ("exploited", {"trial": "0000", "donor": "0001", "checkpoint": "iter_20", "iter": 20, "changes": {"lr": 0.2},
                       "draw": {"x": 0.2}, "base": {"x": 0.1}, "schedule": [{"iter": 20, "values": {"lr": 0.2}}]}),
        ("judged", {"trial": "0000", "iter": 20, "reason": "stopped by ASHA at iteration 20"}),
        ("something new", {"trial": "0000"}),
    )  # fmt: skip
    trial = standing.trials["0000"]
    assert trial.failures == ["its process was killed"]
    assert trial.status == "proposed"
    assert trial.judged
    assert trial.results == {}, "they are of a model that is gone"
    assert trial.lineage == [{"iter": 20, "donor": "0001", "checkpoint": "iter_20", "changes": {"lr": 0.2}}]
    assert (trial.draw, trial.base, trial.schedule) == (
        {"x": 0.2}, {"x": 0.1}, [{"iter": 20, "values": {"lr": 0.2}}]
    )  # fmt: skip
    assert trial.takeover is not None
    standing.take({"event": "took_over", "trial": "0000", "number": 1})
    assert trial.takeover is None


def test_files_say_how_it_stands(tmp_path: Path) -> None:
    standing = written(
        tmp_path, proposed(0, **{"model.x": 0.5}), result(0, 10, 0.25), ended(0), proposed(1, **{"model.x": 0.75})
    )
    space = Space(Config({"model": {"x": uniform(0, 1)}}))
    files = SweepFiles(tmp_path, space, {"metric": "mIoU", "mode": "max", "command": "x --token=abcdefgh1234"})
    files.write(standing)
    facts = read_sweep(tmp_path)
    assert facts["best"] == {"trial": "0000", "value": 0.25, "iter": 10, "draw": {"model.x": 0.5}}
    assert "abcdefgh1234" not in json.dumps(facts)
    rows = list(csv.DictReader((tmp_path / "trials.csv").read_text().splitlines()))
    assert [(row["trial"], row["status"], row["mIoU"], row["model.x"]) for row in rows] == [
        ("0000", "finished", "0.25", "0.5"),
        ("0001", "proposed", "", "0.75"),
    ]


def test_the_best_configs_are_exported(tmp_path: Path) -> None:
    for number in range(3):
        folder = tmp_path / "trials" / f"{number:04d}"
        folder.mkdir(parents=True)
        (folder / "config.py").write_text(f"model = dict(type='Segmentor', x={number})\n")
    written(tmp_path, *[event for n in range(3) for event in (proposed(n), result(n, 10, n / 10))])
    paths = export_best(tmp_path, 2)
    assert [path.name for path in paths] == ["best_01_0002.py", "best_02_0001.py"]
    assert paths[0].read_text() == (
        '# Trial 0002: mIoU 0.2 at iteration 10.\n#   x = 0.5\nmodel = dict(type="Segmentor", x=2)\n'
    )


def test_nothing_to_export(tmp_path: Path) -> None:
    written(tmp_path, proposed(0))
    with pytest.raises(ConfigError, match="no trial has a score yet"):
        export_best(tmp_path, 1)
