"""Sweep directories as a driver leaves them, made in milliseconds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.unit.reporting.run_dirs import make_run

START = 1000.0
WRAPPER = {"name": "optim_wrapper", "key": "optim_wrapper", "kind": "choice", "options": ["sgd", "adam"]}
SGD_LR = {
    "name": "optim_wrapper[sgd].optimizer.lr", "key": "optim_wrapper.optimizer.lr",
    "kind": "loguniform", "low": 1e-3, "high": 1e-1, "q": None,
}  # fmt: skip
ADAM_LR = {
    "name": "optim_wrapper[adam].optimizer.lr", "key": "optim_wrapper.optimizer.lr",
    "kind": "loguniform", "low": 1e-4, "high": 1e-2, "q": None,
}  # fmt: skip
DIMENSIONS = [WRAPPER, SGD_LR, ADAM_LR]


def sgd(lr: float) -> dict[str, Any]:
    return {"optim_wrapper": "sgd", SGD_LR["name"]: lr}


def adam(lr: float) -> dict[str, Any]:
    return {"optim_wrapper": "adam", ADAM_LR["name"]: lr}


def sweep_facts(**facts: Any) -> dict[str, Any]:
    return {
        "uid": "1", "name": "sweep", "experiment": "toy", "status": "finished", "error": None, "metric": "mIoU",
        "mode": "max", "total": 3, "max_iters": 60, "searcher": {"type": "Random"},
        "scheduler": {"type": "ASHA", "grace_iters": 20}, "space": {"size": None, "dimensions": DIMENSIONS},
        "started": START, "launched": START, "finished": START + 100, "updated": START + 100, "seeds": None,
        "versions": {"torch": "2.9"}, "command": "rayseg tune toy.py", "host": "here", **facts,
    }  # fmt: skip


def trial(
    name: str, draw: Mapping[str, Any], scores: Mapping[int, Any], status: str = "finished", reason: str = ""
) -> list[dict[str, Any]]:
    """The journal's lines of one trial: it begins 10 s after its number × 10, and has a result each second."""
    number = int(name) if name.isdigit() else 0
    begin = START + 10 * (number + 1)
    lines = [
        {"event": "proposed", "time": begin - 1, "trial": name, "number": number, "draw": draw},
        {"event": "started", "time": begin, "trial": name, "host": "here", "pid": 1},
    ]
    for second, (at, score) in enumerate(scores.items(), start=1):
        values = score if isinstance(score, dict) else {"aAcc": 0.9, "mIoU": score}
        lines.append({"event": "result", "time": begin + second, "trial": name, "iter": at, "values": values})
    if status not in ("running", "proposed"):
        last = max(scores, default=0)
        end = {"event": "ended", "time": begin + 9, "trial": name, "status": status, "iter": last, "reason": reason}
        lines.append(end)
    return lines


LAUNCH = {"event": "launch", "time": START, "command": "rayseg tune toy.py"}
JOURNAL = [
    LAUNCH,
    *trial("0000", sgd(0.02), {20: 0.5, 40: 0.75, 60: 0.7}),
    *trial("0001", adam(0.002), {20: 0.25}, "stopped", "stopped by ASHA at iteration 20"),
    *trial("0002", sgd(0.09), {}, "failed", "ValueError: too fast"),
]


def make_sweep(
    path: Path, journal: Sequence[Mapping[str, Any]] = JOURNAL, runs: Sequence[str] = (), **facts: Any
) -> Path:
    """A sweep directory; ``runs`` are the trials that have a run directory of their own."""
    path.mkdir(parents=True)
    (path / "journal.jsonl").write_text("".join(json.dumps(line) + "\n" for line in journal))
    (path / "sweep.json").write_text(json.dumps(sweep_facts(**facts)))
    for name in runs:
        make_run(path / "trials" / name, world_size=1, hardware={"cpu": "Fast CPU", "cores": 4})
    return path
