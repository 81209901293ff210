"""submit: a run as a job on a cluster, checked here, packed without what must not go, and followed to its end."""

from __future__ import annotations

import os
import re
import secrets
import tempfile
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from rayseg.core.errors import ConfigError
from rayseg.orchestration.results import JobResult
from rayseg.orchestration.stop import JOB_STOP_WAIT
from rayseg.orchestration.versions import EXPECTED, as_variable, differences, refusal, versions_here
from rayseg.submission.config import Job, check_job, require_packed, variables_not_sent, variables_to_send
from rayseg.submission.control import job_result
from rayseg.submission.following import Write, follow, print_piece
from rayseg.submission.packing import Package, require_small, select, size, write_archive
from rayseg.submission.server import JobServer, connect

MAX_SIZE_MIB = 100.0
RAYS_MAX_SIZE_MIB = 500.0
STOP_WAIT_S = 600
JOB_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,99}")

Say = Callable[[str], object]


def submit(
    verb: str,
    source: str | os.PathLike[str],
    *,
    overrides: Iterable[str] = (),
    options: Mapping[str, Any] | None = None,
    address: str | None = None,
    working_dir: str | os.PathLike[str] = ".",
    name: str | None = None,
    env: Iterable[str] = (),
    include: Iterable[str] = (),
    exclude: Iterable[str] = (),
    max_size_mib: float = MAX_SIZE_MIB,
    stop_wait_s: int = STOP_WAIT_S,
    any_versions: bool = False,
    wait: bool = True,
    say: Say = print,
    write: Write = print_piece,
) -> JobResult:
    """Run a verb as a job on a cluster.

    Args:
        verb: ``train`` or ``tune``.
        source: its config, in the working directory; or an absolute path on the cluster.
        overrides: ``key=value`` texts.
        options: the verb's other arguments, such as ``{"work_dir": "/shared/run", "workers": 4}``.
        address: the dashboard's; ``RAY_API_SERVER_ADDRESS`` or this machine's port 8265 when not given.
        working_dir: the directory that goes along and is the job's current one.
        name: the job's; made of the config's name and the time when not given.
        env: names of environment variables that go along with their values.
        include: patterns as in ``.gitignore`` of files that go although the rules leave them out; secrets never go.
        exclude: patterns of files that stay besides.
        max_size_mib: of the files; Ray itself refuses an archive of 500 MiB.
        stop_wait_s: seconds that the job has to save when it is stopped.
        any_versions: go on though the cluster's Python, Ray, torch or rayseg are others.
        wait: until the job has ended.
        say: what tells people, a line at a time.
        write: what gets the job's log, in pieces.

    Returns:
        The job; ended if ``wait``.

    Raises:
        ConfigError: something is wrong with the input; nothing was submitted.
        RaysegError: the cluster did not take the job, or does not answer any more.
    """
    root = _directory(working_dir)
    job = check_job(verb, source, overrides, options or {}, root)
    variables = variables_to_send(env)
    if name is not None and not JOB_NAME.fullmatch(name):
        raise ConfigError(f"--name {name!r}: expected letters, digits, '_', '-' and '.', 100 at most")
    if not 0 < max_size_mib <= RAYS_MAX_SIZE_MIB:
        raise ConfigError(f"--max-size {max_size_mib:g}: expected more than 0 and at most {RAYS_MAX_SIZE_MIB:g} (MiB)")
    package = select(root, include=include, exclude=exclude, data_roots=job.data_roots(root))
    require_packed(job, package)
    for line in package.lines():
        say(line)
    require_small(package, max_size_mib)
    for line in _notes(job, variables):
        say(f"note: {line}")
    server = connect(address)
    _require_same_versions(server, any_versions, say)
    if name is not None and server.find(name) is not None:
        raise ConfigError(f"--name {name}: there is a job of that name at {server.address}; names are used once")
    variables |= {JOB_STOP_WAIT: str(stop_wait_s)}
    if not any_versions:
        variables[EXPECTED] = as_variable(versions_here())
    submitted = _send(server, job, package, name or _new_name(job), variables, say)
    details = follow(server, submitted, write) if wait else server.info(submitted)
    return job_result(server, details)


def _directory(working_dir: str | os.PathLike[str]) -> Path:
    path = Path(os.path.normpath(Path(working_dir).expanduser().absolute()))
    if not path.is_dir():
        kind = "is no directory" if path.exists() else "no such directory"
        raise ConfigError(f"--working-dir {os.fspath(working_dir)}: {kind}")
    return path


def _notes(job: Job, variables: Mapping[str, str]) -> list[str]:
    notes = variables_not_sent(job.config, variables)
    if job.config is None:
        return [*notes, f"{job.source} is not here: the job itself checks it"]
    if Path(job.source).is_absolute():
        notes.append(f"{job.source} does not go with the job: it must be there on the cluster too")
    return notes


def _require_same_versions(server: JobServer, any_versions: bool, say: Say) -> None:
    found = differences(versions_here(), server.versions)
    if not found:
        return
    if not any_versions:
        raise refusal(found, server.address)
    say(f"warning: other versions on the cluster: {'; '.join(found)}")


def _new_name(job: Job) -> str:
    return f"{job.stem[:60]}-{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def _send(server: JobServer, job: Job, package: Package, name: str, variables: Mapping[str, str], say: Say) -> str:
    """Pack, upload and submit; the job's name."""
    from rayseg import __version__

    with tempfile.TemporaryDirectory(prefix="rayseg-submit-") as scratch:
        archive = Path(scratch) / "package.zip"
        write_archive(package, archive)
        say(f"job {name}: sends {size(archive.stat().st_size)} to {server.address}")
        return server.submit(
            entrypoint=f"exec {job.command()}",
            submission_id=name,
            runtime_env={"working_dir": str(archive), "env_vars": dict(variables)},
            metadata={"job_name": name, "rayseg": __version__},
        )
