"""Population: Ray Tune's rule of population based training, and the judge that carries out what it decides.

The rule compares all trials once all of them have come to the same iteration, so what it decides does not depend on
which of them was faster. What Ray Tune itself would do then (save, pause, restore) does not know of our checkpoints;
nothing of it is used. A trial that waits for the others waits in its own process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ray.tune.schedulers import PopulationBasedTraining, TrialScheduler
from ray.tune.schedulers.pbt import _PBTTrialState

from rayseg.tuning.judging import Judge

Donors = list[tuple[str, int]]


@dataclass(eq=False)
class Member:
    """A trial as Ray Tune's rule sees it."""

    name: str
    finished: bool = False
    status: str = field(default="RUNNING", init=False)

    @property
    def experiment_tag(self) -> str:
        """The name."""
        return self.name

    def is_finished(self) -> bool:
        """Whether it is no more part of the population."""
        return self.finished


class Population(PopulationBasedTraining):
    """Says of each trial whom it should take over from, whenever all have come to a comparison.

    Attributes:
        waiting: trials that have come to a comparison, and wait for the others.
        decided: of the trials that were compared, until somebody takes it out: (trial, iteration of its checkpoint) of
            those that it should take over from; empty for one that goes on.
        is_whole: asked with the names that are known: whether the population has no other member.
    """

    def __init__(
        self,
        *,
        metric: str,
        mode: str,
        perturbation_interval: int,
        quantile_fraction: float,
        burn_in: int,
        last_iter: int,
    ) -> None:
        super().__init__(
            time_attr="iter",
            metric=metric,
            mode=mode,
            perturbation_interval=perturbation_interval,
            burn_in_period=burn_in,
            quantile_fraction=quantile_fraction,
            custom_explore_fn=lambda config: config,
            log_config=False,
            synch=True,
        )
        self.waiting: set[str] = set()
        self.decided: dict[str, Donors] = {}
        self.is_whole: Callable[[Iterable[str]], bool] = lambda names: True
        self._last_iter = last_iter
        self._members: dict[str, Member] = {}
        self._absent = self._added(Member("absent"))

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """A trial belongs to the population from now on."""
        self._members[trial.trial_id] = self._added(Member(trial.trial_id))

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """A validation; what follows from it is in ``waiting`` and ``decided``."""
        self.decided.pop(trial.trial_id, None)
        if result["iter"] < self._last_iter:
            self._look(self._members[trial.trial_id], result)
        return TrialScheduler.CONTINUE

    def finish(self, name: str) -> None:
        """A trial has ended; nobody waits for it any more."""
        if name not in self._members:
            return
        self._members[name].finished = True
        self.waiting.discard(name)
        if self.waiting:
            waits = self._members[min(self.waiting)]
            self._look(waits, self._state(waits.name).last_result)

    def forget_checkpoint(self, name: str) -> None:
        """A trial has no checkpoint of the comparison that it has come to."""
        self._state(name).last_checkpoint = None

    def get_trials(self) -> list[Member]:
        """Asked by Ray Tune's rule: who is compared."""
        return [member for member in self._members.values() if not member.finished]

    def get_live_trials(self) -> list[Member]:
        """Asked by Ray Tune's rule: who is waited for."""
        return self.get_trials() if self.is_whole(self._members) else [*self.get_trials(), self._absent]

    def _look(self, member: Member, result: dict[str, Any]) -> None:
        super().on_trial_result(self, member, result)  # type: ignore[arg-type]

    def _added(self, member: Member) -> Member:
        self._trial_state[member] = _PBTTrialState(member)  # type: ignore[index,arg-type]
        return member

    def _state(self, name: str) -> Any:
        return self._trial_state[self._members[name]]  # type: ignore[index]

    def _save_trial_state(self, state: Any, time: int, result: dict[str, Any], trial: Any) -> Any:
        """Called by Ray Tune's rule for a trial that has come to a comparison."""
        if trial.name not in self.waiting:
            self.waiting.add(trial.name)
            state.last_checkpoint = time
        return super()._save_trial_state(state, time, result, trial)

    def _checkpoint_or_exploit(
        self, trial: Any, tune_controller: Any, upper_quantile: list[Any], lower_quantile: list[Any]
    ) -> None:
        """Called by Ray Tune's rule for each trial that it has compared."""
        kept = [(one.name, self._state(one.name).last_checkpoint) for one in upper_quantile]
        self.decided[trial.name] = [each for each in kept if each[1] is not None] if trial in lower_quantile else []
        self.waiting.discard(trial.name)


class Exploiting(Protocol):
    """Carries out what the rule decides."""

    def is_whole(self, names: Iterable[str]) -> bool:
        """Whether every trial that is to be compared is among these."""

    def hold(self, trial: str, at: int) -> bool:
        """Let a trial wait, and hold on to its checkpoint of this iteration; False when there is none."""

    def exploit(self, trial: str, donors: Donors) -> int | None:
        """Let a trial take over from one of ``donors``; at what iteration, None if from none."""

    def release(self, trials: list[str]) -> None:
        """Let trials go on."""


class PopulationJudge(Judge):
    """The judge of a population. A trial that takes over from another one gives that one's iteration once more."""

    def __init__(self, *args: Any, exploits: Exploiting) -> None:
        super().__init__(*args)
        self._exploits = exploits
        self._rule.is_whole = exploits.is_whole

    def replay(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """As ``Judge``; then do what an earlier driver had decided, and not begun, when it was killed."""
        super().replay(lines)
        for name in self._rule.waiting:
            self._hold(name)
        self._carry_out()

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """As ``Judge``; what follows may concern other trials too, which wait."""
        answer = super().on_trial_result(tune_controller, trial, result)
        self._carry_out()
        return answer

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """A trial has ended by itself."""
        super().on_trial_complete(tune_controller, trial, result)
        if result.get("status") != "interrupted":
            self._finish(trial.trial_id)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """A trial has failed for good."""
        self._finish(trial.trial_id)

    def _finish(self, name: str) -> None:
        self._rule.finish(name)
        self._carry_out()

    def _replay(self, line: Mapping[str, Any]) -> None:
        super()._replay(line)
        if line["event"] == "exploited":
            self._seen[line["trial"]] = line["iter"] - 1
            self._rule.decided.pop(line["trial"], None)
        elif line["event"] == "ended" and line["status"] != "interrupted":
            self._rule.finish(line["trial"])

    def _act(self, name: str, at: int, decision: str) -> None:
        if name in self._rule.waiting or name in self._rule.decided:
            self._hold(name)

    def _hold(self, name: str) -> None:
        if not self._exploits.hold(name, self._seen[name]):
            self._rule.forget_checkpoint(name)

    def _carry_out(self) -> None:
        """What the rule has decided; the trials go on."""
        decided, self._rule.decided = self._rule.decided, {}
        for name, donors in decided.items():
            at = self._exploits.exploit(name, donors) if donors else None
            if at is not None:
                self._seen[name] = at - 1
        if decided:
            self._exploits.release(list(decided))
