"""kill -9 of the process that records: the resumed run's numbers are those of a run that was never killed."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

OWNER = Path(__file__).with_name("owner_process.py")


def strict(path: Path) -> list[dict[str, Any]]:
    """The lines of a file by a strict parser."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return [json.loads(line, parse_constant=refuse) for line in path.read_text().splitlines()]


def numbers(run_dir: Path) -> list[str]:
    """metrics.jsonl without times, as text: the order of lines and keys counts."""
    lines = strict(run_dir / "metrics.jsonl")
    return [json.dumps({key: value for key, value in line.items() if key != "time"}) for line in lines]


def check(run_dir: Path, whole: Path) -> None:
    assert numbers(run_dir) == numbers(whole)
    for moved in run_dir.glob("metrics.attempt_*.jsonl"):
        assert strict(moved)
    found, wanted = (json.loads((directory / "run.json").read_text()) for directory in (run_dir, whole))
    for key in ("status", "iter", "epoch", "best", "last_checkpoint", "error"):
        assert found[key] == wanted[key], key
    assert not [path for path in run_dir.iterdir() if path.name.startswith(".")], "temporary files are left"
    log = (run_dir / "log.txt").read_bytes()
    assert log.endswith(b"\n")


@pytest.mark.parametrize(("seed", "runs"), [(1, 50), pytest.param(2, 300, marks=pytest.mark.slow)])
def test_killed_between_any_two_lines_of_code_or_inside_a_write(tmp_path: Path, seed: int, runs: int):
    done = subprocess.run(
        [sys.executable, str(OWNER), "sweep", str(tmp_path / "runs"), str(seed), str(runs)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert sum(sum(result["kills"]) for result in results) >= runs, "most of them were killed"
    for result in results:
        assert result["finished"], result
        assert result["before"] in ("", "running", "finished")
        try:
            check(tmp_path / "runs" / result["run"], tmp_path / "runs" / "whole")
        except AssertionError as error:
            error.add_note(f"killed at {result['moments']}, seed {seed}")
            raise


def test_killed_from_outside_at_random_records(tmp_path: Path):
    draw = random.Random(0)
    command = [sys.executable, str(OWNER), "run"]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    subprocess.run([*command, str(tmp_path / "whole")], check=True, stdin=subprocess.DEVNULL, capture_output=True)
    for _ in range(6):
        with subprocess.Popen([*command, str(tmp_path / "broken")], **pipes) as owner:
            for _ in range(draw.randint(1, 12)):
                owner.stdout.readline()
                owner.stdin.write("go\n")
                owner.stdin.flush()
            owner.kill()  # it is somewhere in the next record
        assert owner.returncode == -signal.SIGKILL
    subprocess.run([*command, str(tmp_path / "broken")], check=True, stdin=subprocess.DEVNULL, capture_output=True)
    check(tmp_path / "broken", tmp_path / "whole")


LIMITED = """
import resource, sys
from pathlib import Path
from rayseg.core.record import Record
from rayseg.tracking.recorder import RunRecorder

recorder = RunRecorder(Path(sys.argv[1]))
recorder.start({"name": "full"})
recorder.restore(0, "train", [])
recorder.record(Record("event", 0, 0, 0.0, name="attempt", data={"attempt": 1, "start_from": None}))
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, resource.RLIM_INFINITY))
try:
    for at in range(1, 1000):
        recorder.record(Record("scalars", at, 0, 0.0, mode="train", data={"loss": 1 / at}))
except Exception as error:
    recorder.finish("failed", str(error))
    print(type(error).__name__, error)
"""


def test_a_file_that_may_not_grow_gives_one_error_and_stays_whole(tmp_path: Path):
    """The system itself refuses the bytes, in the middle of a line."""
    done = subprocess.run([sys.executable, "-c", LIMITED, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout.startswith("RecordingError ")
    assert f"{tmp_path}/" in done.stdout
    assert "cannot be written: File too large; what was recorded before is kept" in done.stdout
    lines = strict(tmp_path / "metrics.jsonl")
    assert [line["iter"] for line in lines] == list(range(1, len(lines) + 1))
    assert len(lines) > 10
    assert json.loads((tmp_path / "run.json").read_text())["status"] == "failed"
    log = (tmp_path / "log.txt").read_bytes()
    assert log.endswith(b"\n")
    assert len(log) <= 5000
