"""ProfilerHook: what it writes, when it ends, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rayseg.core.errors import ConfigError
from tests.unit.engine.training import At, Run, build, epochs, iterations, train


def profiled(work_dir: Path, train_cfg: dict[str, Any], *more: Any, **options: Any) -> Run:
    return train(
        work_dir,
        *more,
        train_cfg=train_cfg,
        custom_hooks=[{"type": "ProfilerHook", **options}],
        param_scheduler=None,
        val_dataloader=None,
    )


def steps(path: Path) -> set[str]:
    events = json.loads(path.read_text())["traceEvents"]
    return {event["name"] for event in events if event.get("name", "").startswith("ProfilerStep")}


def traces(work_dir: Path, folder: str = "profile") -> list[Path]:
    return sorted((work_dir / folder).glob("*.pt.trace.json"))


def test_the_first_iterations_are_in_the_run_directory(tmp_path: Path) -> None:
    profiled(tmp_path, iterations(4), profile_times=2)
    (path,) = traces(tmp_path)
    assert path.name.startswith("rank_0000.")
    assert "aten::conv2d" in path.read_text()


def test_a_schedule_chooses_iterations(tmp_path: Path) -> None:
    schedule = {"wait": 1, "warmup": 1, "active": 2, "repeat": 1}
    profiled(tmp_path, iterations(6), profile_times=5, schedule=schedule, on_trace_ready={"type": "tb_trace"})
    (path,) = traces(tmp_path)
    assert steps(path) == {"ProfilerStep#2", "ProfilerStep#3"}


def test_a_table_in_the_log(tmp_path: Path) -> None:
    run = profiled(tmp_path, iterations(2), profile_times=1, on_trace_ready={"type": "log_trace", "row_limit": 3})
    assert any("CPU total" in record.data["message"] for record in run.records if record.kind == "log")
    assert not (tmp_path / "profile").exists()


def test_a_trace_where_one_wants_it(tmp_path: Path) -> None:
    profiled(tmp_path, epochs(2), by_epoch=True, profile_times=1, json_trace_path="mine/trace.json")
    assert "aten::conv2d" in (tmp_path / "mine" / "trace.json").read_text()


def test_other_ranks_are_not_profiled(tmp_path: Path) -> None:
    profiled(tmp_path, iterations(2), profile_times=1, ranks=[1])
    assert traces(tmp_path) == []


def test_it_ends_with_a_run_that_fails(tmp_path: Path) -> None:
    def fail(runner: Any) -> None:
        raise RuntimeError("of a test")

    with pytest.raises(RuntimeError, match="of a test"):
        profiled(tmp_path, iterations(9), At("before_train_iter", 2, fail), profile_times=9)
    assert len(traces(tmp_path)) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by_epoch": True}, "by_epoch: True in an iteration loop would profile the whole run; use False"),
        ({"profile_times": 5}, "profile_times: 5 of a run of 4 iterations"),
        ({"profile_times": 3, "schedule": {"wait": 2, "active": 2}}, "its first round ends after 4 iterations, so"),
        ({"schedule": {"wiat": 1, "active": 2}}, "schedule.wiat: .*did you mean 'wait'"),
        ({"on_trace_ready": {"type": "tb"}}, "on_trace_ready.type: expected 'tb_trace' or 'log_trace', found 'tb'"),
        ({"on_trace_ready": {"type": "tb_trace", "dir": "x"}}, "tb_trace takes no 'dir'"),
        ({"activity_with_cpu": False, "activity_with_cuda": False}, "nothing is noted"),
        ({"schedule": {"active": 1}, "json_trace_path": "x"}, "leave one of both out"),
    ],
)
def test_what_it_refuses(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(
            tmp_path, train_cfg=iterations(4), custom_hooks=[{"type": "ProfilerHook", **options}], param_scheduler=None
        ).runner.train()
