"""What the driver does without Ray: it proposes, brings a dead driver's sweep in order, and prunes."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import rayseg.tracking.files as files
from rayseg.config import Config
from rayseg.config.settings import TuneSettings
from rayseg.core.errors import ConfigError, Problem
from rayseg.engine.checkpoint_store import CheckpointStore
from rayseg.tracking.files import RecordingError
from rayseg.tracking.run_file import RunFile, read_run
from rayseg.tuning.driver import Driver
from rayseg.tuning.journal import Journal, read_journal
from rayseg.tuning.standing import Standing
from rayseg.tuning.table import SweepConsole
from rayseg.tuning.trial_dir import TrialDirError

from tests.checkpoints import save  # isort: skip

BAD = 13


class Searcher:
    """Draws the trial's number; remembers what it was shown."""

    def __init__(self) -> None:
        self.shown: list[list[str]] = []

    def propose(self, number: int, space: Any, trials: list[Any]) -> dict[str, Any]:
        """See rayseg's."""
        self.shown.append([trial.status for trial in trials])
        return {"x": number}


def problem(total: int = 4, bad: tuple[int, ...] = ()) -> Any:
    """As far as the driver looks at it; the config of a trial whose number is in ``bad`` is wrong."""

    def trial_config(draw: dict[str, Any]) -> Config:
        if draw["x"] in bad:
            raise ConfigError([Problem("unlucky", "x", "tiny.py"), Problem("very", "y")])
        return Config.from_dict({"train_cfg": {"max_iters": draw["x"] + 1}})

    return SimpleNamespace(
        settings=TuneSettings(), space=None, searcher=Searcher(), mode="max", total=total, trial_config=trial_config
    )


MakeDriver = Callable[..., Driver]


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[MakeDriver]:
    """A driver of ``tmp_path``; what it writes is read by the next one that is made."""
    journals = []

    def make(posed: Any) -> Driver:
        journals.append(Journal(tmp_path))
        return Driver(
            problem=posed,
            sweep_dir=tmp_path,
            resources={"CPU": 1},
            limit=1,
            journal=journals[-1],
            standing=Standing(read_journal(tmp_path)),
            files=None,  # type: ignore[arg-type]
            console=SweepConsole(quiet=True),
            trial_facts={},
            tracked=SimpleNamespace(take=lambda line: None),  # type: ignore[arg-type]
        )

    yield make
    for journal in journals:
        journal.close()


def written(sweep_dir: Path) -> list[dict[str, Any]]:
    """The journal without its times."""
    return [{key: value for key, value in line.items() if key != "time"} for line in read_journal(sweep_dir)]


def proposed(number: int) -> dict[str, Any]:
    """Its line."""
    return {"event": "proposed", "trial": f"{number:04d}", "number": number, "draw": {"x": number}}


def test_a_draw_that_is_wrong_has_failed_and_the_next_is_proposed(driver: MakeDriver, tmp_path: Path) -> None:
    found = driver(problem(total=4, bad=(1, 2)))
    assert [found._propose() for _ in range(3)] == ["0000", "0003", None]
    reason = "tiny.py: x: unlucky; y: very"
    failed = {"event": "ended", "status": "failed", "iter": 0, "reason": reason}
    assert written(tmp_path) == [
        proposed(0),
        proposed(1),
        {**failed, "trial": "0001"},
        proposed(2),
        {**failed, "trial": "0002"},
        proposed(3),
    ]
    assert found.problem.searcher.shown[-1] == ["proposed", "failed", "failed"], "a searcher that learns sees it"
    assert sorted(path.name for path in (tmp_path / "trials").iterdir()) == ["0000", "0003"]


