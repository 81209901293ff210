"""rayseg status, logs and stop: jobs on a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from rayseg.cli.options import Json, Quiet
from rayseg.cli.output import INTERRUPTED, OK, Output, print_errors

if TYPE_CHECKING:
    from rayseg.orchestration import JobResult

Address = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="The cluster's dashboard, such as http://HEAD:8265; RAY_API_SERVER_ADDRESS, else this machine's.",
    ),
]
Name = Annotated[str, typer.Argument(metavar="JOB", help="The job's name.")]


def status(
    job: Annotated[str | None, typer.Argument(metavar="JOB", help="One job; all of them if not given.")] = None,
    address: Address = None,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Show how a job on a cluster stands, or all jobs, the newest first."""
    from rayseg.submission import job_status, jobs

    out = Output(json, quiet)
    if job is not None:
        found = job_status(job, address)
        out.say(line_of(found), *([f"  {found.message}"] if found.message else []))
        out.answer(found.as_dict())
        return OK
    every = jobs(address)
    out.say(*(line_of(each) for each in every) if every else ["no jobs"])
    out.answer({"jobs": [each.as_dict() for each in every]})
    return OK


def logs(
    job: Name,
    address: Address = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Until the job ends; the exit code is then the job's.")
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Print what a job has printed, and with --follow what it goes on to print."""
    from rayseg.submission import follow_job, job_log, job_status

    out = Output(json, quiet)
    if follow:
        try:
            return print_end(follow_job(job, address, write=out.write), out)
        except KeyboardInterrupt:
            out.say("", f"job {job} goes on; save and end: rayseg stop {job}")
            return INTERRUPTED
    text = job_log(job, address)
    out.write(text if text.endswith("\n") or not text else f"{text}\n")
    if json:
        out.answer({**job_status(job, address).as_dict(), "log": text})
    return OK


def stop(
    job: Name,
    address: Address = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Ask, and do not wait until it has ended.")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Ask a job to save and end, and wait until it has."""
    from rayseg.submission import stop_job

    out = Output(json, quiet)
    try:
        found = stop_job(job, address, wait=not no_wait, say=out.say)
    except KeyboardInterrupt:
        out.say("", f"job {job} was asked to save and end; how it stands: rayseg status {job}")
        return INTERRUPTED
    out.say(line_of(found))
    out.answer(found.as_dict())
    return OK


def print_end(job: JobResult, out: Output) -> int:
    """Say how a job ended; its exit code."""
    code = OK if job.exit_code is None else job.exit_code
    if code == OK or job.status == "stopped":
        out.say(line_of(job))
    else:
        print_errors([f"job {job.job} {job.status}, exit code {code}{f': {job.message}' if job.message else ''}"])
    out.answer(job.as_dict())
    return code


def line_of(job: JobResult) -> str:
    """A job on one line."""
    from datetime import datetime

    began = f"{datetime.fromtimestamp(job.started):%Y-%m-%d %H:%M:%S}" if job.started else "-"
    code = f" ({job.exit_code})" if job.status == "failed" else ""
    return f"{job.job}  {job.status}{code}  {began}  {job.command}"
