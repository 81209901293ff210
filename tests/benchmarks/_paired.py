"""What the benchmarks share: timings taken in turn, and a report that ends with an exit code.

The machine's speed drifts, so two things are never timed one after the other: each repetition times both, and the
figure is the median of the repetitions' ratios.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version

Timed = Callable[[], object]


@dataclass(frozen=True)
class Paired:
    """Seconds of the subject and of what it is measured against, repetition by repetition."""

    subject: list[float]
    baseline: list[float]

    def without_first(self) -> Paired:
        """All but the first repetition, which warmed up."""
        return Paired(self.subject[1:], self.baseline[1:])

    @property
    def ratio(self) -> float:
        """Median of the repetitions' ratios."""
        return statistics.median(a / b for a, b in zip(self.subject, self.baseline, strict=True))

    @property
    def difference(self) -> float:
        """Median of the repetitions' differences, seconds."""
        return statistics.median(a - b for a, b in zip(self.subject, self.baseline, strict=True))

    @property
    def undisturbed(self) -> float:
        """Difference of the fastest tenths, seconds: what is left of the difference when no neighbour interferes."""
        subject, baseline = (sorted(side)[len(side) // 10] for side in (self.subject, self.baseline))
        return subject - baseline

    @property
    def spread(self) -> tuple[float, float]:
        """The ratios between which the middle half of the repetitions lies: how noisy the machine was."""
        ratios = sorted(a / b for a, b in zip(self.subject, self.baseline, strict=True))
        return ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4]


def seconds(timed: Timed, calls: int = 1) -> float:
    """Seconds of one call, the mean of ``calls`` of them."""
    begin = time.perf_counter()
    for _ in range(calls):
        timed()
    return (time.perf_counter() - begin) / calls


def in_turn(subject: Timed, baseline: Timed, *, repetitions: int, calls: int = 1, warm_up: int = 1) -> Paired:
    """Time both in each repetition, by turns the one and the other first."""
    for _ in range(warm_up):
        subject(), baseline()
    pairs = Paired([], [])
    for repetition in range(repetitions):
        order = [(pairs.subject, subject), (pairs.baseline, baseline)]
        for results, timed in order if repetition % 2 else reversed(order):
            results.append(seconds(timed, calls))
    return pairs


class Report:
    """Prints figures as they come; ``exit_code`` is 1 when any bound was broken.

    Args:
        title: what is measured.
        packages: whose versions belong to the figures.
    """

    def __init__(self, title: str, *packages: str) -> None:
        self.exit_code = 0
        versions = ", ".join(f"{name} {version(name)}" for name in packages)
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        print(title)
        print(
            f"  {cores} cores, {platform.machine()}, {platform.system()}, "
            f"Python {platform.python_version()}, {versions}"
        )

    def ratio(self, name: str, pairs: Paired, bound: float, *, slack: float = 0.0) -> None:
        """A ratio that must not be above ``bound``, unless the difference is at most ``slack`` seconds."""
        low, high = pairs.spread
        kept = pairs.ratio <= bound or (slack > 0 and pairs.difference <= slack)
        subject, baseline = statistics.median(pairs.subject), statistics.median(pairs.baseline)
        print(f"  {name}: {_shown(subject)} against {_shown(baseline)}, difference {_shown(pairs.difference)}")
        print(
            f"    ratio {pairs.ratio:.3f} (middle half {low:.3f} to {high:.3f} of {len(pairs.subject)}), "
            f"bound {bound:g}{f' or +{_shown(slack)}' if slack else ''}: {'kept' if kept else 'BROKEN'}"
        )
        self.exit_code |= not kept

    def require(self, name: str, holds: bool, found: str) -> None:
        """Something that must be so for the figures to mean anything."""
        print(f"  {name}: {found}: {'kept' if holds else 'BROKEN'}")
        self.exit_code |= not holds

    def note(self, text: str) -> None:
        """A figure without a bound."""
        print(f"  {text}")


def _shown(value: float) -> str:
    if abs(value) < 1e-3:
        return f"{value * 1e6:.1f} µs"
    return f"{value * 1e3:.3f} ms" if abs(value) < 1 else f"{value:.2f} s"


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch computes in one thread, so that a busy neighbour costs both sides the same."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
