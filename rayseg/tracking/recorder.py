"""RunRecorder: writes a run down as it happens: numbers, log, facts. Nothing else writes these files."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from rayseg.core.record import Kind, Record
from rayseg.tracking.best import cut_back_best, empty_ranges, widen_ranges
from rayseg.tracking.facts import collect_facts, git_diff
from rayseg.tracking.fan_out import TrackerGroup
from rayseg.tracking.files import RecordingError, replace_keeping
from rayseg.tracking.lines import RunLines, ending_lines
from rayseg.tracking.lock import lock_run
from rayseg.tracking.log_file import LogFile, RunLogHandler, level_number
from rayseg.tracking.metrics_file import METRICS_FILE, MetricsFile, Position
from rayseg.tracking.redact import Redactor
from rayseg.tracking.run_file import RUN_FILE, RunFile
from rayseg.tracking.tracker import Checkpoints, RunInfo, Tracker

LOG_FILE = "log.txt"
RUN_FILE_EVERY_S = 5.0  # run.json follows the iterations this often; anything else in it at once
FLUSH_TIMEOUT_S = 30.0
DIFF_FILE = Path("code", "git.diff")
OF_ATTEMPT = (
    "attempt", "world_size", "global_batch_size", "threads", "seed", "device", "hardware", "max_iters", "max_epochs",
)  # fmt: skip
LISTED_OF_ATTEMPT = ("attempt", "reason", "start_from", "world_size", "lost_iters", "idle_s")
MAX_LISTED = 100  # attempts and warnings in run.json, the newest ones


class RunRecorder:
    """The files of one run directory and the trackers that follow them, in the process that owns the run.

    ``metrics.jsonl`` holds each (mode, iter) once, whatever is killed when: ``restore`` moves the lines that a new
    attempt makes again to ``metrics.attempt_<n>.jsonl``, n being the attempt that had made them. ``log.txt`` holds
    lines of level INFO and above with their time, those of Python's ``logging`` too. ``run.json`` is replaced whole.

    Calls may come from any thread; the order of calls is the order in the files.

    Args:
        run_dir: the run directory; made by ``start`` if it is not there.
        trackers: shown every record; one that fails is dropped with a warning. They are finished in reverse order, so
            that the first one, best the terminal, can show what the others have to say at the end.
        clock: seconds since the Unix epoch, for what has no record.
        checkpoints: where trackers find the run's checkpoints.

    Attributes:
        facts: what ``run.json`` says; a copy.
    """

    def __init__(
        self,
        run_dir: str | Path,
        trackers: Sequence[Tracker] = (),
        clock: Callable[[], float] = time.time,
        checkpoints: Checkpoints | None = None,
    ) -> None:
        self.run_dir = Path(run_dir)
        self.trackers = TrackerGroup(trackers, self._warn_safely)
        self._clock = clock
        self._checkpoints = checkpoints
        self._times_before: Mapping[str, float] = {}
        self._redact = Redactor()
        self._lock = threading.RLock()
        self._undelivered: deque[tuple[Record, int]] = deque()
        self._depth = 0
        self._failed = False
        self._ended = False
        self._closed = False
        self._written_at = 0.0
        self._lines = RunLines()

    @property
    def facts(self) -> dict[str, Any]:
        """What ``run.json`` says."""
        return dict(self._run.data)

    def start(self, facts: Mapping[str, Any]) -> None:
        """Open the files, mend what a crash left torn, and say that the run is running.

        Args:
            facts: entries of ``run.json``: ``name``, ``seed`` ... Versions, git state and command are added.

        Raises:
            ConfigError: another living process records into this directory.
            RecordingError: the directory cannot be written.
        """
        try:
            self.run_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RecordingError(self.run_dir, error) from error
        self._log = LogFile(self.run_dir / LOG_FILE)
        try:
            lock_run(self._log.fileno(), self.run_dir)
            self._metrics = MetricsFile(self.run_dir / METRICS_FILE)
        except BaseException:
            self._log.close()
            raise
        self._run = RunFile(self.run_dir / RUN_FILE)
        now = self._clock()
        self._run.data.update(self._redact.tree({**collect_facts(), **facts}))
        started = self._run.data["started"] or now
        self._run.data.update(status="running", error=None, started=started, launched=now, finished=None)
        self._write_run(now)
        self._keep_diff()
        self._handler = RunLogHandler(self.log)
        self._handler.attach()
        self.trackers.start(self._info())

    def record(self, record: Record) -> None:
        """Write one record down and show it to the trackers.

        A line whose mode already has this or a later iteration is left out: the first value stays. After ``finish``
        nothing is written.

        Raises:
            RecordingError: a file could not be written (the disk is full ...).
        """
        with self._lock:
            if self._closed:
                return
            if record.kind in ("event", "log"):
                record = replace(record, data=self._redact.tree(record.data))
            try:
                written = self._write(record)
            except RecordingError:
                self._failed = True
                raise
            if written:
                self._deliver(record)

    def restore(self, iter: int, phase: str, records: Sequence[Record]) -> None:
        """Go back to where a new attempt begins.

        Args:
            iter: completed iterations of the checkpoint it begins with; 0 without one.
            phase: ``val_due`` when the validation of that iteration had not yet run, else ``train``.
            records: the last scalar records, which the checkpoint carries; those that the file lacks are written.

        Raises:
            RecordingError: a file could not be written; the same call may be made again.
        """
        with self._lock:
            to, data = Position(iter, phase), self._run.data
            ranges = empty_ranges(data["best"])
            moved_to = self.run_dir / f"metrics.attempt_{data['attempt']}.jsonl"
            try:
                counts = self._metrics.cut_back(to, records, moved_to, lambda line: widen_ranges(ranges, line))
                data["best"] = cut_back_best(data["best"], ranges, to)
                data["iter"] = iter
                data["epoch"] = max((r.epoch for r in records if to.holds(r.mode, r.iter)), default=0)
                self._write_run(self._clock())
            except RecordingError:
                self._failed = True
                raise
            if counts["moved"]:
                self._say(
                    "INFO", f"{counts['moved']} lines beyond iteration {iter} are made again; {moved_to.name} has them"
                )
            if counts["damaged"]:
                self.warn(f"{METRICS_FILE}: {counts['damaged']} damaged lines were left out")

    def finish(self, status: str, error: str | None = None) -> None:
        """Write down how the run ended, let the trackers come to an end, close the files. A second call does nothing.

        Args:
            status: ``finished``, ``failed`` or ``interrupted``.
            error: why it failed.

        Raises:
            RecordingError: a file could not be written, unless that is why the run failed.
        """
        with self._lock:
            if self._ended:
                return
            self._ended = True
        self._handler.detach()
        error = None if error is None else self._redact(error)
        failures = self._write_ending(status, error)
        self.trackers.flush(FLUSH_TIMEOUT_S)
        self.trackers.finish(status, error)
        with self._lock:
            self._closed = True
            self._metrics.close()
            self._log.close()
        if failures and not self._failed:
            raise failures[0]

    def _write_ending(self, status: str, error: str | None) -> list[RecordingError]:
        """Write down how the run ended, as far as the disk lets us; what it did not."""
        failures = []
        with self._lock:
            now = self._clock()
            self._run.data.update(status=status, error=error, finished=now)
            for step in (self._metrics.sync, lambda: self._write_run(now), self._say_ending):
                try:
                    step()
                except RecordingError as failure:
                    failures.append(failure)
        return failures

    def warn(self, message: str) -> None:
        """Write a warning into ``log.txt`` and show it to the trackers."""
        self.record(self._own_record("event", "warning", {"message": message}, self._clock()))

    def log(self, level: str, message: str, at: float | None = None) -> None:
        """Write a line into ``log.txt`` and show it to the trackers.

        Args:
            level: a name of Python's ``logging``; lines below INFO are left out.
            at: seconds since the Unix epoch; now when not given.
        """
        if level_number(level) >= logging.INFO:
            data = {"level": level, "message": message}
            self.record(self._own_record("log", "", data, self._clock() if at is None else at))

    def _warn_safely(self, message: str) -> None:
        """Warn on behalf of a tracker; a full disk is told to the run by its next record, and people are warned yet."""
        warning = self._own_record("event", "warning", {"message": self._redact(message)}, self._clock())
        try:
            self.record(warning)
        except RecordingError:
            with self._lock:
                self._deliver(warning)

    def _say_safely(self, message: str) -> None:
        """As ``_warn_safely``, for what is no trouble."""
        with suppress(RecordingError):
            self.log("INFO", message)

    def _info(self) -> RunInfo:
        return RunInfo(
            self.run_dir,
            facts=lambda: self.facts,
            remember=self._remember,
            warn=self._warn_safely,
            say=self._say_safely,
            checkpoints=self._checkpoints,
        )

    def _keep_diff(self) -> None:
        """Keep what the working tree differs in from its commit; an earlier start's is kept under a number."""
        if not (self._run.data["git"] or {}).get("dirty") or not (diff := git_diff()):
            return
        path = self.run_dir / DIFF_FILE
        path.parent.mkdir(exist_ok=True)
        replace_keeping(path, self._redact(diff).encode("utf-8", "replace"))

    def _own_record(self, kind: Kind, name: str, data: dict[str, Any], at: float) -> Record:
        facts = self._run.data
        return Record(kind, facts["iter"], facts["epoch"], at, name=name, data=data)

    def _write(self, record: Record) -> bool:
        if record.kind == "scalars":
            if not self._metrics.append(record):
                self._say(
                    "INFO", f"{record.mode} numbers of iteration {record.iter} are there already and stay", record.time
                )
                return False
            self._reached(record)
            if record.mode != "train" or not 0 <= record.time - self._written_at < RUN_FILE_EVERY_S:
                self._write_run(record.time)
        elif record.kind == "event":
            self._take_event(record)
        for level, text in self._lines.of(record):
            self._say(level, text, record.time)
        return True

    def _take_event(self, record: Record) -> None:
        data, facts = record.data, self._run.data
        if record.name == "attempt":
            facts.update({name: data[name] for name in OF_ATTEMPT if name in data})
            facts["last_checkpoint"] = data.get("start_from")
            listed = {name: data.get(name) for name in LISTED_OF_ATTEMPT if name in data}
            facts["attempts"] = [*facts["attempts"], {**listed, "time": record.time}][-MAX_LISTED:]
            self._times_before = facts["times"]
        elif record.name == "times":
            before = self._times_before
            facts["times"] = {part: before.get(part, 0.0) + seconds for part, seconds in data.items()}
        elif record.name == "warning":
            warning = {"time": record.time, "iter": record.iter, "message": data.get("message", "")}
            facts["warnings"] = [*facts["warnings"], warning][-MAX_LISTED:]
        elif record.name == "checkpoint":
            self._metrics.sync()
            facts["last_checkpoint"] = data["name"]
            self._reached(record)
        elif record.name == "ended":
            self._reached(record)
        elif record.name == "best":
            facts["best"] = {**facts["best"], data["metric"]: {"value": data["value"], "iter": data["iter"]}}
        else:
            return
        self._write_run(record.time)

    def _reached(self, record: Record) -> None:
        facts = self._run.data
        facts.update(iter=max(facts["iter"], record.iter), epoch=max(facts["epoch"], record.epoch))

    def _deliver(self, record: Record) -> None:
        """Show a record to the trackers; what they say while they are shown one comes after it, and only so deep."""
        if self._depth < 2:
            self._undelivered.append((record, self._depth + 1))
        if self._depth:
            return
        try:
            while self._undelivered:
                record, self._depth = self._undelivered.popleft()
                self.trackers.write(record)
        finally:
            self._depth = 0

    def _remember(self, key: str, value: str) -> None:
        with self._lock:
            if self._run.data["tracking"].get(key) != value:
                self._run.data["tracking"] = {**self._run.data["tracking"], key: value}
                self._write_run(self._clock())

    def _write_run(self, now: float) -> None:
        self._run.data["updated"] = now
        self._run.write()
        self._written_at = now

    def _say_ending(self) -> None:
        for level, text in ending_lines(self._run.data, self.run_dir):
            self._say(level, text)

    def _say(self, level: str, text: str, at: float | None = None) -> None:
        self._log.write(level, text, self._clock() if at is None else at)
