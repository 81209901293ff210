"""MessageHub: the numbers of this rank between two log lines. Any component writes; LoggerHook reads."""

from __future__ import annotations

from collections import deque
from typing import Any

import torch

Scalar = float | int | torch.Tensor


class ScalarHistory:
    """The last values of one scalar. Values on a GPU stay there, so writing never waits for the device.

    Args:
        window: how many values are kept.
    """

    def __init__(self, window: int) -> None:
        self.values: deque[Scalar] = deque(maxlen=window)

    def update(self, value: Scalar) -> None:
        """Append a value; a tensor must have one element, its graph is dropped."""
        self.values.append(value.detach() if isinstance(value, torch.Tensor) else value)

    def last(self, count: int | None = None) -> list[float]:
        """The last ``count`` values (all that are kept when None) as floats; one transfer if they are tensors."""
        values = list(self.values)[-count:] if count else list(self.values)
        if values and all(isinstance(value, torch.Tensor) for value in values):
            stacked: list[float] = torch.stack([v.reshape(()).double() for v in values]).tolist()  # type: ignore[union-attr]
            return stacked
        return [float(value) for value in values]

    def current(self) -> float:
        """The last value."""
        return self.last(1)[0]

    def mean(self, window_size: int | None = None) -> float:
        """Mean of the last values."""
        values = self.last(window_size)
        return sum(values) / len(values)

    def min(self, window_size: int | None = None) -> float:
        """Smallest of the last values."""
        return min(self.last(window_size))

    def max(self, window_size: int | None = None) -> float:
        """Largest of the last values."""
        return max(self.last(window_size))


def mean_windows(states: list[dict[str, Any]]) -> dict[str, Any]:
    """One state for the ranks of another world: the newest values, each a mean over the ranks that saved ``states``."""
    names = [name for name in states[0]["scalars"] if all(name in state["scalars"] for state in states)]
    scalars = {}
    for name in names:
        newest_first = zip(*(reversed(state["scalars"][name]) for state in states), strict=False)
        scalars[name] = [sum(values) / len(values) for values in newest_first][::-1]
    return {"window": states[0]["window"], "scalars": scalars}


class MessageHub:
    """Scalars by name (``train/loss``, ``train/time``) with a window each, and the latest infos (any value).

    Args:
        window: values kept for each scalar.
    """

    def __init__(self, window: int = 10) -> None:
        self.window = window
        self.log_scalars: dict[str, ScalarHistory] = {}
        self.runtime_info: dict[str, Any] = {}

    def widen(self, window: int) -> None:
        """Keep at least ``window`` values of each scalar from now on."""
        if window > self.window:
            self.window = window
            for history in self.log_scalars.values():
                history.values = deque(history.values, maxlen=window)

    def update_scalar(self, key: str, value: Scalar) -> None:
        """Note one value; ``key`` is ``mode/name``, such as ``train/loss``."""
        history = self.log_scalars.get(key)
        if history is None:
            history = self.log_scalars[key] = ScalarHistory(self.window)
        history.update(value)

    def update_scalars(self, scalars: dict[str, Scalar]) -> None:
        """Note several values."""
        for key, value in scalars.items():
            self.update_scalar(key, value)

    def get_scalar(self, key: str) -> ScalarHistory:
        """The history of a scalar.

        Raises:
            KeyError: it was never written.
        """
        return self.log_scalars[key]

    def update_info(self, key: str, value: Any) -> None:
        """Note something that is no series; the latest value stays."""
        self.runtime_info[key] = value

    def get_info(self, key: str, default: Any = None) -> Any:
        """The latest value noted under a key."""
        return self.runtime_info.get(key, default)

    def clear(self, prefix: str) -> None:
        """Forget the scalars whose name starts with ``prefix``."""
        for key in [key for key in self.log_scalars if key.startswith(prefix)]:
            del self.log_scalars[key]

    def state_dict(self) -> dict[str, Any]:
        """The windows of this rank, as plain floats."""
        return {"window": self.window, "scalars": {key: h.last() for key, h in self.log_scalars.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned."""
        self.widen(state["window"])
        for key, values in state["scalars"].items():
            history = self.log_scalars[key] = ScalarHistory(self.window)
            history.values.extend(values)
