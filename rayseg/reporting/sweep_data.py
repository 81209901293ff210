"""One sweep directory as data: whatever can be read of it, and a line for whatever cannot."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rayseg.reporting.metrics import LESS_IS_BETTER, MAIN_SCORE
from rayseg.reporting.sweep_dimensions import Dimension, read_dimensions
from rayseg.reporting.sweep_trials import Trial, follow
from rayseg.reporting.values import as_mapping, as_number, as_text
from rayseg.tracking.run_file import RUN_FILE

SWEEP_FILE = "sweep.json"
JOURNAL_FILE = "journal.jsonl"
TRIALS_DIR = "trials"


@dataclass(frozen=True)
class SweepData:
    """What a sweep directory says.

    Attributes:
        directory: the sweep directory.
        facts: sweep.json; nothing is certain about its values.
        metric: what trials are compared by; empty when nothing says it.
        mode: ``max`` or ``min``.
        dimensions: of the space, in the order of the config.
        trials: of the search, in the order of proposals.
        repeats: trials that run a draw of the search, or the baseline, with another seed.
        launches: when a driver began, seconds since the Unix epoch.
        pauses: (end of a launch, begin of the next) in which nothing ran.
        notes: what is missing or damaged, one line each.
    """

    directory: Path
    facts: Mapping[str, Any]
    metric: str
    mode: str
    dimensions: tuple[Dimension, ...] = ()
    trials: tuple[Trial, ...] = ()
    repeats: tuple[Trial, ...] = ()
    launches: tuple[float, ...] = ()
    pauses: tuple[tuple[float, float], ...] = ()
    notes: tuple[str, ...] = ()
    _ranked: list[Trial] = field(default_factory=list, compare=False)

    def __post_init__(self) -> None:
        scored = [trial for trial in self.trials if math.isfinite(self.score(trial))]
        self._ranked.extend(sorted(scored, key=lambda trial: (-self.sign * self.score(trial), trial.number)))

    @property
    def name(self) -> str:
        """``experiment/name``, as far as it has them, else its directory's name."""
        own = as_text(self.facts.get("name")) or self.directory.resolve().name
        return "/".join(filter(None, [as_text(self.facts.get("experiment")), own]))

    @property
    def status(self) -> str:
        """``running``, ``finished``, ``failed``, ``interrupted``, or ``unknown``."""
        return as_text(self.facts.get("status")) or "unknown"

    @property
    def sign(self) -> float:
        """What makes a higher score the better one."""
        return -1.0 if self.mode == "min" else 1.0

    @property
    def ranked(self) -> list[Trial]:
        """The trials that have a score, the best first; of equal ones the one proposed first."""
        return self._ranked

    @property
    def rest(self) -> list[Trial]:
        """The trials without a score, in the order of proposals."""
        return [trial for trial in self.trials if not math.isfinite(self.score(trial))]

    @property
    def best(self) -> Trial | None:
        """The best trial, None without a score."""
        return self._ranked[0] if self._ranked else None

    @property
    def duration_s(self) -> float:
        """Seconds in which the sweep ran, pauses between launches not counted; NaN when nothing says it."""
        end = as_number(self.facts.get("finished"))
        end = end if math.isfinite(end) else as_number(self.facts.get("updated"))
        if not math.isfinite(end):
            end = max((trial.last_seen for trial in self.trials if math.isfinite(trial.last_seen)), default=math.nan)
        return self.clock(end)

    def score(self, trial: Trial) -> float:
        """The best score of a trial, NaN when it has none."""
        return trial.best(self.sign)[0]

    def clock(self, time_s: float) -> float:
        """Seconds of the sweep at a time since the Unix epoch, without the pauses between launches."""
        begin = self.launches[0] if self.launches else as_number(self.facts.get("started"))
        lost = sum(max(0.0, min(time_s, end) - start) for start, end in self.pauses if time_s > start)
        return max(0.0, time_s - begin - lost)

    def counts(self) -> dict[str, int]:
        """Status → trials, of each status that there is."""
        found: dict[str, int] = {}
        for trial in self.trials:
            found[trial.status] = found.get(trial.status, 0) + 1
        return found

    def trial_dir(self, trial: Trial) -> Path | None:
        """The trial's own run directory; None when it is not there, or the name leads elsewhere."""
        if not trial.name or trial.name.startswith(".") or set(trial.name) & set("/\\\0"):
            return None
        path = self.directory / TRIALS_DIR / trial.name
        return path if (path / RUN_FILE).is_file() else None


