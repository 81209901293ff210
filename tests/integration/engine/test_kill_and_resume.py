"""Killed anywhere and resumed equals never killed, bit for bit: weights, average, optimizer, numbers."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from rayseg.core.errors import CheckpointError
from rayseg.engine.checkpoint_store import CheckpointStore
from tests.integration.engine.killing import MOMENTS, KillServer

FACTORS: dict[str, tuple[Any, ...]] = {
    "world": (1, 2, 3),
    "loop": ("iter", "epoch"),
    "accumulate": (1, 3),
    "ema": (False, True),
    "amp": (False, True),
    "loader_workers": (0, 2),
}
TIMES = {"time", "iter_time", "data_time", "eta_s", "samples_per_s", "host_memory_mb"}
CLOCK_WINDOWS = {"train/time", "train/data_time", "val/time", "val/data_time"}


def pairwise(factors: dict[str, tuple[Any, ...]]) -> list[dict[str, Any]]:
    """Few rows in which each value of each factor meets each value of every other; greedy, always the same."""
    names = list(factors)
    rows = [dict(zip(names, values, strict=True)) for values in itertools.product(*factors.values())]

    def pairs(row: dict[str, Any]) -> set[Any]:
        return {((a, row[a]), (b, row[b])) for a, b in itertools.combinations(names, 2)}

    missing = set().union(*(pairs(row) for row in rows))
    chosen = []
    while missing:
        best = max(rows, key=lambda row: len(pairs(row) & missing))
        chosen.append(best)
        missing -= pairs(best)
    return chosen


PAIRWISE = pairwise(FACTORS)
PRODUCT = [dict(zip(FACTORS, values, strict=True)) for values in itertools.product(*FACTORS.values())]


def name_of(options: dict[str, Any]) -> str:
    return "-".join(f"{key}={value}" for key, value in options.items())


@pytest.fixture(scope="module")
def server() -> Iterator[KillServer]:
    server = KillServer()
    yield server
    server.close()


@pytest.fixture(scope="module")
def never_killed(server: KillServer, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The outcome of a configuration's run that nobody disturbs, made once."""
    known: dict[str, dict[str, Any]] = {}

    def outcome(options: dict[str, Any]) -> dict[str, Any]:
        name = name_of(options)
        if name not in known:
            run = tmp_path_factory.mktemp("whole") / "run"
            said = server.run(run, options)
            assert said["statuses"] == [0] * options["world"], said["errors"]
            known[name] = outcome_of(run)
        return known[name]

    return outcome


def outcome_of(run: Path) -> dict[str, Any]:
    """All that must be equal, without clock times."""
    store = CheckpointStore(run / "checkpoints")
    latest = store.latest()
    assert latest is not None
    found: dict[str, Any] = {
        "checkpoints": [checkpoint.name for checkpoint in store.list()],
        "pins": store.pins(),
        "facts": dict(latest.facts),
        "numbers": numbers_of(run),
        "best": json.loads((run / "run.json").read_text())["best"],
    }
    for file in latest.files:
        if file == "model.safetensors":
            found[file] = latest.read(file)
        elif file.endswith(".pt"):
            with latest.open(file) as opened:
                found[file] = torch.load(opened, weights_only=True)
            for window in CLOCK_WINDOWS:
                found[file].get("message_hub", {"scalars": {}})["scalars"].pop(window, None)
    return found


def numbers_of(run: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in TIMES} for line in lines]


def difference(a: Any, b: Any, where: str = "") -> str | None:
    """Where two outcomes first differ, or None."""
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return None if a.dtype == b.dtype and torch.equal(a, b) else where
    if isinstance(a, dict) and isinstance(b, dict):
        if a.keys() != b.keys():
            return f"{where}: {sorted(map(str, a.keys() ^ b.keys()))}"
        return next((found for key in a if (found := difference(a[key], b[key], f"{where}.{key}"))), None)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        if len(a) != len(b):
            return f"{where}: {len(a)} and {len(b)} entries"
        return next(
            (found for i, (x, y) in enumerate(zip(a, b, strict=True)) if (found := difference(x, y, f"{where}[{i}]"))),
            None,
        )
    if isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b):
        return None
    return None if a == b else f"{where}: {a!r:.80} and {b!r:.80}"


def kill_and_resume(server: KillServer, run: Path, options: dict[str, Any], moment: str) -> dict[str, Any]:
    said = server.run(run, options, moment, seed=7)
    assert said["stopped"] == moment, f"the moment never came: {said}"
    assert set(said["statuses"]) == {-9}, said
    for checkpoint in CheckpointStore(run / "checkpoints").list():
        checkpoint.verify()
    said = server.run(run, options)
    assert said["statuses"] == [0] * options["world"], said["errors"]
    return outcome_of(run)


def check(server: KillServer, never_killed: Any, run: Path, options: dict[str, Any], moment: str) -> None:
    expected = never_killed(options)
    outcome = kill_and_resume(server, run, options, moment)
    assert difference(expected, outcome) is None
    seen = [(line["mode"], line["iter"]) for line in outcome["numbers"]]
    assert len(seen) == len(set(seen))


def test_the_table_covers_every_pair_in_at_least_eight_rows() -> None:
    assert len(PAIRWISE) >= 8
    for (a, values_a), (b, values_b) in itertools.combinations(FACTORS.items(), 2):
        assert {(row[a], row[b]) for row in PAIRWISE} == set(itertools.product(values_a, values_b))


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("options", PAIRWISE, ids=name_of)
def test_killed_and_resumed_equals_never_killed(
    server: KillServer, never_killed: Any, tmp_path: Path, options: dict[str, Any], moment: str
) -> None:
    check(server, never_killed, tmp_path / "run", options, moment)


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("options", [row for row in PRODUCT if row not in PAIRWISE], ids=name_of)
def test_the_whole_product(
    server: KillServer, never_killed: Any, tmp_path: Path, options: dict[str, Any], moment: str
) -> None:
    check(server, never_killed, tmp_path / "run", options, moment)


def test_a_store_that_writes_its_manifest_first_fails_this_suite(server: KillServer, tmp_path: Path) -> None:
    options = {**PAIRWISE[0], "world": 1, "store": "ManifestFirst"}
    with pytest.raises(CheckpointError, match=r"iter_\d+: .* (is missing|is not what was written)"):
        kill_and_resume(server, tmp_path / "run", options, "file")
