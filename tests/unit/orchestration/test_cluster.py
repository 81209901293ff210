"""What a worker asks of Ray, and whether so many of them can ever be placed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rayseg.config.settings import Scaling
from rayseg.core.errors import ConfigError
from rayseg.orchestration import cluster
from rayseg.orchestration.cluster import _require, asked, names_a_cluster, require_gpu, require_local


@pytest.mark.parametrize(
    ("scaling", "gpus", "expected"),
    [
        ({}, 0, {"CPU": 1}),
        ({}, 2, {"CPU": 1, "GPU": 1}),
        ({"use_gpu": False}, 2, {"CPU": 1}),
        ({"use_gpu": True}, 0, {"CPU": 1, "GPU": 1}),
        ({"resources_per_worker": {"CPU": 4}}, 0, {"CPU": 4}),
        ({"resources_per_worker": {"CPU": 4, "GPU": 0.5}}, 1, {"CPU": 4, "GPU": 0.5}),
        ({"resources_per_worker": {"GPU": 1, "CPU": 0}}, 1, {"GPU": 1}),
        ({"resources_per_worker": {"CPU": 0}}, 0, {}),
        ({"resources_per_worker": {"CPU": 1, "slot": 1}}, 0, {"CPU": 1, "slot": 1}),
    ],
)
def test_what_a_worker_asks_for(scaling: dict[str, Any], gpus: int, expected: dict[str, float]) -> None:
    assert asked(Scaling(**scaling), gpus) == expected


NODES = [{"CPU": 4.0}, {"CPU": 2.0, "GPU": 1.0}]


def fits(workers: int, each: dict[str, float], nodes: list[dict[str, float]], **scaling: Any) -> bool:
    try:
        _require(Scaling(num_workers=workers, **scaling), each, nodes, "the cluster")
    except ConfigError:
        return False
    return True


@pytest.mark.parametrize(
    ("each", "most"),
    [
        ({"CPU": 1}, 6),
        ({"CPU": 2}, 3),
        ({"CPU": 3}, 1),
        ({"CPU": 5}, 0),
        ({"CPU": 1, "GPU": 1}, 1),
        ({"GPU": 0.5}, 2),
        ({"CPU": 1, "slot": 1}, 0),
    ],
)
def test_how_many_fit(each: dict[str, float], most: int) -> None:
    """A worker's resources must be on one node."""
    assert [n for n in range(1, 9) if fits(n, each, NODES)] == [*range(1, most + 1)]


@pytest.mark.parametrize(("strategy", "most"), [("PACK", 6), ("SPREAD", 6), ("STRICT_PACK", 4), ("STRICT_SPREAD", 2)])
def test_how_many_fit_by_strategy(strategy: str, most: int) -> None:
    assert [n for n in range(1, 9) if fits(n, {"CPU": 1}, NODES, strategy=strategy)] == [*range(1, most + 1)]


@settings(deadline=None)
@given(st.integers(1, 30))
def test_fractions_fill_a_node(parts: int) -> None:
    assert fits(parts, {"CPU": 1 / parts}, [{"CPU": 1.0}])
    assert not fits(parts + 1, {"CPU": 1 / parts}, [{"CPU": 1.0}])


def test_workers_that_ask_for_nothing_fit_anywhere() -> None:
    assert fits(5, {}, [{"CPU": 1.0}])


def test_what_is_said() -> None:
    with pytest.raises(ConfigError) as caught:
        _require(Scaling(num_workers=9), {"CPU": 2.0}, NODES, "the cluster")
    assert str(caught.value) == (
        "scaling.num_workers: 9 workers of 2 CPU each cannot be placed: the cluster has 6 CPU, room for 3; "
        "use --workers 3, a smaller scaling.resources_per_worker, or train with --local"
    )


def test_fewer_workers_are_no_advice_where_none_fits() -> None:
    with pytest.raises(ConfigError) as caught:
        _require(Scaling(num_workers=1), {"CPU": 1, "GPU": 1}, [{"CPU": 2.0}], "this machine")
    assert "this machine has 2 CPU, 0 GPU, room for 0" in str(caught.value)
    assert "--workers" not in str(caught.value)


def test_a_strict_strategy_is_named() -> None:
    with pytest.raises(ConfigError, match=r"room for 2 by scaling.strategy='STRICT_SPREAD'"):
        _require(Scaling(num_workers=3, strategy="STRICT_SPREAD"), {"CPU": 1}, NODES, "the cluster")


def test_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "cores", lambda: 2)
    monkeypatch.setattr(cluster, "local_gpus", lambda: 0)
    require_local(Scaling(num_workers=2))
    with pytest.raises(ConfigError, match=r"3 workers of 1 CPU each .* this machine has 2 CPU, room for 2"):
        require_local(Scaling(num_workers=3))
    with pytest.raises(ConfigError, match="1 workers of 1 CPU, 1 GPU each"):
        require_local(Scaling(use_gpu=True))


@pytest.mark.parametrize(("use_gpu", "gpus"), [(None, 0), (False, 0), (True, 1)])
def test_a_gpu_for_a_run_in_this_process(monkeypatch: pytest.MonkeyPatch, use_gpu: bool | None, gpus: int) -> None:
    monkeypatch.setattr(cluster, "local_gpus", lambda: gpus)
    require_gpu(Scaling(use_gpu=use_gpu))


def test_no_gpu_for_a_run_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "local_gpus", lambda: 0)
    with pytest.raises(ConfigError, match=r"scaling.use_gpu: True, but torch sees no GPU"):
        require_gpu(Scaling(use_gpu=True))


@pytest.mark.parametrize(("address", "named"), [("", False), ("10.0.0.1:6379", True), ("auto", True), (None, False)])
def test_a_named_cluster(monkeypatch: pytest.MonkeyPatch, address: str | None, named: bool) -> None:
    if address is None:
        monkeypatch.delenv("RAY_ADDRESS", raising=False)
    else:
        monkeypatch.setenv("RAY_ADDRESS", address)
    assert names_a_cluster() == named
