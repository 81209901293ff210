"""WSDLR: warm up, stay, decay at the end; a run that goes on longer just stays longer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from rayseg.optim.schedule import ParamScheduler

Shape = Literal["linear", "cosine", "sqrt", "exponential"]


@dataclass(kw_only=True, eq=False, repr=False)
class WSDLR(ParamScheduler):
    """Up to ``lr`` over ``warmup`` counts, ``lr`` until the last ``decay`` counts of the window, then down.

    In count ``t`` of the warm-up the factor is ``(t + 1) / warmup``. With ``p = d / decay`` in count ``d`` of the
    decay, from 0 on, it is, for an ``end_factor`` ``e``: ``1 - (1 - e) * p`` (linear), ``e + (1 - e) * (1 +
    cos(pi * p)) / 2`` (cosine), ``1 - (1 - e) * sqrt(p)`` (sqrt), ``e ** p`` (exponential).

    Sources: Hu et al., MiniCPM, 2024 (arXiv 2404.06395), which decays exponentially; Hägele et al., Scaling Laws and
    Compute-Optimal Training Beyond Fixed Training Durations, 2024 (arXiv 2405.18392), for the square root and a decay
    of 10 to 20 %.

    To train longer, resume with a larger ``max_iters`` from a checkpoint before the decay.

    Args:
        warmup: counts of the warm-up; 0 has none.
        decay: counts of the decay; ``decay_ratio`` of the window when None.
        decay_ratio: from 0 to 1.
        decay_shape: its curve.
        end_factor: the factor to which the decay leads, from 0 to 1; above 0 for an exponential one.
    """

    warmup: int = 0
    decay: int | None = None
    decay_ratio: float = 0.1
    decay_shape: Shape = "sqrt"
    end_factor: float = 0.0

    counted: ClassVar[tuple[str, ...]] = ("warmup", "decay")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.warmup < 0:
            self.refuse("warmup", "at least 0")
        if self.decay is not None and self.decay < 0:
            self.refuse("decay", "at least 0")
        for name in ("decay_ratio", "end_factor"):
            if not 0 <= getattr(self, name) <= 1:
                self.refuse(name, "a number from 0 to 1")
        if self.decay_shape not in get_args(Shape):
            self.refuse("decay_shape", f"one of {', '.join(get_args(Shape))}")
        if self.decay_shape == "exponential" and not self.end_factor > 0:
            self.refuse("end_factor", "a number above 0, such as 0.1, to which an exponential decay can lead")

    def at(self, step: int) -> tuple[float, float]:
        """The factor of the warm-up times that of the decay."""
        scale = (step + 1) / self.warmup if step < self.warmup else 1.0
        decay = self._decay_counts()
        since = step - (self.length - decay)
        return (scale * self._left(since / decay) if since > 0 else scale), 1.0

    def misfit(self) -> str | None:
        """ParamScheduler's, or that the warm-up and the decay leave no count at the full value."""
        first_full = max(self.warmup, 1) - 1
        if (found := super().misfit()) or (first_full < self.length and self.at(first_full)[0] >= 1):
            return found
        spans = f"warmup={self.warmup} and a decay of {self._decay_counts()} in a window of {self.length}"
        return f"has {spans} {self.unit}s, so it never reaches the full {self.param_name}"

    def _decay_counts(self) -> int:
        return round(self.decay_ratio * self.length) if self.decay is None else self.decay

    def _left(self, progress: float) -> float:
        """The factor of the decay; ``progress`` is from 0 to below 1."""
        if self.decay_shape == "exponential":
            return self.end_factor**progress
        gone = {"linear": progress, "cosine": (1 - math.cos(math.pi * progress)) / 2, "sqrt": math.sqrt(progress)}
        return 1.0 - (1.0 - self.end_factor) * gone[self.decay_shape]
