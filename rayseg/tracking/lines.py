"""A run in words: the lines of log.txt and of the terminal, the training's as MMEngine's users know them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from rayseg.core.record import Record
from rayseg.tracking.restarts import lost
from rayseg.tracking.table import ClassTable, is_fraction, percent, split_class_key

Lines = list[tuple[str, str]]

FIRST = ("lr", "eta_s", "iter_time", "data_time", "memory_mb", "host_memory_mb", "grad_norm", "loss")
SHOWN_AS = {"eta_s": "eta", "iter_time": "time", "memory_mb": "memory", "host_memory_mb": "memory"}
IN_FILE_ONLY = ("lr.", "momentum.", "weight_decay", "samples_per_s", "loss_scale")


class RunLines:
    """Turns records into (level, text) pairs; it remembers from the ``attempt`` event how long the run is."""

    def __init__(self) -> None:
        self.max_iters: int | None = None
        self.max_epochs: int | None = None

    def of(self, record: Record, *, table: bool = True) -> Lines:
        """The lines of a record, none for a picture.

        Args:
            table: with the lines of the classes' scores at a validation.
        """
        if record.kind == "log":
            return [(str(record.data.get("level", "INFO")), str(record.data.get("message", "")))]
        if record.kind == "event":
            return self._event(record)
        if record.kind != "scalars":
            return []
        if record.mode == "train":
            return [("INFO", f"{self.place(record)}  {train_numbers(record.data)}")]
        classes = ClassTable.from_scalars(record.data) if table else None
        lines = [("INFO", line) for line in classes.plain()] if classes else []
        return [*lines, ("INFO", f"{self.place(record)}  {scores(record.data)}")]

    def place(self, record: Record) -> str:
        """Where in the run a record of numbers stands: ``Iter(train) [ 50/300]`` or ``Epoch(train) [1][10/60]``."""
        if self.max_epochs and self.max_iters:
            length = self.max_iters // self.max_epochs
            if record.mode != "train":
                return f"Epoch({record.mode}) [{record.epoch}/{self.max_epochs}]"
            inner = record.iter - record.epoch * length
            return f"Epoch({record.mode}) [{record.epoch + 1}][{inner:>{len(str(length))}}/{length}]"
        if self.max_iters:
            return f"Iter({record.mode}) [{record.iter:>{len(str(self.max_iters))}}/{self.max_iters}]"
        return f"Iter({record.mode}) [{record.iter}]"

    def _event(self, record: Record) -> Lines:
        data = record.data
        if record.name == "attempt":
            self.max_iters, self.max_epochs = data.get("max_iters"), data.get("max_epochs")
            return _attempt(data)
        if record.name == "warning":
            return [("WARNING", str(data.get("message", "")))]
        if record.name == "hooks":
            return [("INFO", line) for line in _hook_table(data["table"])]
        if record.name == "parameter_groups":
            return [("INFO", line) for line in ("parameter groups:", *(f"  {line}" for line in data["lines"]))]
        if record.name == "checkpoint":
            return [("INFO", f"saved {data['name']}{_cost(data)}")]
        if record.name == "best":
            return [("INFO", f"best {data['metric']} so far: {number(data['metric'], data['value'])}")]
        if record.name in ("val_start", "times"):
            return []
        if record.name == "stopping":
            reason = data.get("reason")
            return [("WARNING", f"stopping{f' ({reason})' if reason else ''}: the state is saved first")]
        details = ", ".join(f"{key}: {value}" for key, value in data.items())
        return [("INFO", f"{record.name}: {details}" if details else record.name)]


def train_numbers(data: Mapping[str, Any]) -> str:
    """``lr: 2.0000e-03  eta: 0:01:23  time: 0.1234  data_time: 0.0012  memory: 812  loss: 0.6931 ...``."""
    names = [name for name in FIRST if name in data]
    if "memory_mb" in data and "host_memory_mb" in data:
        names.remove("host_memory_mb")
    names += [name for name in data if name not in FIRST and not name.startswith(IN_FILE_ONLY)]
    return "  ".join(f"{SHOWN_AS.get(name, name)}: {number(name, data[name])}" for name in names)


def scores(data: Mapping[str, Any]) -> str:
    """The scores that are not a class's: ``mIoU: 96.12 %  mAcc: 97.80 %  loss: 0.0812``."""
    names = [name for name in data if split_class_key(name) is None]
    return "  ".join(f"{SHOWN_AS.get(name, name)}: {number(name, data[name])}" for name in names)


