"""The ``rayseg`` command: verbs, and what an error becomes (a line on stderr and an exit code)."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from rayseg.cli import config, data, jobs, migrate, predict, report, submit, sync, test, train, tune
from rayseg.cli.output import BAD_INPUT, FAILED, INTERRUPTED, OK, Output, print_errors, problems_of
from rayseg.core.errors import ConfigError, RaysegError
from rayseg.orchestration.versions import require_expected_versions

UsageError: Any = typer.BadParameter.__bases__[0]  # click's, of which typer may keep a copy of its own

app = typer.Typer(
    name="rayseg",
    help="MMSegmentation's training engine on Ray.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(wanted: bool) -> None:
    if wanted:
        from rayseg import __version__

        print(f"rayseg {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    """MMSegmentation's training engine on Ray.

    Exit codes: 0 done, 1 the run failed, 2 bad input (nothing was started), 130 interrupted (state saved).
    """


app.command("train")(train.train)
app.command("tune")(tune.tune)
app.command("test")(test.score)
app.command("predict")(predict.predict)
app.command("config")(config.config)
app.command("submit", context_settings=submit.SETTINGS)(submit.submit)
app.command("status")(jobs.status)
app.command("logs")(jobs.logs)
app.command("stop")(jobs.stop)
app.command("report")(report.report)
app.command("sync")(sync.sync)
app.command("migrate")(migrate.migrate)
app.add_typer(data.app, name="data")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line (the process's own when None) and return the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    try:
        require_expected_versions()
        return app(arguments, prog_name="rayseg", standalone_mode=False) or OK
    except UsageError as error:
        return _refused(error.format_message().rstrip(".") + _help_of(error), arguments)
    except (KeyboardInterrupt, typer.Abort):
        print_errors(["interrupted"])
        return INTERRUPTED
    except BrokenPipeError:  # the reader has gone, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (RaysegError, OSError) as error:
        return _failed(error, arguments)


def _failed(error: Exception, arguments: list[str]) -> int:
    code = BAD_INPUT if isinstance(error, ConfigError) else FAILED
    print_errors(str(error).splitlines() or [type(error).__name__])
    Output("--json" in arguments).answer({"exit_code": code, "errors": problems_of(error)})
    return code


def _refused(message: str, arguments: list[str]) -> int:
    return _failed(ConfigError(" ".join(message.split())), arguments)


def _help_of(error: Exception) -> str:
    """Where to read on, such as ``; see 'rayseg train --help'``."""
    context = getattr(error, "ctx", None)
    return f"; see '{context.command_path} --help'" if context is not None else ""


if __name__ == "__main__":
    raise SystemExit(main())