def is_sweep_dir(path: Path) -> bool:
    """Whether a directory is a sweep's."""
    return (path / JOURNAL_FILE).is_file() or (path / SWEEP_FILE).is_file()


def read_sweep_data(sweep_dir: Path) -> SweepData:
    """Read a sweep directory; nothing in it makes this fail."""
    notes: list[str] = []
    facts = _read_facts(sweep_dir, notes)
    lines = list(_read_lines(sweep_dir, notes))
    metric = as_text(facts.get("metric")) or _likely_metric(lines)
    if not facts and metric:
        notes.append(f"trials are compared by {metric}, since nothing says by what")
    mode = as_text(facts.get("mode")) or ("min" if metric in LESS_IS_BETTER else "max")
    known = follow(lines, metric)
    trials = tuple(trial for trial in known if not trial.repeat_of)
    launches, pauses = _launches(lines)
    return SweepData(
        directory=sweep_dir,
        facts=facts,
        metric=metric,
        mode=mode,
        dimensions=read_dimensions(facts.get("space"), [trial.draw for trial in trials]),
        trials=trials,
        repeats=tuple(trial for trial in known if trial.repeat_of),
        launches=launches,
        pauses=pauses,
        notes=tuple(notes),
    )


def _read_facts(sweep_dir: Path, notes: list[str]) -> Mapping[str, Any]:
    try:
        facts = as_mapping(json.loads((sweep_dir / SWEEP_FILE).read_bytes()))
        problem = "" if facts else "it is damaged"
    except (OSError, ValueError, RecursionError) as error:
        facts, problem = {}, (error.strerror or "") if isinstance(error, OSError) else "it is damaged"
    if problem:
        notes.append(f"{SWEEP_FILE} is left out ({problem}): status, space and versions are not known")
    return facts


def _read_lines(sweep_dir: Path, notes: list[str]) -> Iterator[Mapping[str, Any]]:
    """The journal's lines that can be read; a last line without an end is one that is being written."""
    path, torn, found = sweep_dir / JOURNAL_FILE, 0, 0
    try:
        with path.open("rb") as file:
            for text in file:
                try:
                    line = json.loads(text)
                except (ValueError, RecursionError):
                    torn += bool(text.strip())
                    continue
                if isinstance(line, dict) and isinstance(line.get("event"), str):
                    found += 1
                    yield line
                else:
                    torn += 1
    except OSError as error:
        notes.append(f"{JOURNAL_FILE} cannot be read: {error.strerror}; without it no trial is known")
        return
    if torn:
        notes.append(f"{JOURNAL_FILE}: {torn} damaged line{'' if torn == 1 else 's'} left out")
    if not found:
        notes.append(f"{JOURNAL_FILE} holds no event")


def _likely_metric(lines: list[Mapping[str, Any]]) -> str:
    for line in lines:
        if line["event"] == "result" and (values := as_mapping(line.get("values"))):
            return MAIN_SCORE if MAIN_SCORE in values else str(next(iter(values)))
    return ""


def _launches(lines: list[Mapping[str, Any]]) -> tuple[tuple[float, ...], tuple[tuple[float, float], ...]]:
    """When launches began, and the pauses before each but the first."""
    launches: list[float] = []
    pauses: list[tuple[float, float]] = []
    last = math.nan
    for line in lines:
        at = as_number(line.get("time"))
        if not math.isfinite(at):
            continue
        if line["event"] == "launch":
            if launches and at > last:
                pauses.append((last, at))
            launches.append(at)
        last = at
    return tuple(launches), tuple(pauses)
