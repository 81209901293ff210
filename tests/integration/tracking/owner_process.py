"""A process that records a run, as the owner of a real one does; the tests kill it. Run as a script.

    owner_process.py run RUN_DIR        record to the end; a line on stdout for each record, then waits for a line
    owner_process.py sweep ROOT SEED N  N runs, each killed up to three times, at any line of code or inside a write

Both go on where the last checkpoint stands. The workers are in the same process: they make numbers from the iteration
alone, and checkpoints, which they write whole.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from rayseg.core.record import Record
from rayseg.tracking import recorder as recorder_module
from rayseg.tracking.recorder import RunRecorder

ITERS, LOG_EVERY, VAL_EVERY, SAVE_EVERY, CARRIED = 60, 2, 10, 15, 16
TRACED = ("files.py", "metrics_file.py", "run_file.py", "recorder.py", "log_file.py", "json_lines.py")


def scalars(mode: str, at: int) -> Record:
    data = {"loss": 1 / at, "lr": 0.1 / 3 * at} if mode == "train" else {"mIoU": 1 - 1 / at, "IoU.x": float("nan")}
    return Record("scalars", at, at // 20, float(os.getpid()), mode=mode, data=data)


def save(store: Path, at: int, phase: str, recent: list[Record]) -> None:
    temporary = store.with_suffix(".tmp")
    checkpoint = {"iter": at, "phase": phase, "records": [vars(record) for record in recent[-CARRIED:]]}
    temporary.write_text(json.dumps(checkpoint))
    os.replace(temporary, store)


def event(name: str, at: int, /, **data: Any) -> Record:
    return Record("event", at, at // 20, 0.0, name=name, data=data)


def work(store: Path) -> Iterator[Record]:
    """What the workers of an attempt publish; every checkpoint is in the store before its event comes."""
    saved = json.loads(store.read_text()) if store.exists() else {"iter": 0, "phase": "train", "records": []}
    start, recent = saved["iter"], [Record(**record) for record in saved["records"]]
    begun = {
        "attempt": os.getpid(),
        "start_from": f"iter_{start}" if start else None,
        "world_size": 1,
        "max_iters": ITERS,
    }
    yield event("attempt", 0, **begun)
    steps = [("val", start)] if saved["phase"] == "val_due" else []
    for at in range(start + 1, ITERS + 1):
        steps += [("train", at)] if at % LOG_EVERY == 0 else []
        steps += [("save", at)] if at % SAVE_EVERY == 0 else []
        steps += [("val", at)] if at % VAL_EVERY == 0 else []
    for step, at in steps:
        if step == "save":
            save(store, at, "val_due" if at % VAL_EVERY == 0 else "train", recent)
            yield event("checkpoint", at, name=f"iter_{at}", iter=at, bytes=1, seconds=0.0)
            continue
        recent.append(scalars(step, at))
        yield recent[-1]
        if step == "val":
            yield event("best", at, metric="mIoU", value=recent[-1].data["mIoU"], iter=at)


def own(run_dir: Path, report: bool = False) -> None:
    """One owner process's life."""
    store = run_dir.with_suffix(".store")
    recorder = RunRecorder(run_dir)
    recorder.start({"name": "killed"})
    for record in work(store):
        if record.name == "attempt":
            saved = json.loads(store.read_text()) if store.exists() else {"iter": 0, "phase": "train", "records": []}
            recorder.restore(saved["iter"], saved["phase"], [Record(**carried) for carried in saved["records"]])
        recorder.record(record)
        if report:
            print(record.iter, flush=True)
            sys.stdin.readline()
    recorder.finish("finished")


class Tripwire:
    """Counts the lines of Python that the recording runs through, and kills the process at one of them.

    Args:
        kill_at: the line's number; 0 never kills.
        tear: kill inside the next write to a file instead, when half of it is written.
    """

    def __init__(self, kill_at: int, tear: bool = False) -> None:
        self.count, self.kill_at, self.tear = 0, kill_at, tear
        self.write = os.write

    def arm(self) -> None:
        os.write = self.torn_write
        sys.settrace(self.enter)

    def enter(self, frame: FrameType, what: str, argument: Any) -> Any:
        path = Path(frame.f_code.co_filename)
        return self.line if path.parent.name == "tracking" and path.name in TRACED else None

    def line(self, frame: FrameType, what: str, argument: Any) -> Any:
        if what == "line":
            self.count += 1
            if self.count == self.kill_at and not self.tear:
                os.kill(os.getpid(), signal.SIGKILL)
        return self.line

    def torn_write(self, fd: int, data: Any) -> int:
        if self.tear and self.count >= self.kill_at:
            self.write(fd, bytes(data)[: len(data) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        return self.write(fd, data)


def killed(run_dir: Path, kill_at: int, tear: bool) -> bool:
    """Own a run in a child that is killed at a moment; whether it was."""
    pid = os.fork()
    if pid == 0:
        Tripwire(kill_at, tear).arm()
        own(run_dir)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0
    return os.WIFSIGNALED(status)


def sweep(root: Path, seed: int, points: int) -> None:
    """Kill at random moments, up to three times in one run; then let the run come to its end in one child more."""
    recorder_module.collect_facts = dict  # no git for each of hundreds of processes
    os.fsync = lambda fd: None  # what a killed process has written is there without; only power failures need it
    draw = random.Random(seed)
    wire = Tripwire(0)
    wire.arm()
    own(root / "whole")
    sys.settrace(None)
    os.write = wire.write
    results = []
    for number in range(points):
        run_dir = root / f"run_{number}"
        moments = [(draw.randint(1, wire.count), draw.random() < 0.3) for _ in range(draw.randint(1, 3))]
        kills = [killed(run_dir, kill_at, tear) for kill_at, tear in moments]
        valid = json.loads((run_dir / "run.json").read_text())["status"] if (run_dir / "run.json").exists() else ""
        finished = not killed(run_dir, 0, False)
        results.append({"run": run_dir.name, "moments": moments, "kills": kills, "before": valid, "finished": finished})
    print(json.dumps(results))


def main() -> None:
    command, directory, *numbers = sys.argv[1:]
    root = Path(directory)
    if command == "run":
        own(root, report=True)
    elif command == "sweep":
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)
        sweep(root, *map(int, numbers))


if __name__ == "__main__":
    main()
