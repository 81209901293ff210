"""MessageHub: the numbers of this rank between two log lines. Any component writes; LoggerHook reads."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch

from rayseg.engine.current import current_runner

Scalar = float | int | torch.Tensor
Since = Literal["global", "epoch"]


class ScalarHistory:
    """The last values of one scalar. Values on a GPU stay there, so writing never waits for the device.

    Args:
        window: how many values are kept.
    """

    def __init__(self, window: int) -> None:
        self.values: deque[Scalar] = deque(maxlen=window)

    def update(self, value: Scalar) -> None:
        """Append a value; a tensor must have one element, its graph is dropped."""
        if isinstance(value, torch.Tensor) and value.requires_grad:
            value = value.detach()
        self.values.append(value)

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
        """Smallest of the last values; NaN if one of them is."""
        return _extreme(min, self.last(window_size))

    def max(self, window_size: int | None = None) -> float:
        """Largest of the last values; NaN if one of them is."""
        return _extreme(max, self.last(window_size))


def _extreme(function: Callable[[list[float]], float], values: list[float]) -> float:
    return math.nan if any(math.isnan(value) for value in values) else function(values)


class Totals:
    """Count, sum, minimum and maximum of all values, in constant memory; on the device where the values are there."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Forget all values."""
        self.count = 0
        self.sum: Scalar = 0.0
        self.smallest: Scalar = math.inf
        self.largest: Scalar = -math.inf

    def add(self, value: Scalar) -> None:
        """Take one value in."""
        if isinstance(value, torch.Tensor):
            value = value.detach().reshape(()).double()
            self.smallest = torch.minimum(torch.as_tensor(self.smallest, dtype=value.dtype, device=value.device), value)
            self.largest = torch.maximum(torch.as_tensor(self.largest, dtype=value.dtype, device=value.device), value)
        else:
            self.smallest = _extreme(min, [float(self.smallest), float(value)])
            self.largest = _extreme(max, [float(self.largest), float(value)])
        self.sum = self.sum + value
        self.count += 1

    def get(self, method: str) -> float:
        """``mean``, ``min`` or ``max``; NaN when there is no value."""
        if not self.count:
            return math.nan
        return float({"mean": self.sum / self.count, "min": self.smallest, "max": self.largest}[method])

    def state_dict(self) -> list[float]:
        """As plain numbers."""
        return [float(self.count), float(self.sum), float(self.smallest), float(self.largest)]

    def load_state_dict(self, state: list[float]) -> None:
        """Restore what ``state_dict`` returned."""
        self.count = int(state[0])
        self.sum, self.smallest, self.largest = state[1:]


class CountedHistory(ScalarHistory):
    """A history that also knows all its values' totals; ``totals`` may be shared with no other history."""

    def __init__(self, window: int, totals: dict[Since, Totals]) -> None:
        super().__init__(window)
        self.totals = totals

    def update(self, value: Scalar) -> None:
        """Append a value, and count it in."""
        super().update(value)
        for totals in self.totals.values():
            totals.add(value)


def mean_windows(states: list[dict[str, Any]]) -> dict[str, Any]:
    """One state for the ranks of another world: the newest values, each a mean over the ranks that saved ``states``."""
    names = [name for name in states[0]["scalars"] if all(name in state["scalars"] for state in states)]
    scalars = {}
    for name in names:
        newest_first = zip(*(reversed(state["scalars"][name]) for state in states), strict=False)
        scalars[name] = [sum(values) / len(values) for values in newest_first][::-1]
    totals: dict[str, dict[str, list[float]]] = {}
    for name, kinds in states[0].get("totals", {}).items():
        everyone = [state.get("totals", {}).get(name, {}) for state in states]
        totals[name] = {
            kind: [sum(values) / len(values) for values in zip(*(one[kind] for one in everyone), strict=True)]
            for kind in kinds
            if all(kind in one for one in everyone)
        }
    return {"window": states[0]["window"], "scalars": scalars, **({"totals": totals} if totals else {})}


