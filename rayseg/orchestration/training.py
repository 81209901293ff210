"""train: one run from its config to its last checkpoint, on Ray Train workers or in this process."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from rayseg.config import Config, config_import_path, settings
from rayseg.core.errors import RaysegError
from rayseg.core.record import Record
from rayseg.engine.build import store_of
from rayseg.engine.owner import RunOwner
from rayseg.engine.stored_checkpoints import StoredCheckpoints
from rayseg.models.pretrained import fetch_pretrained
from rayseg.orchestration.cluster import connected, names_a_cluster, node_count, require_gpu, require_local
from rayseg.orchestration.facts import datasets_of, launch_facts, other_data
from rayseg.orchestration.launch import note, run_here, run_on_ray
from rayseg.orchestration.nodes import check_nodes
from rayseg.orchestration.rehearsal import rehearse
from rayseg.orchestration.results import RunResult
from rayseg.orchestration.run_dir import RunDir, choose, prepare
from rayseg.orchestration.source import Overrides, Source, read_source, resolved
from rayseg.orchestration.stop import StopRequest, StopSignals, stop_wait_note
from rayseg.orchestration.trackers import build_trackers, require_one_store
from rayseg.tracking.recorder import RunRecorder
from rayseg.tracking.redact import Redactor
from rayseg.tracking.run_file import read_run
from rayseg.tracking.tracker import Tracker


def train(
    source: Source,
    *,
    overrides: Overrides = (),
    work_dir: str | os.PathLike[str] | None = None,
    workers: int | None = None,
    resume: bool = False,
    auto_resume: bool = False,
    local: bool | None = None,
    console: Any = None,
) -> RunResult:
    """Train, validate and save as a config says.

    Args:
        source: a config file, a run directory, or the config as a dict (which may hold classes).
        overrides: ``key=value`` texts, or a mapping from key path to value.
        work_dir: the run directory; ``work_dirs/<config name>/<time>`` when nobody names one.
        workers: instead of ``scaling.num_workers``.
        resume: go on from the newest checkpoint of the run directory.
        auto_resume: go on if there is anything to go on from, else begin.
        local: in this process, without Ray, with the same global batch; the default in a notebook.
        console: what shows the run to people (a Tracker), such as ``rayseg.tracking.console.Console()``.

    Returns:
        How it ended; a failure in mid-run is a status, not an exception.

    Raises:
        ConfigError: something is wrong with the input; nothing was started.
    """
    local = _in_notebook() if local is None else local
    config, run_dir = plan_run(source, overrides, work_dir, workers, resume=resume, auto_resume=auto_resume)
    trackers = build_trackers(config, console)
    scaling = settings(config, "scaling")
    if local:
        require_gpu(scaling)
    elif not names_a_cluster():
        require_local(scaling)
    workers = 1 if local else scaling.num_workers
    rehearsed = rehearse(config, run_dir.path, run_dir.start_from, workers)
    if run_dir.start_from is None:
        with config_import_path(config):
            fetch_pretrained(config["model"])
    with nullcontext() if local else connected(scaling) as resources:
        if resources is not None:
            require_one_store(trackers, run_dir.path, node_count())
            fresh, wait = run_dir.start_from is None, scaling.start_timeout_s
            check_nodes(config, run_dir.path, datasets_of(rehearsed), resources, wait, fresh=fresh)
        facts = launch_facts(config, run_dir.path, rehearsed, workers)
        changed = other_data(read_run(run_dir.path).get("data") or {}, facts["data"])
        config = prepare(config, run_dir)
        owner = begin_run(config, run_dir.path, trackers, facts)
        if workers < scaling.num_workers:
            what = f"--local: one process does the work of {scaling.num_workers} workers, same global batch"
            owner.receive(note(what))
        for change in changed:
            owner.recorder.warn(change)
        if advice := stop_wait_note():
            owner.receive(note(advice))
        with StopSignals(settings(config, "failure").time_limit) as stop:
            return carry_out(owner, config, run_dir.path, resources, stop)


def plan_run(
    source: Source,
    overrides: Overrides,
    work_dir: str | os.PathLike[str] | None,
    workers: int | None,
    *,
    resume: bool,
    auto_resume: bool,
) -> tuple[Config, RunDir]:
    """The checked config of a run and its directory, which is not touched yet.

    Raises:
        ConfigError: as ``train``.
    """
    config, from_run = read_source(source, overrides)
    if workers is not None:
        config, _ = read_source(config, {"scaling.num_workers": workers})
    config, _ = resolved(config)
    resume = resume or bool(config.get("resume"))
    return config, choose(config, from_run if work_dir is None else work_dir, resume=resume, auto_resume=auto_resume)


def begin_run(
    config: Config,
    run_dir: Path,
    trackers: Sequence[Tracker],
    facts: Mapping[str, Any],
    listen: Callable[[Record], None] | None = None,
) -> RunOwner:
    """Open the files of a run directory that is prepared, and let the trackers begin.

    Args:
        facts: for ``run.json``.
        listen: shown every record once it is written down.

    Raises:
        ConfigError: another living process records into it.
        RecordingError: it cannot be written.
    """
    recorder = RunRecorder(run_dir, trackers, checkpoints=StoredCheckpoints(store_of(config, run_dir)))
    owner = RunOwner(recorder, store_of(config, run_dir), listen)
    recorder.start(facts)
    return owner


def carry_out(
    owner: RunOwner, config: Config, run_dir: Path, resources: dict[str, float] | None, stop: StopRequest
) -> RunResult:
    """Run to the end and write down how it ended, whatever happens.

    Args:
        resources: what each Ray worker asks for; None for a run in this process.
        stop: asked for the run's end.
    """
    error: BaseException | None = None
    try:
        if resources is None:
            run_here(config, run_dir, owner, stop)
        else:
            run_on_ray(config, run_dir, owner, stop, resources)
    except (Exception, KeyboardInterrupt) as failure:
        error = failure
    if owner.ended is not None:
        status = owner.ended["status"]
    else:
        status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
    if error is None and stop.failure is not None:
        error, status = RaysegError(stop.failure), "failed"
    text = None if error is None or status == "interrupted" else Redactor()(_one_line(error))
    owner.recorder.finish(status, error=_in_full(error) if error is not None and text else None)
    return RunResult(run_dir, status, owner.iter, owner.metrics, owner.best, text)


def _one_line(error: BaseException) -> str:
    """What happened and where, whole; the exception's class only where the message was not made for people."""
    message = "; ".join(line.strip() for line in str(error).splitlines() if line.strip())
    if not isinstance(error, RaysegError):
        message = f"{type(error).__name__}: {message}" if message else type(error).__name__
    notes = [note for note in getattr(error, "__notes__", ()) if "\n" not in note]
    return message + (f" ({'; '.join(notes)})" if notes else "")


def _in_full(error: BaseException) -> str:
    """The line, and below it the traceback."""
    import traceback

    return f"{_one_line(error)}\n{''.join(traceback.format_exception(error)).rstrip()}"


def _in_notebook() -> bool:
    return "ipykernel" in sys.modules
