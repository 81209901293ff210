"""Driver: the process that owns a sweep. It proposes trials, follows Ray Tune, and writes down how the sweep stands."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rayseg.core.errors import ConfigError, RaysegError
from rayseg.data.home import rayseg_home
from rayseg.orchestration.cluster import actor_here
from rayseg.orchestration.source import CONFIG_FILE
from rayseg.orchestration.stop import StopRequest
from rayseg.tuning.exploiting import Exploits
from rayseg.tuning.journal import Journal
from rayseg.tuning.launching import Launch, TuneArguments, one_line
from rayseg.tuning.life import SweepArguments
from rayseg.tuning.mailbox import HeardMailbox
from rayseg.tuning.pbt import PBT
from rayseg.tuning.problem import SweepProblem
from rayseg.tuning.repeats import Repeat, wanted_repeats
from rayseg.tuning.report import write_sweep_report
from rayseg.tuning.results import SweepFiles, SweepResult, best_of, trial_row
from rayseg.tuning.schedulers import Scheduler
from rayseg.tuning.standing import ENDED, Standing, TrialState
from rayseg.tuning.table import SweepConsole
from rayseg.tuning.tracked import SweepRun
from rayseg.tuning.trial_dir import close_trial, make_trial_dir, prune_trial, trial_dir

LOGGER = logging.getLogger(__name__)
LOOK_SECONDS = 0.2
WRITE_SECONDS = 2.0


@dataclass
class Driver:
    """Runs one launch of a sweep.

    Attributes:
        resources: what each worker of a trial asks for.
        limit: trials at the same time.
        trial_facts: for each trial's ``run.json``.
        tracked: the sweep itself at its trackers.
    """

    problem: SweepProblem
    sweep_dir: Path
    resources: dict[str, float]
    limit: int
    journal: Journal
    standing: Standing
    files: SweepFiles
    console: SweepConsole
    trial_facts: Mapping[str, Any]
    tracked: SweepRun

    def __post_init__(self) -> None:
        self._changed = True
        self._written_at = 0.0
        self._lock = threading.RLock()
        self._stopping = ""
        self._best_name = ""
        self.exploits: Exploits | None = None

    def run(self, lines: Sequence[Mapping[str, Any]], stop: StopRequest) -> SweepResult:
        """Go through the trials to the end or a stop.

        Args:
            lines: of the journal before this launch.
            stop: asked for the sweep's end.
        """
        from rayseg.tuning.mailbox import SweepMailbox

        self._note("launch", command=self.files.facts["command"])
        self.mailbox: Any = actor_here(SweepMailbox)
        self.exploits = self._exploiting()
        self._began = time.monotonic()
        judge = self._judge(lines, self.problem.scheduler)
        self._settle()
        self.console.start(self.sweep_dir, self.files.facts, self.standing)
        self.tracked.start()
        error = self._go_through(judge, self.standing.searched(), self._propose, stop)
        if error is None and not self._stopping and self.problem.settings.seeds:
            self._repeats = self._wanted_repeats()
            error = self._go_through(self._judge(lines, None), self.standing.repeats(), self._propose_repeat, stop)
        return self._ended(error)

    def _judge(self, lines: Iterable[Mapping[str, Any]], scheduler: Scheduler | None) -> Any:
        """It learns what the journal has; for repeats without a scheduler."""
        from rayseg.tuning.judging import Judge

        tune = self.problem.settings
        rule = scheduler.build(tune.metric, self.problem.mode, self.problem.max_iters) if scheduler else None
        name = type(scheduler).__name__ if scheduler else ""
        parts = tune.metric, rule, self._note_after, self._end, name, self.problem.max_iters
        judge = self.exploits.judge(*parts) if self.exploits is not None and rule is not None else Judge(*parts)
        judge.replay(lines)
        return judge

    def _exploiting(self) -> Exploits | None:
        """What population based training needs besides a judge."""
        if not isinstance(self.problem.scheduler, PBT):
            return None
        mailbox: Any = HeardMailbox(self.mailbox)
        exploits = Exploits(self.problem, self.sweep_dir, self.standing, self._note, mailbox)
        exploits.go_on()
        return exploits

    def _go_through(
        self, judge: Any, trials: Sequence[TrialState], propose: Callable[[], str | None], stop: StopRequest
    ) -> BaseException | None:
        """Run the trials that are not over yet, then those that are proposed; what Ray Tune failed with, if it did."""
        from rayseg.tuning.failing import NoteTrialFailures
        from rayseg.tuning.proposals import Proposals

        waiting = [trial.name for trial in trials if trial.status not in ENDED]
        self.proposals = Proposals(waiting, propose, self.limit)
        failures = NoteTrialFailures(self._note_after, self.sweep_dir)
        retries = self.problem.settings.max_failures
        launch = Launch(TuneArguments(self.proposals, judge, failures, self._arguments(), self.resources, retries))
        try:
            self._follow(launch, stop)
        except KeyboardInterrupt:  # a second Ctrl-C: what runs is not waited for
            self._stop("interrupted")
        except BaseException:  # a full disk: who shares this Ray is not left with trials
            self._stop("the driver has failed")
            raise
        finally:
            launch.clear()
        return launch.error

    def _arguments(self) -> SweepArguments:
        return SweepArguments(
            sweep_dir=self.sweep_dir,
            mailbox=self.mailbox,
            metric=self.problem.settings.metric,
            worker_resources=self.resources if self.problem.is_nested else None,
            directory=os.getcwd(),
            home=str(rayseg_home()),
            facts=self.trial_facts,
        )

    def _follow(self, launch: Launch, stop: StopRequest) -> None:
        """Look after the sweep until Ray Tune is done: events, files, the terminal, the wish to stop."""
        budget = self.problem.settings.time_budget
        ends_at = self._began + budget if budget is not None else float("inf")
        ended = False
        while not ended:
            ended = launch.wait(LOOK_SECONDS)
            self._hear()
            if stop.reason is not None:
                self._stop(stop.reason)
            elif time.monotonic() > ends_at:
                self._stop(f"the time budget of {budget:g} s is spent")
            self._write()

    def _hear(self) -> None:
        """Write down what trials have told."""
        import ray

        with self._lock:
            for event in ray.get(self.mailbox.drain.remote()):
                self._note(event.pop("event"), **event)

    def _note_after(self, event: str, **facts: Any) -> None:
        """As ``_note``, after what trials told before: that one has begun does not come after that it has ended."""
        self._hear()
        self._note(event, **facts)

    def _stop(self, reason: str) -> None:
        """Propose no more, and let what runs save and end."""
        if not self._stopping:
            self._stopping = reason
            self.proposals.stop()
            self.mailbox.request_stop.remote(reason)

    def _end(self, trial: str, reason: str) -> None:
        import ray

        ray.get(self.mailbox.request_end.remote(trial, reason))

    def _propose(self) -> str | None:
        """The name of the next trial, journaled first, its directory made; one whose config is wrong has failed."""
        while not self._stopping and (number := len(self.standing.searched())) < self.problem.total:
            draw = self.problem.searcher.propose(number, self.problem.space, self.standing.searched())
            name = f"{number:04d}"
            self._note("proposed", trial=name, number=number, draw=draw)
            if self._made(self.standing.trials[name]):
                return name
        return None

    def _wanted_repeats(self) -> list[Repeat]:
        tune, problem = self.problem.settings, self.problem
        return wanted_repeats(
            problem.space, self.standing, tune.metric, problem.mode,
            seeds=tune.seeds or [], best_k=tune.best_k, baseline=problem.baseline,
        )  # fmt: skip

    def _propose_repeat(self) -> str | None:
        """The name of the next repeat that there is not yet."""
        while not self._stopping and self._repeats:
            repeat = self._repeats.pop(0)
            if repeat.name in self.standing.trials:
                continue
            facts = {"draw": repeat.draw, "repeat_of": repeat.of, "seed": repeat.seed}
            self._note("proposed", trial=repeat.name, number=len(self.standing.trials), **facts)
            if self._made(self.standing.trials[repeat.name]):
                return repeat.name
        return None

    def _settle(self) -> None:
        """Bring in order what an earlier driver left: judged trials have ended, missing directories are made."""
        for trial in self.standing.unfinished():
            if trial.judged:
                self._note("ended", trial=trial.name, status="stopped", iter=trial.last_iter, reason=trial.reason)
            elif not (trial_dir(self.sweep_dir, trial.name) / CONFIG_FILE).is_file():
                self._made(trial)

    def _made(self, trial: TrialState) -> bool:
        """Whether the trial's directory could be made."""
        try:
            make_trial_dir(self.problem, self.sweep_dir, trial.name, trial.base, trial.seed, trial.schedule)
        except ConfigError as error:
            self._note("ended", trial=trial.name, status="failed", iter=0, reason=str(error).replace("\n", "; "))
            return False
        return True

    def _note(self, event: str, **facts: Any) -> None:
        """Write an event down and follow it."""
        with self._lock:
            line = self.journal.write(event, **facts)
            self.standing.take(line)
            self._changed = True
            self.console.event(line, self.standing)
            self.tracked.take(line)
        if self.exploits is not None and event in ("took_over", "ended"):
            self.exploits.follow(line)
        if event == "ended":
            close_trial(trial_dir(self.sweep_dir, facts["trial"]), facts["status"], facts.get("reason") or "")
        if event == "ended" and facts["status"] in ENDED:
            self._prune(facts["trial"])

    def _prune(self, name: str) -> None:
        """Of a trial that is over, keep what is pinned, and the newest checkpoint of the best trial so far."""
        best = best_of(self.standing, self.problem.settings.metric, self.problem.mode)
        best_name = best["trial"] if best else ""
        for loser in {name, self._best_name} - {best_name, ""}:
            if self.standing.trials[loser].status in ENDED:
                try:
                    prune_trial(trial_dir(self.sweep_dir, loser))
                except (RaysegError, OSError) as error:  # it costs room, and need not end the sweep
                    LOGGER.warning("trial %s: its old checkpoints were not removed: %s", loser, error)
        self._best_name = best_name

    def _write(self, *, now: bool = False) -> None:
        if now or (self._changed and time.monotonic() - self._written_at > WRITE_SECONDS):
            self._changed, self._written_at = False, time.monotonic()
            with self._lock:
                self.files.write(self.standing)
                self.console.update(self.standing, self.files.facts)

    def _ended(self, error: BaseException | None) -> SweepResult:
        metric, mode = self.problem.settings.metric, self.problem.mode
        for trial in self.standing.unfinished():
            if trial.status == "running":  # its process died with the launch
                self._note(
                    "ended", trial=trial.name, status="interrupted", iter=trial.last_iter, reason="the sweep ended"
                )
        best = best_of(self.standing, metric, mode)
        is_interrupted = bool(self._stopping) and not self._stopping.startswith("the time budget")
        status: Any = "interrupted" if is_interrupted else "failed" if best is None or error is not None else "finished"
        text = one_line(error) if error is not None else None
        if status == "failed" and text is None:
            text = self._why_no_score()
        self.files.facts.update(status=status, error=text, finished=time.time(), stopping=self._stopping or None)
        if best is not None:
            best["config"] = str(self.files.write_best(best))
        self._write(now=True)
        if (problem := write_sweep_report(self.problem.config, self.sweep_dir)) is not None:
            self.console.note(problem, is_trouble=True)
        rows = [trial_row(trial, metric, mode) for trial in self.standing.trials.values()]
        result = SweepResult(
            self.sweep_dir, status, metric, best, trials=rows, seeds=self.files.facts["seeds"], error=text
        )
        self.tracked.finish(status, text, self.standing.trials)
        self.console.finish(result, self.standing)
        return result

    def _why_no_score(self) -> str:
        reasons = [trial.reason for trial in self.standing.trials.values() if trial.reason]
        return f"no trial gave a {self.problem.settings.metric}" + (f"; the first one: {reasons[0]}" if reasons else "")