class MessageHub:
    """Scalars by name (``train/loss``, ``train/time``) with a window each, notes for one line, and infos (any value).

    Args:
        window: values kept for each scalar.
    """

    def __init__(self, window: int = 10) -> None:
        self.window = window
        self._totals: dict[str, dict[Since, Totals]] = {}
        self.log_scalars: dict[str, ScalarHistory] = {}
        self.runtime_info: dict[str, Any] = {}
        self._notes: dict[str, Scalar] = {}
        self._resumed: set[str] = set()

    @classmethod
    def get_current_instance(cls) -> MessageHub:
        """The hub of the run that is going on in this thread.

        Raises:
            RaysegError: there is none.
        """
        return current_runner().message_hub

    def widen(self, window: int) -> None:
        """Keep at least ``window`` values of each scalar from now on."""
        if window > self.window:
            self.window = window
            for history in self.log_scalars.values():
                history.values = deque(history.values, maxlen=window)

    def keep_totals(self, key: str, since: Since) -> Totals:
        """Totals of all values that are written under a key from now on; to be asked for before the first."""
        return self._totals.setdefault(key, {}).setdefault(since, Totals())

    def restart_totals(self, since: Since) -> None:
        """Let the totals of a kind begin anew."""
        for totals in self._totals.values():
            if since in totals:
                totals[since].restart()

    def _new_history(self, key: str) -> ScalarHistory:
        totals = self._totals.get(key)
        return ScalarHistory(self.window) if totals is None else CountedHistory(self.window, totals)

    def update_scalar(self, key: str, value: Scalar, count: int = 1, resumed: bool = True) -> None:
        """Note one value.

        Args:
            key: ``mode/name``, such as ``train/loss``.
            value: a number or a tensor with one element.
            count: of how many things ``value`` is the sum; their mean is noted.
            resumed: MM's; every window is saved.
        """
        history = self.log_scalars.get(key)
        if history is None:
            history = self.log_scalars[key] = self._new_history(key)
        history.update(value if count == 1 else value / count)

    def update_scalars(self, scalars: Mapping[str, Any], resumed: bool = True) -> None:
        """Note several values; one may be ``dict(value=..., count=...)``."""
        for key, value in scalars.items():
            if isinstance(value, Mapping):
                self.update_scalar(key, **value)
            else:
                self.update_scalar(key, value)

    def note(self, key: str, value: Scalar) -> None:
        """Note a value for the next line of its mode, and no other; ``key`` is ``mode/name``."""
        self._notes[key] = value.detach() if isinstance(value, torch.Tensor) else value

    def take_notes(self, mode: str) -> dict[str, float]:
        """The notes of a mode by name; they are gone then."""
        taken = [key for key in self._notes if key.startswith(f"{mode}/")]
        return {key.removeprefix(f"{mode}/"): float(self._notes.pop(key)) for key in taken}

    def get_scalar(self, key: str) -> ScalarHistory:
        """The history of a scalar.

        Raises:
            KeyError: it was never written.
        """
        return self.log_scalars[key]

    def update_info(self, key: str, value: Any, resumed: bool = True) -> None:
        """Note something that is no series; the latest value stays.

        Args:
            key: its name.
            value: anything.
            resumed: save it in checkpoints, if it is made of numbers, texts, tensors, lists and dicts.
        """
        self.runtime_info[key] = value
        (self._resumed.add if resumed else self._resumed.discard)(key)

    def update_info_dict(self, info_dict: Mapping[str, Any], resumed: bool = True) -> None:
        """Note several infos."""
        for key, value in info_dict.items():
            self.update_info(key, value, resumed)

    def pop_info(self, key: str, default: Any = None) -> Any:
        """The latest value noted under a key, which is forgotten."""
        self._resumed.discard(key)
        return self.runtime_info.pop(key, default)

    def saved_infos(self) -> dict[str, Any]:
        """The infos that checkpoints are to hold."""
        return {key: self.runtime_info[key] for key in self.runtime_info if key in self._resumed}

    def get_info(self, key: str, default: Any = None) -> Any:
        """The latest value noted under a key."""
        return self.runtime_info.get(key, default)

    def clear(self, prefix: str) -> None:
        """Forget the scalars whose name starts with ``prefix``."""
        for key in [key for key in self.log_scalars if key.startswith(prefix)]:
            del self.log_scalars[key]

    def state_dict(self) -> dict[str, Any]:
        """The windows, totals and notes of this rank, as plain floats."""
        totals = {key: {since: one.state_dict() for since, one in of.items()} for key, of in self._totals.items()}
        return {
            "window": self.window,
            "scalars": {key: history.last() for key, history in self.log_scalars.items()},
            "notes": {key: float(value) for key, value in self._notes.items()},
            **({"totals": totals} if totals else {}),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned."""
        self.widen(state["window"])
        for key, values in state["scalars"].items():
            history = self.log_scalars[key] = self._new_history(key)
            history.values.extend(values)
        self._notes.update(state.get("notes", {}))
        for key, of in state.get("totals", {}).items():
            for since, saved in of.items():
                self.keep_totals(key, since).load_state_dict(saved)
