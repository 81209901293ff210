"""Where a run ran: data, hardware, software, as rows of text."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rayseg.reporting.run_data import RunData
from rayseg.reporting.values import as_mapping, as_number, as_text, moment, whole


@dataclass(frozen=True)
class DataSet:
    """A data set of a run: what it is for, its own name or its type, and how it is known again."""

    role: str
    name: str
    root: str
    images: float
    fingerprint: str


def data_sets(run: RunData) -> list[DataSet]:
    """The data sets that run.json tells of."""
    found = []
    for role, value in run.mapping("data").items():
        if entry := as_mapping(value):
            name = as_text(entry.get("name")) or as_text(entry.get("type"))
            root, fingerprint = as_text(entry.get("root")), as_text(entry.get("fingerprint"))
            found.append(DataSet(str(role), name, root, as_number(entry.get("images")), fingerprint))
    return found


def hardware(run: RunData) -> list[str]:
    """GPUs, processor, memory, in words."""
    value = run.mapping("hardware")
    names = value.get("gpus")
    gpus = [as_text(name) for name in names] if isinstance(names, list) else []
    parts = [f"{gpus.count(name)} × {name}" for name in dict.fromkeys(gpus)]
    cores, memory = as_number(value.get("cores")), as_number(value.get("memory_gb"))
    if cpu := as_text(value.get("cpu")):
        parts.append(cpu)
    if math.isfinite(cores):
        parts.append(f"{whole(cores)} core" + ("" if cores == 1 else "s"))
    if math.isfinite(memory):
        parts.append(f"{memory:.0f} GB memory")
    return parts


def git(run: RunData) -> str:
    """The commit, and whether files differed from it; empty when it is not known."""
    value = run.mapping("git")
    commit = as_text(value.get("commit"))
    return commit + (" with changes that are not committed" if commit and value.get("dirty") else "")


def environment(run: RunData) -> list[tuple[str, str]]:
    """(what, value) of where and how the run ran; what is not known is left out."""
    number = run.number
    times = ("started", "launched", "finished") if run.launched_again else ("started", "finished")
    rows = [
        ("command", run.text("command")),
        ("config file", as_text(run.mapping("config").get("file"))),
        ("directory", str(run.directory.resolve())),
        ("started in", run.text("cwd")),
        ("host", run.text("host")),
        ("hardware", ", ".join(hardware(run))),
        ("device", run.text("device")),
        ("workers", run.text("world_size")),
        ("threads of a worker", run.text("threads")),
        ("global batch", run.text("global_batch_size")),
        ("seed", run.text("seed")),
        ("git commit", git(run)),
        ("last checkpoint", run.text("last_checkpoint")),
        *((name, moment(number(name))) for name in times if math.isfinite(number(name))),
        *((key.replace("_", " "), as_text(value)) for key, value in run.mapping("tracking").items()),
    ]
    return [(name, value) for name, value in rows if value]


def versions(run: RunData) -> list[tuple[str, str]]:
    """(package, version)."""
    return [(str(name), as_text(value)) for name, value in run.mapping("versions").items()]
