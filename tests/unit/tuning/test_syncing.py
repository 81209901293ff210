"""Syncing a sweep: bad input in one line, and which trials are behind at a sweep's end."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from rayseg.core.errors import ConfigError
from rayseg.tracking.delivery import Delivery
from rayseg.tuning import syncing
from rayseg.tuning.syncing import deliver_rest, is_behind, sync_sweep

OPEN = "from rayseg.search import choice\nmodel = dict(type='Segmentor', width=choice([8, 16]))\n"


def sweep(path: Path) -> Path:
    path.mkdir()
    (path / "journal.jsonl").write_text('{"event": "launch", "time": 1, "command": "tune"}\n')
    (path / "sweep.json").write_text(
        '{"uid": "a", "metric": "mIoU", "mode": "max", "status": "running", "error": null}'
    )
    (path / "config.py").write_text(OPEN)
    return path


def test_no_sweep(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"no sweep directory: it has no journal\.jsonl"):
        sync_sweep(tmp_path, "mlflow")


def test_an_unknown_destination(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"--to mlfow: expected mlflow, wandb, tensorboard.*mlflow"):
        sync_sweep(sweep(tmp_path / "s"), "mlfow")


def test_a_damaged_sweep(tmp_path: Path):
    path = sweep(tmp_path / "s")
    (path / "sweep.json").write_text("{")
    with pytest.raises(ConfigError, match=r"sweep\.json is missing or damaged"):
        sync_sweep(path, "mlflow")


def test_an_override_that_is_wrong(tmp_path: Path):
    with pytest.raises(ConfigError, match="tracking_urri"):
        sync_sweep(sweep(tmp_path / "s"), "mlflow", overrides=["trackers.mlflow.tracking_urri=http://h"])


def ended(path: Path, status: str = "finished", **told: str | None) -> Path:
    path.mkdir(parents=True)
    (path / "run.json").write_text(json.dumps({"status": status}))
    for kind, known in told.items():
        kind, _, place = kind.partition("_")
        delivery = Delivery(path, kind, place)
        delivery.status = known
        delivery.save()
    return path


def test_which_trials_are_behind(tmp_path: Path):
    two = Counter(["mlflow", "wandb"])
    assert not is_behind(tmp_path / "never begun", two)
    assert not is_behind(ended(tmp_path / "a", mlflow="finished", wandb="finished"), two)
    assert is_behind(ended(tmp_path / "b", mlflow="finished"), two)
    assert is_behind(ended(tmp_path / "c", mlflow=None, wandb="finished"), two)
    assert is_behind(ended(tmp_path / "d", "failed", mlflow="interrupted", wandb="failed"), two)
    assert not is_behind(ended(tmp_path / "e", "running", mlflow="interrupted", wandb="interrupted"), two)
    both = Counter(["mlflow", "mlflow"])
    assert is_behind(tmp_path / "a", both)
    assert not is_behind(ended(tmp_path / "f", mlflow_one="finished", mlflow_two="finished"), both)
    (tmp_path / "f" / "trackers" / next((tmp_path / "f" / "trackers").iterdir()).name).write_text("{")
    assert is_behind(tmp_path / "f", both)


def test_the_rest_is_told_in_one_line_and_what_is_away_is_asked_once(tmp_path: Path, monkeypatch):
    for name in ("0000", "0001", "0002"):
        ended(tmp_path / "trials" / name, mlflow="finished" if name == "0000" else None)
    asked: list[str] = []

    def sync_all(run_dir: Path, away: syncing.Away) -> bool:
        asked.append(f"{run_dir.name} {sorted(away)}")
        away["mlflow", "http://h"] = "http://h: no answer"
        return False

    monkeypatch.setattr(syncing, "sync_all", sync_all)
    lines: list[str] = []
    deliver_rest(tmp_path, ["0000", "0001", "0002", "0003"], ["mlflow"], lines.append)
    assert asked == ["0001 []", "0002 [('mlflow', 'http://h')]"]
    (line,) = lines
    assert line.startswith("not all of 2 trials has been sent (http://h: no answer); send it with: rayseg sync ")
    assert line.endswith(" --to mlflow")
    deliver_rest(tmp_path, ["0000", "0001"], [], lines.append)
    assert len(asked) == 2, "nothing to do without trackers"


def test_a_trial_that_cannot_be_read_does_not_hold_up_the_others(tmp_path: Path, monkeypatch):
    for name in ("0000", "0001"):
        ended(tmp_path / "trials" / name)
    sent: list[str] = []

    def sync_all(run_dir: Path, away: syncing.Away) -> bool:
        if run_dir.name == "0000":
            raise ConfigError("config.py is gone")
        sent.append(run_dir.name)
        return True

    monkeypatch.setattr(syncing, "sync_all", sync_all)
    lines: list[str] = []
    deliver_rest(tmp_path, ["0000", "0001"], ["wandb"], lines.append)
    assert sent == ["0001"]
    assert "not all of 1 trials has been sent (0000: config.py is gone)" in lines[0]


def test_the_wait_is_bounded(tmp_path: Path, monkeypatch):
    import threading

    ended(tmp_path / "trials" / "0000")
    answers = threading.Event()
    monkeypatch.setattr(syncing, "sync_all", lambda run_dir, away: answers.wait(30))
    monkeypatch.setattr(syncing, "REST_S", 0.05)
    monkeypatch.setattr(syncing, "LAST_S", 0.05)
    lines: list[str] = []
    deliver_rest(tmp_path, ["0000"], ["wandb"], lines.append)
    answers.set()
    assert "there was no answer within 0.05 s" in lines[0]
