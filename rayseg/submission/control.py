"""Jobs that are there already: how they stand, what they print, and asking one to save and end."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rayseg.core.errors import RaysegError
from rayseg.orchestration.results import JobResult
from rayseg.orchestration.stop import JOB_STOP_WAIT, RAYS_STOP_WAIT_S
from rayseg.submission.following import Write, follow, print_piece
from rayseg.submission.server import JobServer, LostError, connect

STOPPED_CODE = 130
POLL_S = 0.5
SLACK_S = 60.0  # for Ray to notice that a job has ended
LAST_LINES = 2
SAYS_THE_STATUS = ("Job entrypoint command failed with", "Job finished", "Job is currently", "Job was intentionally")


def jobs(address: str | None = None) -> list[JobResult]:
    """The cluster's submitted jobs, the newest first.

    Args:
        address: the dashboard's; ``RAY_API_SERVER_ADDRESS`` or this machine's port 8265 when not given.

    Raises:
        ConfigError: no job server there, or it wants a token.
    """
    server = connect(address)
    return [job_result(server, details) for details in server.all()]


def job_status(job: str, address: str | None = None) -> JobResult:
    """How a job stands.

    Raises:
        ConfigError: as ``jobs``; no such job.
    """
    server = connect(address)
    return job_result(server, server.info(job))


def job_log(job: str, address: str | None = None) -> str:
    """All that a job has printed so far.

    Raises:
        ConfigError: as ``job_status``.
    """
    server = connect(address)
    server.info(job)
    return server.log(job)


def follow_job(job: str, address: str | None = None, *, write: Write = print_piece) -> JobResult:
    """Pass on what a job prints until it has ended; ``write`` gets pieces of text.

    Raises:
        ConfigError: as ``job_status``.
        RaysegError: the cluster does not answer any more.
    """
    server = connect(address)
    server.info(job)
    return job_result(server, follow(server, job, write))


def stop_job(
    job: str, address: str | None = None, *, wait: bool = True, say: Callable[[str], object] = print
) -> JobResult:
    """Ask a job to save and end, and wait until it has.

    Ray sends SIGTERM, on which a run saves, and SIGKILL after the job's ``RAY_JOB_STOP_WAIT_TIME_S``: what
    ``rayseg submit`` sets by ``--stop-wait``, and 3 s for other jobs unless the cluster's nodes say otherwise.

    Args:
        job: its name.
        address: the dashboard's.
        wait: until it has ended.
        say: what tells people, a line at a time.

    Raises:
        ConfigError: as ``job_status``.
        RaysegError: it did not end.
    """
    server = connect(address)
    details = server.info(job)
    if details.status.is_terminal():
        say(f"{job} has ended before: {details.status.value.lower()}")
        return job_result(server, details)
    seconds = _stop_wait(details)
    if seconds is None:
        say(
            f"warning: {job} says no {JOB_STOP_WAIT}: Ray kills it after {RAYS_STOP_WAIT_S} s unless its node says more"
        )
    server.stop(job)
    if not wait:
        return job_result(server, server.info(job))
    given = RAYS_STOP_WAIT_S if seconds is None else seconds
    say(f"{job} was asked to save and end; it has {given} s")
    details = _ended(server, job, given + SLACK_S)
    for line in _last_lines(server, job):
        say(line)
    return job_result(server, details)


def job_result(server: JobServer, details: Any) -> JobResult:
    """The server's details as ours."""
    return JobResult(
        job=str(details.submission_id),
        address=server.address,
        status=details.status.value.lower(),
        exit_code=exit_code(details.status.value, details.driver_exit_code),
        command=shown_command(details.entrypoint),
        message=_about(details.message, details.driver_exit_code),
        started=_seconds(details.start_time),
        ended=_seconds(details.end_time),
    )


def exit_code(status: str, code: int | None) -> int | None:
    """The exit code that a job gives to who waits for it, of Ray's status and of the exit code of the job's command."""
    if status == "SUCCEEDED":
        return 0
    if status == "STOPPED":
        return STOPPED_CODE
    if status != "FAILED":
        return None
    return code if code is not None and 0 < code < 256 else 1


def shown_command(entrypoint: str) -> str:
    """The command without the shell's ``exec``."""
    return entrypoint.removeprefix("exec ")


def _about(message: str | None, code: int | None) -> str:
    """A line about a job that ended; Ray's own holds the log's end below it, and may be a traceback."""
    if code == 127:
        return "the cluster has no 'rayseg' on its PATH: install rayseg on its nodes"
    if code is not None and code < 0:
        return f"it was killed by signal {-code}{' (out of memory?)' if code == -9 else ''}"
    lines = [line.strip() for line in (message or "").splitlines() if line.strip()]
    if not lines or lines[0].startswith(SAYS_THE_STATUS):
        return ""
    return lines[-1] if lines[0].startswith("Traceback") else lines[0]


def _seconds(milliseconds: int | None) -> float | None:
    return None if not milliseconds else milliseconds / 1000


def _stop_wait(details: Any) -> int | None:
    variables = (details.runtime_env or {}).get("env_vars") or {}
    text = str(variables.get(JOB_STOP_WAIT, ""))
    return int(text) if text.isdecimal() else None


def _ended(server: JobServer, job: str, seconds: float) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            details = server.info(job)
            if details.status.is_terminal():
                return details
        except LostError:
            pass
        time.sleep(POLL_S)
    raise RaysegError(f"{job} was asked to end and has not within {seconds:.0f} s: rayseg status {job}")


def _last_lines(server: JobServer, job: str) -> list[str]:
    """The end of the log, where a run says what it saved."""
    try:
        lines = [line for line in server.log(job).splitlines() if line.strip()]
    except RaysegError:
        return []
    return lines[-LAST_LINES:]
