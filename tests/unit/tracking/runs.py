"""A run to record: what its workers publish, and checkpoints between the records."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rayseg.core.record import Record


def train(at_iter: int, time: float = 0.0, **data: Any) -> Record:
    return Record("scalars", at_iter, at_iter // 10, time, mode="train", data={"loss": 1 / (at_iter + 3), **data})


def val(at_iter: int, time: float = 0.0, **data: Any) -> Record:
    scores = {"mIoU": 1 - 1 / (at_iter + 2), "IoU.land": 0.1 + at_iter * 1e-9, "IoU.water": float("nan")}
    return Record("scalars", at_iter, at_iter // 10, time, mode="val", data={**scores, **data})


def event(name: str, at_iter: int = 0, time: float = 0.0, /, **data: Any) -> Record:
    return Record("event", at_iter, 0, time, name=name, data=data)


def attempt(number: int, start_from: str | None = None, **data: Any) -> Record:
    facts = {"world_size": 2, "threads": 1, "seed": 7, "max_iters": 300, "max_epochs": None, "reason": ""}
    return event("attempt", attempt=number, start_from=start_from, **{**facts, **data})


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint between two records: it holds those before it, and carries the last of them."""

    iter: int
    phase: str
    carried: list[Record]


def read(path: Path) -> list[dict[str, Any]]:
    """The lines of a file by a strict JSON parser."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return [json.loads(line, parse_constant=refuse) for line in path.read_text().splitlines()]


def without_times(lines: list[dict[str, Any]]) -> list[str]:
    """Lines as text, so that the order of keys counts, without their times."""
    return [json.dumps({key: value for key, value in line.items() if key != "time"}) for line in lines]
