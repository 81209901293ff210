"""What the verbs return: small, with everything that a script or ``--json`` wants to know."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

Status = Literal["finished", "interrupted", "failed"]
JobStatus = Literal["pending", "running", "succeeded", "failed", "stopped"]


class _Result:
    def as_dict(self) -> dict[str, Any]:
        """JSON values; paths as text."""
        return {key: _plain(value) for key, value in asdict(self).items()}  # type: ignore[call-overload]


@dataclass(frozen=True)
class RunResult(_Result):
    """How a training run ended.

    Attributes:
        run_dir: the run directory.
        status: ``interrupted`` means asked to stop, with its state saved.
        iter: completed iterations.
        metrics: the last validation's numbers, fractions.
        best: metric to ``{"value", "iter"}``.
        error: what ended a failed run and where, whole, on one line; ``log.txt`` has the traceback.
    """

    run_dir: Path
    status: Status
    iter: int
    metrics: dict[str, Any] = field(default_factory=dict)
    best: dict[str, dict[str, Any]] = field(default_factory=dict)
    error: str | None = None


@dataclass(frozen=True)
class TestResult(_Result):
    """The scores of a checkpoint on the test data.

    Attributes:
        path: the JSON file that holds them.
        checkpoint: the checkpoint's name.
        images: how many were tested.
        metrics: the numbers, fractions.
    """

    __test__ = False

    path: Path
    checkpoint: str
    images: int
    metrics: dict[str, Any]


@dataclass(frozen=True)
class SyncResult(_Result):
    """What was sent of a run.

    Attributes:
        run_dir: the run directory.
        destination: where to, without secrets.
        lines: lines of ``metrics.jsonl`` that were missing there.
        pictures: pictures that were missing there.
        run_id: the run's name at the destination, where it has one.
    """

    run_dir: Path
    destination: str
    lines: int
    pictures: int
    run_id: str | None = None


@dataclass(frozen=True)
class PredictResult(_Result):
    """Where predictions are.

    Attributes:
        out: the directory.
        checkpoint: the checkpoint's name.
        masks: one PNG of class indices for each image, with the palette.
        overlays: one picture for each image, with legend.
    """

    out: Path
    checkpoint: str
    masks: list[Path]
    overlays: list[Path]


@dataclass(frozen=True)
class JobResult(_Result):
    """A job on a cluster, as its job server tells of it.

    Attributes:
        job: its name, the submission id.
        address: the job server.
        status: ``stopped`` means that somebody asked it to end.
        exit_code: of ``rayseg`` in the job; 130 for a job that was stopped, None for one that has not ended.
        command: what it runs.
        message: the server's own line about it.
        started: seconds since 1970.
        ended: seconds since 1970, None before the end.
    """

    job: str
    address: str
    status: JobStatus
    exit_code: int | None
    command: str
    message: str = ""
    started: float | None = None
    ended: float | None = None


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
