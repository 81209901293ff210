"""Where the time of a run went."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rayseg.reporting.run_data import RunData
from rayseg.reporting.values import as_number, span

NAMES = {
    "data": "waiting for data",
    "forward": "forward",
    "backward": "backward and optimizer",
    "hooks": "hooks",
    "validation": "validation",
    "checkpoint": "checkpoints",
}
OTHER = "other"


@dataclass(frozen=True)
class Part:
    """A part of the time: its place in the palette, its share of the whole (0 to 1)."""

    name: str
    color: int
    seconds: float
    share: float

    @property
    def shown(self) -> str:
        """The seconds in words."""
        return span(self.seconds)


@dataclass(frozen=True)
class TimeSplit:
    """The parts, and what there is to say about them."""

    parts: Sequence[Part]
    total_s: float
    note: str

    @property
    def shown(self) -> str:
        """The whole in words."""
        return span(self.total_s)


def time_split(run: RunData) -> TimeSplit | None:
    """The parts of the first worker's time; what none of them accounts for is ``other``. None when nothing is known."""
    times = {str(name): as_number(value) for name, value in run.mapping("times").items()}
    times = {name: seconds for name, seconds in times.items() if math.isfinite(seconds) and seconds >= 0}
    known = sum(times.values())
    if known <= 0:
        return None
    note = "Measured by the first worker. Other: start-up of the workers, and what no part counts."
    total = run.duration_s
    if run.launched_again or not math.isfinite(total) or total < known:
        total = known
        note = "Measured by the first worker, over all launches; start-up and time between launches are not counted."
    if run.text("device").startswith("cuda"):
        note += " On a GPU a part ends when its work is queued, so the waiting may fall into a later one."
    order = [*NAMES, *sorted(times.keys() - NAMES.keys())]
    parts = [
        Part(NAMES.get(name, name), color % 7, times[name], times[name] / total)
        for color, name in enumerate(order)
        if times.get(name, 0) > 0
    ]
    if total - known > 1e-3 * total:
        parts.append(Part(OTHER, 7, total - known, (total - known) / total))
    return TimeSplit(parts, total, note)
