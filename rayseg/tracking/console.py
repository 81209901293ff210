"""Console: the terminal. A progress bar where someone is watching, plain lines where output is piped."""

from __future__ import annotations

import logging
import sys
import time
from typing import TYPE_CHECKING, Any, TextIO

from rayseg.core.record import Record
from rayseg.tracking.lines import RunLines, duration, ending_lines, shown_path
from rayseg.tracking.log_file import level_number
from rayseg.tracking.table import ClassTable
from rayseg.tracking.tracker import RunInfo, Tracker

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

STYLES = {"WARNING": "yellow", "ERROR": "bold red", "CRITICAL": "bold red"}
LOG_FILE_ONLY = ("ended", "hooks", "picture")


class Console(Tracker):
    """Shows a run to people; numbers that are fractions are shown in percent.

    Args:
        quiet: warnings and failures only, on stderr.
        json: stdout belongs to a machine-readable result, so everything for people goes to stderr.
    """

    def __init__(self, quiet: bool = False, json: bool = False) -> None:
        self.quiet = quiet
        self.json = json
        self._lines = RunLines()

    def start(self, run: RunInfo) -> None:
        """Say where the run is written."""
        self._run = run
        self._stream: TextIO = sys.stderr if self.json or self.quiet else sys.stdout
        self._bar = _Bar(self._stream) if self._stream.isatty() and not self.quiet else None
        self._show(time.time(), "INFO", f"the run is written to {shown_path(run.run_dir)}")

    def write(self, record: Record) -> None:
        """Show a record as lines, and move the bar."""
        with_table = self._bar is None
        lines = self._lines.of(record, table=with_table)
        if self._bar is not None:
            self._bar.follow(record, self._lines.max_iters, self._run.facts()["iter"])
            if record.kind == "scalars" and not self.quiet and (table := ClassTable.from_scalars(record.data)):
                self._bar.print(table.rich(self._lines.place(record)))
        if record.name not in LOG_FILE_ONLY:
            for level, text in lines:
                self._show(record.time, level, text)

    def flush(self, timeout_s: float) -> None:
        """Nothing waits here."""

    def finish(self, status: str, error: str | None) -> None:
        """End the bar; say how the run ended and where everything is. What the error was, the caller says."""
        if self._bar is not None:
            self._bar.stop()
        for level, text in ending_lines({**self._run.facts(), "error": None}, self._run.run_dir):
            self._show(time.time(), level, text.partition("\n")[0])

    def _show(self, at: float, level: str, text: str) -> None:
        severity = level_number(level)
        if severity < (logging.WARNING if self.quiet else logging.INFO):
            return
        stamp = time.strftime("%m/%d %H:%M:%S", time.localtime(at))
        mark = f"{level}: " if severity >= logging.WARNING else ""
        lines = [f"{stamp}  {mark}{line}" for line in text.splitlines()]
        if self._bar is not None:
            self._bar.print_lines(lines, STYLES.get(level, ""))
        else:
            self._stream.write("".join(f"{line}\n" for line in lines))
            self._stream.flush()


class _Bar:
    """A progress bar below the lines. It is drawn when there is news, without a thread that would slow training."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console as RichConsole

        self._console = RichConsole(file=stream, highlight=False, markup=False, emoji=False)
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def follow(self, record: Record, max_iters: int | None, completed: int) -> None:
        """Move to where a record stands."""
        if record.kind == "event" and record.name == "attempt":
            self.stop()
            self._begin(max_iters, completed)
        if self._progress is None or self._task is None:
            return
        if record.kind == "scalars":
            changes: dict[str, Any] = {"completed": record.iter, "description": "train"}
            if "eta_s" in record.data:
                changes["eta"] = duration(record.data["eta_s"])
            self._progress.update(self._task, refresh=True, **changes)
        elif record.name == "val_start":
            self._progress.update(self._task, refresh=True, description="val")

    def print(self, content: Any) -> None:
        """Print something of rich above the bar."""
        self._console.print(content)

    def print_lines(self, lines: list[str], style: str) -> None:
        """Print lines above the bar; the terminal wraps them."""
        from rich.text import Text

        for line in lines:
            self._console.print(Text(line, style=style), soft_wrap=True)

    def stop(self) -> None:
        """Take the bar away."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def _begin(self, total: int | None, completed: int) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        columns = (
            TextColumn("{task.description:5}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("eta {task.fields[eta]}"),
        )
        self._progress = Progress(*columns, console=self._console, auto_refresh=False, transient=True)
        self._task = self._progress.add_task("train", total=total, completed=completed, eta="-")
        self._progress.start()
