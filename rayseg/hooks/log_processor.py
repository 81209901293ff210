"""LogProcessor: from the message hub's windows to the numbers of one line, the same on every rank."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import torch

from rayseg.core import distributed
from rayseg.core.errors import ConfigError, did_you_mean
from rayseg.core.randomness import derive_seed

if TYPE_CHECKING:
    from rayseg.config.settings import LogProcessorSettings
    from rayseg.engine.message_hub import MessageHub, ScalarHistory

RENAMED = {"time": "iter_time"}
STATISTICS = ("current", "mean", "min", "max")
KEYS = ("data_src", "method_name", "window_size", "log_name")
SINCE = ("global", "epoch")


class LogProcessor:
    """What ``log_processor`` says, applied to the scalars of training.

    Args:
        settings: the section.
        hub: keeps windows as long as they are needed, and totals where a window has no end.
    """

    def __init__(self, settings: LogProcessorSettings, hub: MessageHub) -> None:
        self.window_size = settings.window_size
        self._mean_pattern = re.compile(settings.mean_pattern)
        self._custom = settings.custom_cfg
        self._totals = {}
        sizes = [self.window_size]
        for index, item in enumerate(self._custom):
            size = item.get("window_size")
            if size in SINCE:
                self._totals[index] = hub.keep_totals(f"train/{_source(item)}", size)
            elif size is not None:
                sizes.append(size)
        hub.widen(max(sizes))
        self._hub = hub

    def numbers(self, notes: dict[str, float], group: Any = None) -> dict[str, float]:
        """The scalars of training by the name that they have in a line, means over ranks. A collective.

        Args:
            notes: what this rank noted for this line alone; a scalar of the same name hides it.
            group: the process group.

        Raises:
            ConfigError: ``custom_cfg`` names a scalar that nothing writes.
        """
        local = dict(notes)
        for key, history in self._hub.log_scalars.items():
            mode, _, name = key.partition("/")
            if mode == "train" and name != "lr":
                smoothed = self._mean_pattern.search(name)
                local[RENAMED.get(name, name)] = history.mean(self.window_size) if smoothed else history.current()
        for index, item in enumerate(self._custom):
            local[_log_name(item)] = self._statistic(index, item)
        return mean_over_ranks(local, group)

    def custom_names(self) -> list[str]:
        """The names in a line that ``custom_cfg`` gives."""
        return [_log_name(item) for item in self._custom]

    def _statistic(self, index: int, item: dict[str, Any]) -> float:
        history, method = self._history(_source(item)), item["method_name"]
        if (totals := self._totals.get(index)) is not None:
            return totals.get(method)
        return history.current() if method == "current" else getattr(history, method)(item.get("window_size"))

    def _history(self, name: str) -> ScalarHistory:
        scalars = self._hub.log_scalars
        if f"train/{name}" not in scalars:
            known = [key.removeprefix("train/") for key in scalars if key.startswith("train/")]
            raise ConfigError(
                f"log_processor.custom_cfg: nothing writes the scalar {name!r}{did_you_mean(name, known)}; "
                f"there are {', '.join(known)}"
            )
        return scalars[f"train/{name}"]


def check_log_processor(settings: LogProcessorSettings, by_epoch_loop: bool) -> None:
    """Refuse what could not be computed.

    Raises:
        ConfigError: naming the key.
    """
    try:
        re.compile(settings.mean_pattern)
    except re.error as error:
        raise ConfigError(f"log_processor.mean_pattern: {settings.mean_pattern!r} is no pattern: {error}") from None
    names: set[str] = set()
    for index, item in enumerate(settings.custom_cfg):
        key = f"log_processor.custom_cfg.{index}"
        _check_custom(item, key)
        if item.get("window_size") == "epoch" and not by_epoch_loop:
            raise ConfigError(f"{key}.window_size: an iteration loop has no epochs; say 'global' or a number")
        if (name := _log_name(item)) in names:
            raise ConfigError(f"{key}.log_name: {name!r} is there already; give each its own log_name")
        names.add(name)


def _check_custom(item: dict[str, Any], key: str) -> None:
    for name in item:
        if name not in KEYS:
            raise ConfigError(f"{key}.{name}: no such key; there are {', '.join(KEYS)}{did_you_mean(name, KEYS)}")
    for name in ("data_src", "method_name"):
        if not isinstance(item.get(name), str):
            raise ConfigError(f"{key}.{name}: expected a name, found {item.get(name)!r}")
    if not isinstance(item.get("log_name"), str | None):
        raise ConfigError(f"{key}.log_name: expected a name, found {item['log_name']!r}")
    method, window = item["method_name"], item.get("window_size")
    if method not in STATISTICS:
        hint = did_you_mean(method, STATISTICS)
        raise ConfigError(f"{key}.method_name: expected one of {', '.join(STATISTICS)}, found {method!r}{hint}")
    if window is None or window in SINCE:
        is_wrong = False
    else:
        is_wrong = isinstance(window, bool) or not isinstance(window, int) or window < 1
    if is_wrong:
        hint = did_you_mean(window, SINCE) if isinstance(window, str) else ""
        raise ConfigError(
            f"{key}.window_size: expected a number of iterations, at least 1, 'global' or 'epoch', "
            f"found {window!r}{hint}"
        )
    if method == "current" and window is not None:
        raise ConfigError(f"{key}.window_size: the current value has no window; leave it out")


def _source(item: dict[str, Any]) -> str:
    return str(item["data_src"]).removeprefix("train/")


def _log_name(item: dict[str, Any]) -> str:
    name = str(item.get("log_name") or _source(item))
    return RENAMED.get(name, name)


def mean_over_ranks(local: dict[str, float], group: Any = None) -> dict[str, float]:
    """Means by name, sorted, over the ranks that have the name.

    Two small all-reduces where all ranks have the same names, one where none has any.
    """
    names = sorted(local)
    if distributed.get_world_size() == 1:
        return {name: float(local[name]) for name in names}
    fingerprint = derive_seed(*names)
    agreed = distributed.all_reduce(torch.tensor([fingerprint, -fingerprint]), "max", group)
    if agreed[0] == -agreed[1]:
        if not names:
            return {}
        values = torch.tensor([local[name] for name in names], dtype=torch.float64)
        means = distributed.all_reduce(values, "mean", group).tolist()
        return dict(zip(names, means, strict=True))
    everyone = distributed.gather_objects(local, group)
    columns = {name: [one[name] for one in everyone if name in one] for name in sorted(set().union(*everyone))}
    return {name: sum(values) / len(values) for name, values in columns.items()}
