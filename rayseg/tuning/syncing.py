"""sync_sweep: send what trackers have not got of a sweep and its trials; deliver_rest: the same at a sweep's end."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

from rayseg.core.errors import ConfigError
from rayseg.orchestration.results import SyncResult
from rayseg.orchestration.source import Overrides, read_source
from rayseg.orchestration.syncing import (
    Away,
    ended_as,
    follower_of,
    require_kind,
    send_ended,
    sync,
    sync_all,
    with_tracker,
)
from rayseg.tracking.delivery import informed
from rayseg.tracking.lines import shown_path
from rayseg.tracking.run_file import RUN_FILE, read_run
from rayseg.tracking.sweeps import TRIALS_DIR
from rayseg.tuning.journal import read_journal
from rayseg.tuning.progress import Progress, sweep_info
from rayseg.tuning.results import SWEEP_FILE, read_sweep
from rayseg.tuning.space import Space
from rayseg.tuning.sweep_dir import SweepLock
from rayseg.tuning.trial_dir import trial_dir

REST_S, LAST_S = 60.0, 2.0  # that the end of a sweep waits for what trials left; for the one that is on its way then


def sync_sweep(
    sweep_dir: str | os.PathLike[str],
    to: str,
    *,
    overrides: Overrides = (),
    again: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> SyncResult:
    """Send what is missing of a sweep that is not running: the run that stands for it, if any, and every trial.

    Args:
        sweep_dir: a sweep directory.
        to, overrides, again, say: as in ``rayseg.orchestration.sync``.

    Raises:
        ConfigError: no sweep there, it is still running, or a config or the overrides are wrong.
        SyncError: the destination failed.
    """
    require_kind(to)
    path = Path(sweep_dir).absolute()
    overrides = dict(overrides) if isinstance(overrides, Mapping) else list(overrides)
    journal, facts = list(read_journal(path)), read_sweep(path)
    if not facts:
        raise ConfigError(f"{sweep_dir}: {SWEEP_FILE} is missing or damaged: which sweep it is cannot be read")
    config, _ = read_source(path)
    space = Space(config)
    follower = follower_of(with_tracker(space.config_of(space.cover()[0]), to, overrides), to)
    with _locked(path):
        progress = Progress(facts["metric"], facts["mode"], journal)
        follower.begin(sweep_info(path, facts, config, progress, lambda key, value: None, say, say))
        lines = pictures = 0
        if follower.takes_sweeps:
            lines, pictures = send_ended(follower, facts["status"], facts["error"], again=again)
        for run_dir in sorted(path.glob(f"{TRIALS_DIR}/*")):
            if (run_dir / RUN_FILE).is_file():
                sent = sync(run_dir, to, overrides=overrides, again=again, say=say)
                lines, pictures = lines + sent.lines, pictures + sent.pictures
    return SyncResult(path, follower.delivery.destination, lines, pictures, follower.delivery.run_id)


@contextmanager
def _locked(sweep_dir: Path) -> Iterator[None]:
    try:
        lock = SweepLock(sweep_dir)
    except OSError as error:
        raise ConfigError(f"{sweep_dir}: cannot be written: {error.strerror or error}") from None
    try:
        yield
    finally:
        lock.release()


def deliver_rest(sweep_dir: Path, names: Iterable[str], kinds: Iterable[str], warn: Callable[[str], None]) -> None:
    """Send what trials could not: one whose process was killed says nothing, for another a server was away.

    Args:
        names: of the trials, none of them running.
        kinds: of the trackers that each of them has.
        warn: told, in one line, what could not be sent.
    """
    wanted = Counter(kinds)
    behind = [path for name in names if wanted and is_behind(path := trial_dir(sweep_dir, name), wanted)]
    if not behind:
        return
    rest = _Rest(behind)
    rest.wait(REST_S)
    if rest.left:
        reasons = "; ".join(rest.away.values()) or f"there was no answer within {REST_S:g} s"
        to = "|".join(sorted({kind for kind, _ in rest.away if kind} or wanted))
        warn(
            f"not all of {len(rest.left)} trials has been sent ({reasons}); "
            f"send it with: rayseg sync {shown_path(sweep_dir)} --to {to}"
        )


def is_behind(run_dir: Path, kinds: Counter[str]) -> bool:
    """Whether one of a run's trackers has not noted that its destination knows how the run has ended."""
    facts = read_run(run_dir)
    return bool(facts) and not kinds <= informed(run_dir, ended_as(facts["status"]))


class _Rest:
    """Goes through run directories in a thread of its own; ``left`` are those of which something is still missing."""

    def __init__(self, run_dirs: list[Path]) -> None:
        self.left = list(run_dirs)
        self.away: Away = {}
        self._stop = Event()
        self._thread = Thread(target=self._go, name="rayseg-rest", daemon=True)
        self._thread.start()

    def wait(self, seconds: float) -> None:
        """Until it is through, or so many seconds; Ctrl-C ends the wait."""
        try:
            self._thread.join(seconds)
        except KeyboardInterrupt:
            self.away["", ""] = "interrupted"
        self._stop.set()
        self._thread.join(LAST_S)

    def _go(self) -> None:
        for run_dir in list(self.left):
            if self._stop.is_set():
                return
            try:
                if sync_all(run_dir, self.away):
                    self.left.remove(run_dir)
            except Exception as error:
                self.away["", str(run_dir)] = f"{run_dir.name}: {error}"
