"""Alarms at control points: what bars a commit, what is still committed, who is told; and two hooks of one class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rayseg.core.errors import RaysegError
from rayseg.engine.control import Agreement, ControlGroup, Finding
from rayseg.engine.hook import Hook
from tests.distributed import run_ranks
from tests.unit.engine.training import build, hooks, iterations, train


class Bell:
    """Notices what it is told to; remembers when it rang."""

    def __init__(self, finding: Finding | None = None) -> None:
        self.finding = finding
        self.rang: list[Finding] = []

    def look(self) -> Finding | None:
        return self.finding

    def ring(self, finding: Finding) -> None:
        self.rang.append(finding)
        if finding.fatal:
            raise RaysegError("of a test")


def agreed(own: list[Any]) -> Any:
    from rayseg.core.distributed import get_rank

    control = ControlGroup()
    control.alarms = [Bell(finding) for finding in own[get_rank()]]
    agreement = control.agree(stop=False, staged_iter=-1, failed=False, end=get_rank() == 1)
    return agreement.end, [finding for _, finding in agreement.findings], [agreement.is_sound(n) for n in (4, 5, 9)]


@pytest.mark.world_size(2)
def test_ranks_learn_the_earliest_and_the_worst() -> None:
    nothing, early, late = None, Finding(5, False), Finding(8, True)
    one, other = run_ranks(agreed, 2, [[nothing, early], [nothing, late]])
    assert one == other == (True, [Finding(5, True)], [True, False, False])


def test_nothing_noticed_is_nothing_told() -> None:
    control = ControlGroup()
    control.alarms = [Bell()]
    assert control.agree(stop=True, staged_iter=3, failed=False) == Agreement(stop=True, staged=True)


@pytest.mark.parametrize(("bad_from", "saved"), [(4, ["iter_2"]), (5, ["iter_2", "iter_4"])])
def test_what_is_older_than_the_trouble_is_still_committed(tmp_path: Path, bad_from: int, saved: list[str]) -> None:
    bell = Bell()

    class Notices(Hook):
        def before_train(self, runner: Any) -> None:
            runner.control.alarms.append(bell)

        def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
            if runner.iter == 4:
                bell.finding = Finding(bad_from, True)

    run = build(
        tmp_path,
        Notices(),
        train_cfg=iterations(8),
        default_hooks=hooks(interval=2),
        env_cfg={"control_interval": 5},
        param_scheduler=None,
    )
    with pytest.raises(RaysegError, match="of a test"):
        run.runner.train()
    assert run.saved == saved
    assert bell.rang == [Finding(bad_from, True)]


class Counts(Hook):
    """Counts by its own step."""

    def __init__(self, step: int) -> None:
        self.step = step
        self.count = 0

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        self.count += self.step

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.count = state["count"]


def test_two_hooks_of_one_class_keep_their_own_state(tmp_path: Path) -> None:
    custom = [{"type": Counts, "step": 1}, {"type": Counts, "step": 10}]
    for max_iters in (3, 5):
        run = train(tmp_path, train_cfg=iterations(max_iters), custom_hooks=custom, param_scheduler=None)
    assert [hook.count for hook in run.runner.hooks if isinstance(hook, Counts)] == [5, 50]
