"""Follower: a tracker that sends what the run directory holds, from a thread of its own; also after the run."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

from rayseg.core.errors import CheckpointError, DataError
from rayseg.core.record import Record
from rayseg.tracking.courier import Courier
from rayseg.tracking.delivery import Delivery
from rayseg.tracking.lines import shown_path
from rayseg.tracking.pictures import Picture, drawn, run_pictures
from rayseg.tracking.redact import Redactor
from rayseg.tracking.run_file import RUN_FILE
from rayseg.tracking.sweeps import sweep_of
from rayseg.tracking.tail import MetricsTail
from rayseg.tracking.tracker import CheckpointPolicy, RunInfo, Tail, Tracker

BATCH = 500  # lines of one message
CLOSE_S = 10.0
FILES = ("config.py", "run.json", "log.txt", "code/git.diff", "report.html")
SWEEP_FILES = ("sweep.json", "trials.csv", "best_config.py")
TRIAL_S, AWAY_S = 10.0, 2.0  # that a trial waits for a server at its end; for one that is known to be away


class Follower(Tracker):
    """Base class of the trackers that keep a run somewhere else.

    The run directory is the truth: numbers come out of ``metrics.jsonl``, pictures out of ``visuals/``, and what has
    arrived is noted in ``trackers/`` there. So nothing is lost when the server is away, a restarted run sends nothing
    twice (a value that was sent stays, though its line is made again), and ``rayseg sync`` is the same code.

    A subclass says how things are sent. ``connect`` and the ``send_...`` methods are called in the follower's thread,
    may wait and may raise anything: it is tried again, later each time, beginning with ``connect``. What a method has
    returned from has arrived; what it was doing when the process was killed is sent again.

    Args:
        pictures: send overlays and confusion matrices.
        checkpoints: which checkpoints to send when the run ends (``all``: also while it goes on).
    """

    kind: ClassVar[str] = "follower"
    """The word of ``rayseg sync --to``."""
    takes_sweeps: ClassVar[bool] = False
    """Whether the destination has a place for a sweep itself, above its trials."""
    whole: bool = False
    """Whether the destination cannot be continued, so that everything is sent at the end, from the beginning."""

    def __init__(self, pictures: bool = True, checkpoints: CheckpointPolicy = "none") -> None:
        self.pictures = pictures
        self.checkpoints = checkpoints
        self._courier: Courier | None = None
        self._connected = False
        self._ending = False
        self._look_for_pictures = True
        self._outcome: tuple[str, str | None] | None = None
        self._arrived = False
        self._trouble = ""

    @abstractmethod
    def destination(self, run: RunInfo) -> str:
        """The server and the experiment there: what deliveries are noted for; shown to people without its secrets."""

    @abstractmethod
    def connect(self, run: RunInfo, delivery: Delivery) -> None:
        """Find or make the run at the destination, say that it is running, and note its ``delivery.run_id``."""

    @abstractmethod
    def send_lines(self, lines: list[dict[str, Any]]) -> None:
        """Send lines of ``metrics.jsonl``, at most ``BATCH``; NaN and infinities are floats."""

    @abstractmethod
    def send_picture(self, picture: Picture) -> None:
        """Send a picture."""

    @abstractmethod
    def send_file(self, path: Path, name: str) -> None:
        """Send a file; ``name`` is its path in the run directory."""

    def send_checkpoint(self, name: str, folder: Path) -> None:
        """Send a checkpoint, whose files lie in ``folder``."""
        for path in sorted(folder.iterdir()):
            self.send_file(path, f"checkpoints/{name}/{path.name}")

    @abstractmethod
    def close(self, status: str, error: str | None) -> None:
        """Everything has arrived: say how the run ended (``finished``, ``failed`` or ``interrupted``)."""

    @property
    def is_on(self) -> bool:
        """Whether anything is to be sent at all."""
        return True

    def local_store(self, run_dir: Path) -> Path | None:
        """The file or directory that the destination is, where it is one of this machine."""
        return None

    def begin(self, run: RunInfo) -> None:
        """Look at what has arrived until now."""
        self.run = run
        self._redact = Redactor()
        self.delivery = Delivery(run.run_dir, self.kind, self._redact(self.destination(run)))

    def deliver(self) -> None:
        """Send all that is there and has not arrived. Raises what the destination raises."""
        if self.whole and not self._restart_whole():
            return
        if not self._connected:
            self.connect(self.run, self.delivery)
            self._connected = True
            self._tail = self._lines_left()
            self.delivery.status = None
            self._save()
        self._deliver_lines()
        if self.pictures and (self._look_for_pictures or self._ending):
            self._look_for_pictures = False
            self._deliver_pictures()
        if self._ending or self.checkpoints == "all":
            self._deliver_checkpoints()

    def deliver_ended(self, status: str, error: str | None) -> None:
        """Send all of a run that has ended, and how; in the calling thread. Raises what the destination raises."""
        self._ending = True
        self.deliver()
        if self._connected:
            self._deliver_files()
            self.close(status, error)
            self.delivery.status = status
            self.delivery.save()

    def missing(self) -> tuple[int, int]:
        """How many lines of ``metrics.jsonl`` and how many pictures have not arrived."""
        lines = sum(1 for _ in self._lines_left().new_lines())
        return lines, len(run_pictures(self.run.run_dir, self.delivery.pictures)) if self.pictures else 0

    def start(self, run: RunInfo) -> None:
        """Begin to follow."""
        self.begin(run)
        self._courier = Courier(f"rayseg-{self.kind}", self._pass, self._note_failure)
        self._courier.wake()

    def write(self, record: Record) -> None:
        """There may be news in the run directory."""
        if record.kind == "image" or record.mode in ("val", "test"):
            self._look_for_pictures = True
        if record.kind in ("scalars", "image") or record.name in ("checkpoint", "attempt"):
            self._started.wake()

    def flush(self, timeout_s: float) -> None:
        """Wait until everything has arrived, or nothing has for ``timeout_s`` seconds.

        Trials and sweeps wait shorter for a server: what is left of a trial is sent at the end of its sweep.
        """
        self._ending = True
        of_sweep = self.run.tail is not None or bool(sweep_of(self.run.facts()))
        if of_sweep and not self.whole and self.local_store(self.run.run_dir) is None:
            timeout_s = min(timeout_s, AWAY_S if self._trouble else TRIAL_S)
        self._arrived = self._started.drain(timeout_s)

    def finish(self, status: str, error: str | None) -> None:
        """Say how the run ended; what could not be delivered, and how it can be."""
        self._outcome = (status, error)
        if self._arrived:
            self._arrived = self._started.drain(CLOSE_S)
        self._started.stop()
        if not self._arrived:
            lines, pictures = self.missing()
            cause = f" ({self._trouble})" if self._trouble else " (there was no answer in time)"
            self.run.warn(
                f"{self._name}: {lines} lines of metrics.jsonl and {pictures} pictures were not delivered{cause}; "
                f"they are kept, send them with: rayseg sync {shown_path(self.run.run_dir)} --to {self.kind}"
            )

    def cause(self, error: Exception) -> str:
        """A failure on one line, without secrets."""
        first_line = next((line for line in str(error).splitlines() if line.strip()), "")
        return self._redact(f"{type(error).__name__}: {first_line}"[:300])

    @property
    def _started(self) -> Courier:
        assert self._courier is not None, "start() comes first"
        return self._courier

    @property
    def _name(self) -> str:
        return f"{type(self).__name__} at {self.delivery.destination}"

    def _pass(self) -> None:
        if self._outcome is not None:
            self.deliver_ended(*self._outcome)
        else:
            self.deliver()
        if self._trouble:
            self._trouble = ""
            self.run.say(f"{self._name} answers again")

    def _note_failure(self, error: Exception) -> None:
        """Report the first failure in a row; connect anew before the next try."""
        self._connected = False
        self._look_for_pictures = True
        if self.whole:
            self.delivery.clear()
        cause = self.cause(error)
        if not self._trouble:
            self.run.warn(f"{self._name}: {cause}; training goes on, what is not delivered is sent again")
        self._trouble = cause

    def _restart_whole(self) -> bool:
        """Whether to send now, for a destination that cannot be continued: at the end, if anything changed."""
        if not self._ending:
            return False
        if not self._connected:
            if self.missing() == (0, 0) and self.delivery.files.get(RUN_FILE) == _stamp(self.run.run_dir / RUN_FILE):
                return False
            self.delivery.clear()
        return True

    def _lines_left(self) -> Tail:
        """The lines that have not arrived."""
        cursor = self.delivery.cursor
        return self.run.tail(cursor) if self.run.tail is not None else MetricsTail(self.run.run_dir, cursor)

    def _go_on(self) -> None:
        """Come to an end between two things to send, when nobody waits for them any longer."""
        if self._courier is not None and self._courier.stopped:
            raise InterruptedError("the run is over")

    def _deliver_lines(self) -> None:
        batch: list[dict[str, Any]] = []
        for line in self._tail.new_lines():
            batch.append(line)
            if len(batch) == BATCH:
                self._deliver_batch(batch)
                batch = []
        if batch:
            self._deliver_batch(batch)

    def _deliver_batch(self, batch: list[dict[str, Any]]) -> None:
        self._go_on()
        self.send_lines(batch)
        for line in batch:
            self.delivery.arrived(line)
        self._save()

    def _deliver_pictures(self) -> None:
        for picture in run_pictures(self.run.run_dir, self.delivery.pictures):
            self._go_on()
            try:
                with drawn(picture) as ready:
                    self.send_picture(ready)
            except DataError as error:
                self.run.warn(str(error))
            self.delivery.pictures.add(picture.name)
            self._save()

    def _deliver_files(self) -> None:
        for name in (*FILES, *SWEEP_FILES):
            path = self.run.run_dir / name
            if not path.is_file():
                continue
            stamp = _stamp(path)
            if self.delivery.files.get(name) != stamp:
                self.send_file(path, name)
                self.delivery.files[name] = stamp
                self._save()

    def _deliver_checkpoints(self) -> None:
        if self.run.checkpoints is None or self.checkpoints == "none":
            return
        for name in self.run.checkpoints.names(self.checkpoints):
            if name in self.delivery.checkpoints:
                continue
            with TemporaryDirectory() as folder:
                try:
                    self.run.checkpoints.fetch(name, Path(folder))
                except CheckpointError as error:
                    self.run.warn(f"checkpoint {name} is not sent: {error}")
                else:
                    self.send_checkpoint(name, Path(folder))
            self.delivery.checkpoints.add(name)
            self._save()

    def _save(self) -> None:
        """Note what has arrived; of what is sent whole, nothing has before the end."""
        if self._courier is not None:
            self._courier.moved()
        if not self.whole:
            self.delivery.save()


def _stamp(path: Path) -> list[int]:
    return [path.stat().st_size, path.stat().st_mtime_ns] if path.is_file() else []
