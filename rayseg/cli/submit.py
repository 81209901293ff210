"""rayseg submit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from rayseg.cli.jobs import Address, print_end
from rayseg.cli.options import Json, Quiet, all_overrides
from rayseg.cli.output import INTERRUPTED, OK, Output
from rayseg.core.errors import ConfigError

SETTINGS = {"allow_interspersed_args": False}  # what follows the verb is the verb's


def submit(
    context: typer.Context,
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND", help="What the job runs.")],
    address: Address = None,
    working_dir: Annotated[Path, typer.Option(help="The directory that goes along, and the job's current one.")] = Path(
        "."
    ),
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Print the job's name and go.")] = False,
    name: Annotated[
        str | None, typer.Option(help="The job's name; the config's name and the time if not given.")
    ] = None,
    env: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="An environment variable that goes along with its value; may be repeated."),
    ] = None,
    include: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="Files that go although the rules leave them out; secrets never do."),
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(metavar="PATTERN", help="Files that stay, besides those of the rules.")
    ] = None,
    max_size: Annotated[float, typer.Option(metavar="MIB", help="Refuse to send more than this.")] = 100.0,
    stop_wait: Annotated[
        int, typer.Option(min=1, metavar="SECONDS", help="What the job has to save when it is stopped.")
    ] = 600,
    any_versions: Annotated[
        bool, typer.Option("--any-versions", help="Go on though the cluster has another Python, Ray, torch or rayseg.")
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Run train or tune as a job on a Ray cluster: checked here, packed, followed to its end.

    Exit code: that of the command in the job; 130 when it was stopped, or when Ctrl-C ended the following; 2 for bad
    input (nothing was submitted).
    """
    from rayseg.submission import follow_job
    from rayseg.submission import submit as send

    out = Output(json, quiet)
    verb, source, overrides, options = parsed(context, command)
    job = send(
        verb,
        source,
        overrides=overrides,
        options=options,
        address=address,
        working_dir=working_dir,
        name=name,
        env=env or (),
        include=include or (),
        exclude=exclude or (),
        max_size_mib=max_size,
        stop_wait_s=stop_wait,
        any_versions=any_versions,
        wait=False,
        say=out.say,
    )
    at = f" --address {address}" if address else ""
    hints = [f"  {text}: rayseg {how} {job.job}{at}" for text, how in HINTS]
    if no_wait:
        out.say(f"job {job.job} is submitted", *hints)
        out.answer(job.as_dict())
        return OK
    try:
        job = follow_job(job.job, address, write=out.write)
    except KeyboardInterrupt:
        out.say("", f"job {job.job} goes on", *hints)
        out.answer(job.as_dict())
        return INTERRUPTED
    return print_end(job, out)


HINTS = (("follow it", "logs --follow"), ("how it stands", "status"), ("save and end", "stop"))


def parsed(context: typer.Context, command: list[str]) -> tuple[str, str, list[str], dict[str, Any]]:
    """The verb of a job with its config, overrides and options, as the verb's own command line reads them.

    Raises:
        ConfigError: a verb that no job runs.
    """
    from rayseg.submission.config import VERBS, require_verb

    verb, *arguments = command
    require_verb(verb)
    root: Any = context.find_root()
    known = root.command.get_command(root, verb)
    given = known.make_context(f"rayseg {verb}", arguments, resilient_parsing=False).params
    overrides = all_overrides(given.pop("overrides", None), given.pop("cfg_options", None))
    if given.get("resume") and given.get("auto_resume"):
        raise ConfigError("--resume and --auto-resume: give one of them")
    source = given.pop("source")
    assert set(given) == set(VERBS[verb].options), f"{verb}: {sorted(given)}"
    return verb, source, overrides, given
