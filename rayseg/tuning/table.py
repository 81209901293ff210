"""SweepConsole: the terminal. A table that follows the sweep where someone watches, a line a trial elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from rayseg.tracking.lines import duration, number, shown_path
from rayseg.tuning.standing import Standing, TrialState

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

    from rayseg.tuning.results import SweepResult

ROWS = 16  # of the table: the best ones, and those that run
STYLES = {"running": "cyan", "failed": "red", "stopped": "dim", "interrupted": "yellow"}


class SweepConsole:
    """Shows a sweep to people.

    Args:
        quiet: only failures of trials and other troubles, on stderr.
        json: stdout belongs to a machine-readable result, so everything for people goes to stderr.
    """

    def __init__(self, quiet: bool = False, json: bool = False) -> None:
        self.quiet = quiet
        self._stream: TextIO = sys.stderr if json or quiet else sys.stdout
        self._live: Live | None = None
        self._metric, self._mode, self._total, self._max_iters = "", "max", 0, 0

    def start(self, sweep_dir: Path, facts: Mapping[str, Any], standing: Standing) -> None:
        """Say where the sweep is written and how much is to do."""
        self._metric, self._mode = facts["metric"], facts["mode"]
        self._total, self._max_iters = facts["total"], facts["max_iters"]
        done = len(standing.trials) - len(standing.unfinished())
        self._say(f"the sweep is written to {shown_path(sweep_dir)}")
        self._say(f"{self._total} trials" + (f", {done} of them done" if done else ""))
        if self._stream.isatty() and not self.quiet:
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(file=self._stream), auto_refresh=False, transient=True)
            self._live.start()

    def event(self, line: Mapping[str, Any], standing: Standing) -> None:
        """A line for what ended, or failed and is tried again."""
        if line["event"] == "ended":
            self._say(self._ending(standing.trials[line["trial"]]), is_failure=line["status"] == "failed")
        elif line["event"] == "retried":
            self._say(f"trial {line['trial']} failed and is started again: {line['reason']}", is_failure=True)
        elif line["event"] == "exploited":
            self._say(f"trial {line['trial']} goes on from {line['donor']}'s {line['checkpoint']}")

    def note(self, text: str, *, is_trouble: bool = False) -> None:
        """A line about the sweep itself."""
        self._say(text, is_failure=is_trouble)

    def update(self, standing: Standing, facts: Mapping[str, Any]) -> None:
        """Draw the table anew."""
        if self._live is not None:
            self._live.update(self._table(standing), refresh=True)

    def finish(self, result: SweepResult, standing: Standing) -> None:
        """The last lines: the best trial, and where everything is."""
        if self._live is not None:
            self._live.stop()
            if not self.quiet:
                self._live.console.print(self._table(standing))
            self._live = None
        counts = ", ".join(f"{count} {status}" for status, count in standing.counts().items() if count)
        self._say(f"the sweep {_words(result.status)}: {counts}")
        if result.best is not None:
            best = result.best
            self._say(
                f"best: trial {best['trial']}, {self._metric} {number(self._metric, best['value'])} "
                f"at iteration {best['iter']}: {shown_path(Path(best['config']))}"
            )
        for of, scores in (result.seeds or {}).items():
            self._say(f"{of} with {len(scores['values'])} seeds: {self._metric} {self._spread(scores)}")
        self._say(f"everything is in {shown_path(result.sweep_dir)}")

    def _ending(self, trial: TrialState) -> str:
        score = self._score(trial)
        took = f" in {duration(trial.ended - trial.begun)}" if trial.ended and trial.begun else ""
        why = f" ({trial.reason})" if trial.reason else ""
        drawn = _drawn(trial)
        return f"trial {trial.name} {trial.status}{took}: {score}{why} | {drawn}"

    def _score(self, trial: TrialState) -> str:
        best = trial.best(self._metric, self._mode)
        return f"{self._metric} {number(self._metric, best[0])} at iteration {best[1]}" if best else "no score"

    def _spread(self, scores: Mapping[str, Any]) -> str:
        if scores["mean"] is None:
            return "no score"
        deviation = "" if scores["std"] is None else f" ± {number(self._metric, scores['std'])}"
        return f"{number(self._metric, scores['mean'])}{deviation}"

    def _table(self, standing: Standing) -> Table:
        from rich.table import Table

        table = Table(title=f"{len(standing.trials)} of {self._total} trials", title_justify="left")
        for column in ("trial", "status", self._metric, "iter", "drawn"):
            table.add_column(column, overflow="fold")
        for trial in self._shown(standing):
            best = trial.best(self._metric, self._mode)
            drawn = _drawn(trial)
            score = number(self._metric, best[0]) if best else ""
            at = f"{trial.last_iter} of {self._max_iters}"
            table.add_row(trial.name, trial.status, score, at, drawn, style=STYLES.get(trial.status))
        return table

    def _shown(self, standing: Standing) -> list[TrialState]:
        running = [trial for trial in standing.trials.values() if trial.status in ("running", "proposed")]
        others = [trial for trial in standing.ranked(self._metric, self._mode) if trial not in running]
        rest = [trial for trial in standing.trials.values() if trial not in running and trial not in others]
        return [*others[: max(3, ROWS - len(running))], *running, *rest][:ROWS]

    def _say(self, text: str, *, is_failure: bool = False) -> None:
        if self.quiet and not is_failure:
            return
        if self._live is not None:
            self._live.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            self._stream.write(f"{text}\n")
            self._stream.flush()


def _short(name: str) -> str:
    """The last two parts of a dimension's name: ``optimizer.lr``."""
    return ".".join(name.rpartition("]")[2].strip(".").split(".")[-2:]) or name


def _drawn(trial: TrialState) -> str:
    return ", ".join(f"{_short(name)}={_value(value)}" for name, value in trial.draw.items())


def _value(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _words(status: str) -> str:
    return {"finished": "is finished", "interrupted": "was interrupted, its state is saved"}.get(status, "has failed")
