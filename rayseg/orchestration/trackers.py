"""From the ``trackers`` section to trackers, and what is wrong with them before a run begins."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from rayseg.config import Config, config_import_path, resolve_env
from rayseg.core.errors import ConfigError
from rayseg.core.registries import TRACKERS
from rayseg.tracking.console import Console
from rayseg.tracking.follower import Follower
from rayseg.tracking.redact import Redactor
from rayseg.tracking.tracker import Tracker

METHODS = ("start", "write", "flush", "finish")


def build_trackers(config: Config, console: Tracker | None = None) -> list[Tracker]:
    """The config's trackers, the terminal first.

    Args:
        config: the completed config.
        console: what the caller shows the run on; a Console of the config is left out then.

    Raises:
        ConfigError: naming the tracker that cannot be made.
    """
    trackers: list[Tracker] = [console] if console is not None else []
    for name, section in (config.get("trackers") or {}).items():
        if section is None:
            continue
        try:
            with config_import_path(config):
                tracker = TRACKERS.build(resolve_env(section))
        except ConfigError as error:
            raise ConfigError(f"trackers.{name}: {error}") from None
        except Exception as error:  # a class of one's own may raise anything
            cause = "; ".join(f"{type(error).__name__}: {error}".splitlines())
            raise ConfigError(f"trackers.{name}: it cannot be made: {Redactor()(cause)}") from error
        _require_methods(tracker, name)
        if not isinstance(tracker, Console):
            trackers.append(tracker)
        elif console is None:
            trackers.insert(0, tracker)
    return trackers


def _require_methods(tracker: object, name: str) -> None:
    """Refuse what is no tracker: a class of one's own need not be derived from ``Tracker``, but do what it does."""
    missing = [method for method in METHODS if not callable(getattr(tracker, method, None))]
    if missing:
        raise ConfigError(f"trackers.{name}: {type(tracker).__name__} has no {'() and no '.join(missing)}()")


def require_one_store(trackers: Iterable[Tracker], run_dir: Path, nodes: int) -> None:
    """Refuse, on a cluster, a tracker whose files are another one's on each node.

    The run directory is on a file system that all nodes see; what lies on the same one is as good.

    Raises:
        ConfigError: naming the tracker and the path.
    """
    if nodes < 2:
        return
    for tracker in trackers:
        store = tracker.local_store(run_dir) if isinstance(tracker, Follower) else None
        if store is not None and _file_system(store) != _file_system(run_dir):
            raise ConfigError(
                f"{type(tracker).__name__}: {store} is on another file system than the run directory, so each of the "
                f"{nodes} nodes would have its own; leave it out (it is then beside the runs), or name a server"
            )


def _file_system(path: Path) -> int:
    """The device of a path, or of the nearest directory above it that exists."""
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return os.stat(path).st_dev
