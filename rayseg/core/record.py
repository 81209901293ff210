"""Records: what a worker publishes and the owner process writes down."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["scalars", "image", "event", "log"]


@dataclass(frozen=True)
class Record:
    """One small message from a worker to the owner process; at most 64 kB when pickled.

    Attributes:
        kind: ``scalars`` is one line of ``metrics.jsonl``; ``image`` names a picture file that the rank has written
            (``data={"path", "tag"}``, the path relative to the run directory); ``event`` is a fact about the run
            (``name`` says which: ``attempt``, ``restored``, ``checkpoint``, ``best``, ``warning`` ...);
            ``log`` is a line of text (``data={"level", "message"}``).
        mode: ``train``, ``val`` or ``test`` for scalars and images, empty otherwise.
        iter: completed iterations when the record was made.
        epoch: completed passes over the training data.
        time: seconds since the Unix epoch.
        data: JSON values only: numbers, strings, lists and dicts of them.
    """

    kind: Kind
    iter: int
    epoch: int
    time: float
    mode: str = ""
    name: str = ""
    data: dict[str, Any] = field(default_factory=dict)

    def as_line(self) -> dict[str, Any]:
        """The record as one object of ``metrics.jsonl`` (scalars only)."""
        return {"mode": self.mode, "iter": self.iter, "epoch": self.epoch, "time": self.time, **self.data}
