"""Host: the small interface between the engine and whoever runs it (this process, Ray Train, a trial)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch

from rayseg.core.record import Record


class Host(Protocol):
    """Where a Runner runs. The engine knows nothing else of its surroundings.

    Attributes:
        rank: this process among the run's, 0 to ``world_size - 1``.
        world_size: processes that train together.
        device: where the model lives.
        reason: why the worker group was started again (empty for the first one).
    """

    rank: int
    world_size: int
    device: torch.device
    reason: str

    def start_from(self) -> str | None:
        """Path of a checkpoint outside the run to begin with when the run has none of its own, or None."""

    def publish(self, record: Record) -> None:
        """Hand a record to the owner process; never blocks on it."""

    def stop_reason(self) -> str | None:
        """Why the run should save and end, or None; cheap enough to ask at each validation batch."""

    def end_reason(self) -> str | None:
        """Why the training should end at the next control point, as finished, or None."""

    def wants_checkpoint(self) -> bool:
        """Whether a checkpoint should be written soon, since a machine may go away; True once for each notice."""


class LocalHost:
    """This process is worker and owner at once: no Ray, no process group unless one is already up.

    Args:
        publish: receives each record of rank 0 at once.
        device: where the model lives; a GPU when there is one and None is given.
        stop: why the run should save and end, or None; asked at control points and validation batches.
        end: why the training should end, as finished, or None; asked at control points.
        notices: how often it was said so far that this machine may go away; asked at control points.
    """

    def __init__(
        self,
        publish: Callable[[Record], None] | None = None,
        device: torch.device | str | None = None,
        stop: Callable[[], str | None] | None = None,
        end: Callable[[], str | None] | None = None,
        notices: Callable[[], int] | None = None,
    ) -> None:
        from rayseg.core.distributed import get_rank, get_world_size

        self.rank = get_rank()
        self.world_size = get_world_size()
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.reason = ""
        self._publish = publish
        self._stop = stop
        self._end = end
        self._notices = notices
        self._noticed = 0

    def start_from(self) -> str | None:
        """Nothing outside the run."""
        return None

    def publish(self, record: Record) -> None:
        """Give the record to the receiver, if any."""
        if self._publish is not None:
            self._publish(record)

    def stop_reason(self) -> str | None:
        """What ``stop`` says."""
        return self._stop() if self._stop is not None else None

    def end_reason(self) -> str | None:
        """What ``end`` says."""
        return self._end() if self._end is not None else None

    def wants_checkpoint(self) -> bool:
        """Whether ``notices`` says more than at the last call."""
        before, self._noticed = self._noticed, self._notices() if self._notices is not None else 0
        return self._noticed > before
