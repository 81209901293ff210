"""A life of a trial: its run in a thread, which waits after each validation until it is told to go on."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from threading import Semaphore, Thread
from typing import Any

from rayseg.config import Config, config_import_path, settings
from rayseg.core.errors import ConfigError
from rayseg.core.record import Record
from rayseg.engine.build import store_of
from rayseg.engine.owner import RunOwner
from rayseg.models.pretrained import fetch_pretrained
from rayseg.orchestration.draining import Draining
from rayseg.orchestration.results import RunResult
from rayseg.orchestration.source import read_source, resolved
from rayseg.orchestration.stop import StopRequest
from rayseg.orchestration.trackers import build_trackers
from rayseg.orchestration.training import begin_run, carry_out
from rayseg.tracking.console import Console
from rayseg.tracking.json_lines import HEAD, decode_line
from rayseg.tracking.metrics_file import METRICS_FILE, complete_lines
from rayseg.tuning.journal import drawn
from rayseg.tuning.trial_dir import trial_dir

POLL_SECONDS = 0.5
TAKEOVER_SECONDS = 60.0


@dataclass(frozen=True)
class SweepArguments:
    """What every trial of a sweep is given.

    Attributes:
        sweep_dir: absolute; a trial's directory is ``trials/<name>`` below it.
        mailbox: handle of the SweepMailbox actor.
        metric: what trials are compared by.
        worker_resources: what each Ray Train worker asks for; None for trials of one worker, in their own process.
        directory: the driver's current directory, where relative paths of the config begin.
        home: the driver's RAYSEG_HOME.
        facts: for each trial's ``run.json``: the sweep, the data.
    """

    sweep_dir: Path
    mailbox: Any
    metric: str
    worker_resources: dict[str, float] | None
    directory: str
    home: str
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Validation:
    """What a trial gives after a validation: the iteration and its numbers, those of single classes left out."""

    iter: int
    values: dict[str, float]


Wishes = Callable[[], tuple[str | None, str | None]]


class Life:
    """A run of a trial's directory, from its newest checkpoint, if any.

    Args:
        name: of the trial.
        arguments: the sweep's.
        wishes: asked while the run goes on: why it should save and end, why its training should end as finished.
    """

    def __init__(self, name: str, arguments: SweepArguments, wishes: Wishes) -> None:
        self.request = StopRequest()
        self._wishes = wishes
        self._draining = Draining()
        self._results: Queue[Validation | RunResult | BaseException] = Queue()
        self._may_go_on = Semaphore(0)
        self._loss = 0.0
        self._waits = False
        self._name = name
        self._arguments = arguments
        self._thread = Thread(target=self._live, name=f"rayseg-trial-{name}", daemon=True)
        self._thread.start()

    def next(self) -> Validation | RunResult:
        """Go on to the next validation, or to the end.

        Raises:
            Exception: why the run could not begin, or could not write down how it ended.
        """
        self._ask()
        self._go_on()
        while True:
            try:
                found = self._results.get(timeout=POLL_SECONDS)
            except Empty:
                self._ask()
                continue
            if isinstance(found, BaseException):
                raise found
            self._waits = isinstance(found, Validation)
            return found

    def end(self, reason: str) -> None:
        """Save and end, and wait for it."""
        self.request.reason = self.request.reason or reason
        self._go_on()
        while self._thread.is_alive():
            with suppress(Empty):
                self._waits = isinstance(self._results.get(timeout=POLL_SECONDS), Validation)
            self._go_on()

    def _go_on(self) -> None:
        if self._waits:
            self._waits = False
            self._may_go_on.release()

    def _ask(self) -> None:
        stop, end = self._wishes()
        self.request.reason = self.request.reason or stop
        self.request.end_reason = self.request.end_reason or end
        if (notice := self._draining.news()) is not None:
            print(notice, file=sys.stderr)
            self.request.notices += 1

    def _live(self) -> None:
        try:
            self._results.put(run_trial(self._name, self._arguments, self.request, self._listen))
        except BaseException as error:
            self._results.put(error)

    def _listen(self, record: Record) -> None:
        if record.name == "attempt" and record.data["start_from"] is not None:
            for line in _validations(trial_dir(self._arguments.sweep_dir, self._name)):
                self._give(line["iter"], {name: value for name, value in line.items() if name not in HEAD})
        if record.kind != "scalars":
            return
        if record.mode == "train":
            self._loss = record.data.get("loss", self._loss)
        elif record.mode == "val":
            self._notice_divergence(record)
            self._give(record.iter, record.data)

    def _give(self, at: int, data: Mapping[str, Any]) -> None:
        """Hand a validation over and wait; one from before the checkpoint too, since a driver that died may lack it."""
        wanted = self._arguments.metric
        values = {name: value for name, value in data.items() if "." not in name}
        self._results.put(Validation(at, {**values, wanted: data.get(wanted, math.nan)}))
        self._may_go_on.acquire()

    def _notice_divergence(self, record: Record) -> None:
        """A loss or a score that is no number is a failure, and not tried again: it would come to the same."""
        wanted = self._arguments.metric
        for name, value in ((wanted, record.data.get(wanted, math.nan)), ("loss", self._loss)):
            if not math.isfinite(value):
                self.request.failure = f"diverged: {name} is {value} at iteration {record.iter}"
                self.request.end_reason = self.request.failure
                return


def _validations(run_dir: Path) -> list[dict[str, Any]]:
    """The lines of a run's validations."""
    lines = map(decode_line, complete_lines(run_dir / METRICS_FILE))
    return [line for line in lines if line is not None and line["mode"] == "val"]


def run_trial(
    name: str, arguments: SweepArguments, request: StopRequest, listen: Callable[[Record], None]
) -> RunResult:
    """Run a trial's directory to its end: an ordinary run, in this process or in Ray Train workers.

    Raises:
        ConfigError: its config is wrong, or another process runs it.
    """
    os.environ["RAYSEG_HOME"] = arguments.home
    with suppress(OSError):
        os.chdir(arguments.directory)
    run_dir = trial_dir(arguments.sweep_dir, name)
    source, _ = read_source(run_dir)
    config, _ = resolved(source)
    trackers = [tracker for tracker in build_trackers(config) if not isinstance(tracker, Console)]
    if store_of(config, run_dir).is_empty():
        with config_import_path(config):
            fetch_pretrained(config["model"])
    owner = _begun(lambda: begin_run(config, run_dir, trackers, trial_facts(name, config, arguments), listen))
    import_path = list(sys.path)
    try:
        return carry_out(owner, config, run_dir, arguments.worker_resources, request)
    finally:
        sys.path[:] = import_path  # else each trial of a process would leave its directory there


def _begun(begin: Callable[[], RunOwner]) -> RunOwner:
    """Begin once the process of a driver that was killed has gone, which Ray ends soon.

    Raises:
        ConfigError: it still runs the trial after ``TAKEOVER_SECONDS``.
    """
    deadline = time.monotonic() + TAKEOVER_SECONDS
    while True:
        try:
            return begin()
        except ConfigError:
            if time.monotonic() > deadline:
                raise
            time.sleep(POLL_SECONDS)


def trial_facts(name: str, config: Config, arguments: SweepArguments) -> dict[str, Any]:
    """What a trial's ``run.json`` says besides what every run's does."""
    workers = settings(config, "scaling").num_workers
    return {"name": name, "workers": workers, "draw": drawn(arguments.sweep_dir, name), **arguments.facts}