def number(name: str, value: Any) -> str:
    """A value for people, by what its name says that it is."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return str(value)
    if name == "eta_s":
        return duration(value)
    if name in ("memory_mb", "host_memory_mb"):
        return f"{value:.0f}"
    if is_fraction(name):
        return percent(value)
    if name == "lr" or 0 < abs(value) < 1e-3:
        return f"{value:.4e}"
    return str(value) if isinstance(value, int) else f"{value:.4f}"


def duration(seconds: float) -> str:
    """``83.4`` as ``0:01:23``; a dash when it is not known."""
    try:
        return str(timedelta(seconds=int(seconds)))
    except (ValueError, OverflowError):
        return "-"


def ending_lines(facts: Mapping[str, Any], run_dir: Path) -> Lines:
    """How a run ended, by its ``run.json``, and last where everything is."""
    status, at_iter, where = facts["status"], facts["iter"], shown_path(run_dir)
    saved = f"saved as {facts['last_checkpoint']}" if facts["last_checkpoint"] else "nothing was saved"
    if status == "finished":
        took = duration(facts["finished"] - facts["launched"])
        lines = [("INFO", f"finished: {at_iter} iterations, {took}{_best(facts['best'])}")]
    elif status == "interrupted":
        lines = [("WARNING", f"interrupted at iteration {at_iter}, {saved}; go on with: rayseg train {where} --resume")]
    else:
        lines = [("ERROR", f"{status} at iteration {at_iter}, {saved}{_reason(facts['error'])}")]
    return [*lines, ("INFO", f"everything is in {where}")]


def shown_path(path: Path) -> str:
    """A path as one would type it here: relative when it lies below the current directory."""
    absolute = os.path.abspath(path)
    relative = os.path.relpath(absolute)
    return absolute if relative.startswith(os.pardir) else relative


def _best(best: Mapping[str, Mapping[str, Any]]) -> str:
    parts = [f"best {name} {number(name, entry['value'])} at iteration {entry['iter']}" for name, entry in best.items()]
    return "".join(f"; {part}" for part in parts)


def _reason(error: str | None) -> str:
    return f": {error}" if error else ""


def _cost(data: Mapping[str, Any]) -> str:
    parts = []
    if "bytes" in data:
        parts.append(f"{data['bytes'] / 1e6:.1f} MB")
    if "seconds" in data:
        parts.append(f"{data['seconds']:.2f} s")
    return f" ({', '.join(parts)})" if parts else ""


def _attempt(data: Mapping[str, Any]) -> Lines:
    lines = []
    if data.get("reason"):
        cost = f"; {lost(data)}" if lost(data) else ""
        lines.append(("WARNING", f"the workers were started again: {data['reason']}{cost}"))
    facts = [f"attempt {data['attempt']}"]
    for name, text in (("world_size", "{} worker"), ("global_batch_size", "global batch {}"), ("device", "{}")):
        if name in data:
            facts.append(text.format(data[name]))
    if data.get("world_size", 1) != 1:
        facts[1] += "s"
    facts += [f"{name} {data[name]}" for name in ("threads", "seed") if name in data]
    start = data.get("start_from")
    begins = f"training goes on from {start}" if start else "training begins"
    return [*lines, ("INFO", f"{begins} ({', '.join(facts)})")]


def _hook_table(table: list[Any]) -> list[str]:
    """The hooks of each stage in the order of their calls, as MMEngine prints them."""
    lines = ["hooks, in the order of their calls:"]
    for stage, entries in table:
        lines.append(f"  {stage}: " + ", ".join(f"{name} ({priority})" for priority, name in entries))
    return lines