def full(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """No room for a file of that name; half of what is written fits."""
    whole, real_open = files.write_all, open

    def write(fd: int, data: bytes) -> None:
        if os.readlink(f"/proc/self/fd/{fd}").endswith(name):
            whole(fd, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        whole(fd, data)

    def opened(path: Any, *arguments: Any, **more: Any) -> Any:
        if str(path).endswith(f".{name}.tmp"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real_open(path, *arguments, **more)

    monkeypatch.setattr(files, "write_all", write)
    monkeypatch.setattr(files, "open", opened, raising=False)


def test_no_room_for_a_trial_is_no_fault_of_its_draw(
    driver: MakeDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as context:
        full(context, "config.py")
        with pytest.raises(TrialDirError, match=r"trials/0000.* cannot be written: No space left on device"):
            driver(problem())._propose()
    assert written(tmp_path) == [proposed(0)], "it has not failed"
    again = driver(problem())
    again._settle()
    assert (tmp_path / "trials" / "0000" / "config.py").is_file()
    assert again._propose() == "0001"


def test_no_room_in_the_journal(driver: MakeDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = driver(problem())
    assert found._propose() == "0000"
    before = (tmp_path / "journal.jsonl").read_bytes()
    with monkeypatch.context() as context:
        full(context, "journal.jsonl")
        with pytest.raises(RecordingError, match=r"journal\.jsonl: cannot be written: No space left on device"):
            found._propose()
    assert (tmp_path / "journal.jsonl").read_bytes() == before
    assert list(found.standing.trials) == ["0000"], "what is not on the disk has not happened"
    assert not (tmp_path / "trials" / "0001").exists()


def test_what_a_dead_driver_left_is_brought_in_order(driver: MakeDriver, tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for number in range(5):
        journal.write("proposed", trial=f"{number:04d}", number=number, draw={"x": number})
    journal.write("result", trial="0000", iter=8, values={"mIoU": 0.5})
    journal.write("judged", trial="0000", iter=8, reason="stopped by ASHA at iteration 8")
    journal.write("result", trial="0001", iter=4, values={"mIoU": 0.4})
    journal.write("ended", trial="0002", status="finished", iter=9, reason="")
    journal.close()
    kept = tmp_path / "trials" / "0001"
    kept.mkdir(parents=True)
    (kept / "config.py").write_text("kept = 1\n")
    before = len(written(tmp_path))
    found = driver(problem(total=5, bad=(4,)))
    found._settle()
    assert written(tmp_path)[before:] == [
        {"event": "ended", "trial": "0000", "status": "stopped", "iter": 8, "reason": "stopped by ASHA at iteration 8"},
        {"event": "ended", "trial": "0004", "status": "failed", "iter": 0, "reason": "tiny.py: x: unlucky; y: very"},
    ]
    assert [trial.name for trial in found.standing.unfinished()] == ["0001", "0003"]
    assert (kept / "config.py").read_text() == "kept = 1\n"
    assert "max_iters" in (tmp_path / "trials" / "0003" / "config.py").read_text()
    assert found._propose() is None


def test_of_losers_only_what_is_pinned_is_kept(driver: MakeDriver, tmp_path: Path) -> None:
    found = driver(problem(total=3))
    stores = {}
    for score in (0.3, 0.9, 0.5):
        name = found._propose()
        assert name is not None
        stores[name] = store = CheckpointStore(tmp_path / "trials" / name / "checkpoints")
        attempt = store.claim_attempt()
        for at in (2, 4, 6):
            save(store, at, attempt)
        store.pin("best_mIoU", "iter_4")
        found._note("result", trial=name, iter=6, values={"mIoU": score})
        found._note("ended", trial=name, status="finished", iter=6, reason="")
    kept = {name: [checkpoint.name for checkpoint in store.list()] for name, store in stores.items()}
    assert kept == {"0000": ["iter_4"], "0001": ["iter_2", "iter_4", "iter_6"], "0002": ["iter_4"]}


def test_checkpoints_that_cannot_be_removed_do_not_end_the_sweep(
    driver: MakeDriver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = driver(problem(total=1))
    assert found._propose() == "0000"
    (tmp_path / "trials" / "0000" / "config.py").write_text("x = (\n")
    found._note("ended", trial="0000", status="failed", iter=0, reason="it was not its day")
    assert "trial 0000: its old checkpoints were not removed" in caplog.text


@pytest.mark.parametrize(
    ("before", "ended", "after"),
    [
        ("running", "failed", ("failed", "why")),
        ("running", "stopped", ("finished", None)),
        ("running", "interrupted", ("interrupted", None)),
        ("failed", "failed", ("failed", "its own words")),
        ("finished", "stopped", ("finished", "its own words")),
    ],
)
def test_a_killed_process_does_not_run_for_ever(
    driver: MakeDriver, tmp_path: Path, before: str, ended: str, after: tuple[str, str | None]
) -> None:
    found = driver(problem(total=1))
    assert found._propose() == "0000"
    run = RunFile(tmp_path / "trials" / "0000" / "run.json")
    run.data.update(status=before, error="its own words")
    run.write()
    found._note("ended", trial="0000", status=ended, iter=3, reason="why")
    facts = read_run(tmp_path / "trials" / "0000")
    assert (facts["status"], facts["error"]) == after
