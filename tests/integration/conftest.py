"""What the folders have in common whose tests all use one Ray, to which this process is connected."""

from __future__ import annotations

from pathlib import Path

import pytest

ONE_RAY = tuple(Path(__file__).with_name(name) for name in ("orchestration", "tuning"))
# Ray Train makes a ray.data context, which sets options that Ray itself deprecates: use_push_based_shuffle, use_polars.
RAYS_OWN = "ignore:`use_.*` is deprecated:DeprecationWarning"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let Ray's own warnings pass there; every other one is an error."""
    for item in items:
        if item.path.parent in ONE_RAY:
            item.add_marker(pytest.mark.filterwarnings(RAYS_OWN))


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """After the last test of such a folder, disconnect: tests elsewhere are of a process that knows no Ray."""
    if item.path.parent in ONE_RAY and (nextitem is None or nextitem.path.parent != item.path.parent):
        import ray

        ray.shutdown()
