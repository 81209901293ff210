"""One run directory as data: whatever can be read of it, and a line for whatever cannot."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rayseg.core.errors import ConfigError, Problem
from rayseg.reporting.config_leaves import CONFIG_FILE, ConfigText, read_config
from rayseg.reporting.metrics import MAIN_SCORE, Best, Metrics
from rayseg.reporting.values import as_mapping, as_number, as_rows, as_text
from rayseg.tracking.files import RecordingError
from rayseg.tracking.metrics_file import METRICS_FILE, complete_lines
from rayseg.tracking.run_file import RUN_FILE, read_run
from rayseg.tracking.table import ClassTable
from rayseg.tracking.tail import read_metrics

_LOST = re.compile(r"metrics\.attempt_(\d{1,9})\.jsonl")


@dataclass(frozen=True)
class RunData:
    """What a run directory says.

    Attributes:
        directory: the run directory.
        facts: run.json; nothing is certain about its values.
        metrics: metrics.jsonl as series.
        config: config.py, None when there is none.
        lost: attempt → lines of it that a restart cut back.
        tests: results in ``test/``.
        notes: what is missing or damaged, one line each.
    """

    directory: Path
    facts: Mapping[str, Any]
    metrics: Metrics
    config: ConfigText | None = None
    lost: Mapping[int, int] = field(default_factory=dict)
    tests: tuple[Mapping[str, Any], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """``experiment/name``, as far as it has them, else its directory's name."""
        own = self.text("name") or self.directory.resolve().name
        return "/".join(filter(None, [self.text("experiment"), own]))

    @property
    def status(self) -> str:
        """``running``, ``finished``, ``failed``, ``interrupted``, or ``unknown``."""
        return self.text("status") or "unknown"

    @property
    def iterations(self) -> float:
        """Completed iterations, NaN when nothing says how many."""
        written = self.metrics.iterations("train")
        said = as_number(self.facts.get("iter"))
        return max(said, written[-1]) if written and math.isfinite(said) else (written[-1] if written else said)

    @property
    def duration_s(self) -> float:
        """Seconds from the first start to the end, or to the last sign of life; time between launches included."""
        end = self.number("finished")
        end = end if math.isfinite(end) else self.number("updated")
        return end - self.number("started")

    @property
    def launched_again(self) -> bool:
        """Whether there was time between launches, in which nothing ran."""
        return self.number("launched") - self.number("started") > 1.0

    @property
    def best(self) -> dict[str, Best]:
        """The best of each score."""
        return self.metrics.best(self.mapping("best"))

    @property
    def main_score(self) -> str:
        """The score that the run is judged by: mIoU, else the first that has a best, else empty."""
        best = self.best
        return MAIN_SCORE if MAIN_SCORE in best else next((name for name in best if name != "loss"), "")

    @property
    def best_iter(self) -> float:
        """Iteration of the best main score, NaN when there is none."""
        return self.best[self.main_score].iter if self.main_score else math.nan

    def text(self, key: str) -> str:
        """A fact as text, empty when it is not there."""
        return as_text(self.facts.get(key))

    def number(self, key: str) -> float:
        """A fact as a number, NaN when it is none."""
        return as_number(self.facts.get(key))

    def mapping(self, key: str) -> Mapping[str, Any]:
        """A fact as a mapping, empty when it is none."""
        return as_mapping(self.facts.get(key))

    def rows(self, key: str) -> list[Mapping[str, Any]]:
        """A fact as a list of mappings, empty when it is none."""
        return as_rows(self.facts.get(key))

    def classes(self) -> tuple[ClassTable, float] | None:
        """The scores by class of the best validation, else of the last that has some, and its iteration."""
        iterations = self.metrics.iterations("val")
        for at_iter in (self.best_iter, *reversed(iterations)):
            table = ClassTable.from_scalars(self.metrics.at("val", at_iter))
            if table is not None:
                return table, at_iter
        return None


def check_run_dirs(run_dirs: Iterable[Path]) -> list[Path]:
    """The directories without repetitions.

    Raises:
        ConfigError: there is none, or one or more of them is no run directory; all are named at once.
    """
    unique = list({path.resolve(): path for path in map(Path, run_dirs)}.values())
    if not unique:
        raise ConfigError("no run directory is given; expected one or more, such as work_dirs/<config>/latest")
    problems = [Problem(_why_not(path), file=str(path)) for path in unique if not (path / RUN_FILE).is_file()]
    if problems:
        raise ConfigError(problems)
    return unique


def read_run_data(run_dir: Path) -> RunData:
    """Read a run directory that has a ``run.json``; nothing in it makes this fail."""
    notes: list[str] = []
    facts = _read_facts(run_dir, notes)
    metrics = _read_metrics(run_dir, notes)
    try:
        config = read_config(run_dir)
    except OSError as error:
        config = None
        notes.append(f"{CONFIG_FILE} is left out: {error.strerror}")
    return RunData(run_dir, facts, metrics, config, _lost_lines(run_dir), _read_tests(run_dir, notes), tuple(notes))


def _why_not(path: Path) -> str:
    if not path.exists():
        return "no such directory; expected a run directory, which holds a run.json"
    if not path.is_dir():
        return "this is no directory; expected a run directory, which holds a run.json"
    inside = sorted(str(file.parent) for file in path.glob(f"*/{RUN_FILE}"))
    hint = f"; it holds run directories, such as {inside[-1]}" if inside else ""
    return f"no run directory: it has no {RUN_FILE}{hint}"


def _read_facts(run_dir: Path, notes: list[str]) -> dict[str, Any]:
    try:
        facts = read_run(run_dir)
    except (RecordingError, RecursionError) as error:
        notes.append(str(error))
        return {}
    if not facts:
        notes.append(f"{RUN_FILE} is damaged: status, times and versions are not known")
    return facts


def _read_metrics(run_dir: Path, notes: list[str]) -> Metrics:
    def lines() -> Iterator[Mapping[str, Any]]:
        try:
            yield from read_metrics(run_dir)
        except RecordingError as error:
            notes.append(str(error))

    metrics = Metrics(lines())
    if not metrics.names("train") and not metrics.names("val"):
        notes.append(f"{METRICS_FILE} holds no numbers")
    return metrics


def _lost_lines(run_dir: Path) -> dict[int, int]:
    lost = {}
    for path in run_dir.glob("metrics.attempt_*.jsonl"):
        if match := _LOST.fullmatch(path.name):
            try:
                lost[int(match[1])] = sum(1 for _ in complete_lines(path))
            except RecordingError:
                continue
    return dict(sorted(lost.items()))


def _read_tests(run_dir: Path, notes: list[str]) -> tuple[Mapping[str, Any], ...]:
    found = []
    for path in sorted((run_dir / "test").glob("*.json")):
        try:
            value = json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError):
            value = None
        if isinstance(value, dict) and isinstance(value.get("metrics"), dict):
            found.append({"file": path.name, **value})
        else:
            notes.append(f"test/{path.name} is left out: expected an object with metrics")
    return tuple(found)
