"""A run in one or two sentences, and its key numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from statistics import median

from rayseg.reporting.facts import data_sets, hardware
from rayseg.reporting.run_data import RunData
from rayseg.reporting.values import NONE, moment, named, plural, span, whole

MAX_ERROR = 300  # characters


@dataclass(frozen=True)
class Card:
    """A key number: what it is, its value, a remark."""

    title: str
    value: str
    note: str = ""


def verdict(run: RunData) -> str:
    """How the run went: status, the best score, when it was reached, how long it took, on which data and hardware."""
    return " ".join(part for part in (_standing(run), _achieved(run), circumstances(run)) if part)


def cards(run: RunData) -> list[Card]:
    """The key numbers that the run has."""
    best = run.best
    found = [
        Card(f"Best {name}", named(name, best[name].value), f"iteration {whole(best[name].iter)}")
        for name in _first_scores(run)
    ]
    loss = run.metrics.series("train", "loss")
    planned = whole(run.number("max_iters"))
    speed = run.metrics.series("train", "samples_per_s").finite()
    found += [
        Card("Training loss", named("loss", loss.last()), "last"),
        Card("Iterations", whole(run.iterations), f"of {planned}" if planned != NONE else ""),
        Card("Duration", span(run.duration_s), "with pauses between launches" if run.launched_again else ""),
        Card("Speed", f"{median(speed):,.1f}" if speed else NONE, "samples/s, median"),
        Card(
            "Batch", whole(run.number("global_batch_size")), f"on {plural_or_none(run.number('world_size'), 'worker')}"
        ),
        *_memory(run),
    ]
    return [card for card in found if card.value != NONE]


def plural_or_none(count: float, word: str) -> str:
    """``2 workers``; a question mark when it is not known how many."""
    return plural(int(count), word) if math.isfinite(count) else f"? {word}s"


def _standing(run: RunData) -> str:
    done, planned, took = run.iterations, run.number("max_iters"), span(run.duration_s)
    of = f" of {whole(planned)}" if math.isfinite(planned) and planned != done else ""
    if run.status == "finished":
        return f"Finished after {plural_or_none(done, 'iteration')}{of}" + (f" in {took}." if took != NONE else ".")
    words = {"running": "Still running, or killed without a word,", "failed": "Failed", "interrupted": "Interrupted"}
    where = f"at iteration {whole(done)}{of}" if done > 0 else "before the first iteration was recorded"
    after = f", {took} after the start" if took != NONE else ""
    seen = f" (last sign of life {moment(run.number('updated'))})" if run.status == "running" else ""
    error = next((line.strip() for line in run.text("error").splitlines() if line.strip()), "")
    reason = f": {error[:MAX_ERROR]}{'…' if len(error) > MAX_ERROR else ''}" if error else ""
    text = f"{words.get(run.status, f'Status {run.status}')} {where}{after}{seen}{reason}"
    return text if text.endswith((".", "!", "…")) else text + "."


def _achieved(run: RunData) -> str:
    if not run.main_score:
        return "No validation has given a score yet."
    best = run.best[run.main_score]
    if best.iter == run.iterations:
        return f"The best {run.main_score} is {named(run.main_score, best.value)}, at the last iteration."
    reached = run.metrics.series("val", "time").at(best.iter) - run.number("started")
    when = f", {span(reached)} after the start" if math.isfinite(reached) and reached >= 0 else ""
    return f"The best {run.main_score} is {named(run.main_score, best.value)}, at iteration {whole(best.iter)}{when}."


def circumstances(run: RunData) -> str:
    """On which data and hardware, as a sentence; empty when nothing says it."""
    parts = []
    if sets := data_sets(run):
        listed = [f"{plural(int(s.images), 'image')} ({s.role})" for s in sets if math.isfinite(s.images)]
        name = next((PurePath(s.root).name or s.name for s in sets if s.root or s.name), "")
        parts.append("Data: " + ", ".join(filter(None, [name, *listed])))
    workers = run.number("world_size")
    machine = ", ".join(hardware(run))
    if math.isfinite(workers) or machine:
        count = plural_or_none(workers, "worker") if math.isfinite(workers) else ""
        device = run.text("device")
        parts.append(
            "hardware: " + ", ".join(filter(None, [f"{count} on {device}" if device and count else count, machine]))
        )
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}." if text else ""


def _first_scores(run: RunData) -> Sequence[str]:
    names = [name for name in run.best if name != "loss"]
    return sorted(names, key=lambda name: name != run.main_score)[:3]


def _memory(run: RunData) -> list[Card]:
    for name, note in (("memory_mb", "of the GPU, highest"), ("host_memory_mb", "of the host, highest")):
        values = run.metrics.series("train", name).finite()
        if values and max(values) > 0:
            return [Card("Memory", f"{max(values) / 1024:.1f} GB", note)]
    return []
