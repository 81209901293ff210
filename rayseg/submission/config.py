"""What is known of a job before it leaves: its verb, its config, the variables it needs, the files it names."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Mapping
from contextlib import chdir
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rayseg.config import Config
from rayseg.config.secrets import env_names
from rayseg.config.tree import walk
from rayseg.core.errors import ConfigError, Problem, did_you_mean
from rayseg.orchestration.run_dir import named_by
from rayseg.orchestration.source import CONFIG_FILE, checked, read_source
from rayseg.submission.packing import Package


@dataclass(frozen=True)
class Verb:
    """A verb that a job may run.

    Attributes:
        options: names of its Python function's arguments besides the config and its overrides.
        may_search: its config may hold open search leaves.
    """

    options: tuple[str, ...]
    may_search: bool = False


VERBS = {
    "train": Verb(("work_dir", "workers", "resume", "auto_resume", "local", "dry_run", "json", "quiet")),
    "tune": Verb(
        ("work_dir", "num_samples", "workers", "resume", "auto_resume", "dry_run", "export_best", "json", "quiet"),
        may_search=True,
    ),
}
TRACKER_VARIABLES = {
    "MLflow": (
        "MLFLOW_TRACKING_URI",
        "MLFLOW_TRACKING_USERNAME",
        "MLFLOW_TRACKING_PASSWORD",
        "MLFLOW_TRACKING_TOKEN",
    ),
    "WandB": ("WANDB_API_KEY", "WANDB_BASE_URL", "WANDB_ENTITY", "WANDB_PROJECT"),
}
STORE_VARIABLES = {"s3": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL")}
NAME = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True)
class Job:
    """A checked job.

    Attributes:
        verb: ``train`` or ``tune``.
        source: as the job says it: below the working directory, or absolute on the cluster.
        overrides: ``key=value`` texts.
        options: of the verb, those that are set.
        config: the checked config; None where the source is only on the cluster.
    """

    verb: str
    source: str
    overrides: list[str]
    options: dict[str, Any] = field(default_factory=dict)
    config: Config | None = None

    @property
    def stem(self) -> str:
        """What the job is called after."""
        path = Path(self.source)
        return re.sub(r"[^\w.-]", "_", path.stem if path.suffix else path.name) or self.verb

    def command(self) -> str:
        """The job's command line."""
        words = ["rayseg", self.verb, self.source, *self.overrides]
        for name, value in self.options.items():
            words += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
        return shlex.join(words)

    def data_roots(self, root: Path) -> list[Path]:
        """The data directories that the config names and that lie below ``root``."""
        if self.config is None:
            return []
        named = [value for path, value in walk(self.config) if path.rpartition(".")[2] == "data_root"]
        paths = [Path(os.path.normpath(root / Path(value).expanduser())) for value in named if isinstance(value, str)]
        return [path for path in paths if path.is_relative_to(root)]


def check_job(
    verb: str, source: str | os.PathLike[str], overrides: Iterable[str], options: Mapping[str, Any], root: Path
) -> Job:
    """Check what a job would run, with the working directory as the current one, as on the cluster.

    Raises:
        ConfigError: as the verb itself; a verb that no job can run; an option it does not have; a run directory that
            does not go along.
    """
    require_verb(verb)
    if not isinstance(source, str | os.PathLike):
        raise ConfigError(f"a job's config is a file in the working directory, found {type(source).__name__}")
    known = VERBS[verb].options
    for name in options:
        if name not in known:
            raise ConfigError(f"rayseg {verb} has no option {name!r}{did_you_mean(name, known)}")
    given = {name: value for name, value in options.items() if value is not None and value is not False}
    placed = _placed(Path(source).expanduser(), root)
    if placed.is_absolute() and not placed.exists():
        return Job(verb, str(placed), list(overrides), given)
    with chdir(root):
        config, run_dir = read_source(str(placed), overrides)
        if run_dir is not None and not placed.is_absolute():
            raise ConfigError(f"{placed}: a run directory does not go with a job; give its absolute path there")
        if "workers" in given:
            config, _ = read_source(config, {"scaling.num_workers": given["workers"]})
        config, _ = checked(config, may_search=VERBS[verb].may_search)
        named_by(config, given.get("work_dir"), auto_resume=bool(given.get("auto_resume")))
    return Job(verb, str(placed), list(overrides), given, config)


def require_packed(job: Job, package: Package) -> None:
    """Refuse a package without a file that the config was read from, or begins from.

    Raises:
        ConfigError: naming the file, why it stays, and how it would go.
    """
    if job.config is None:
        return
    files = {job.config.origin(path): "_base_" for path, _ in walk(job.config)}
    files[job.source if not Path(job.source).is_dir() else f"{job.source}/{CONFIG_FILE}"] = ""
    if isinstance(begins := job.config.get("load_from"), str):
        files[begins] = "load_from"
    problems = []
    for name, key in files.items():
        path = Path(os.path.normpath(package.root / Path(name).expanduser()))
        if not path.is_file() or (key == "load_from" and Path(name).is_absolute()):
            continue
        if not path.is_relative_to(package.root):
            if not Path(job.source).is_absolute():
                message = f"{path} is outside of the working directory; name one that holds it by --working-dir"
                problems.append(Problem(message, key, job.source))
        elif why := package.why_not(path.relative_to(package.root).as_posix()):
            where = path.relative_to(package.root)
            problems.append(Problem(f"{where} does not go with the job ({why}); --include {where}", key, job.source))
    if problems:
        raise ConfigError(problems)


def variables_to_send(names: Iterable[str]) -> dict[str, str]:
    """The environment variables that were named for the job, with their values.

    Raises:
        ConfigError: one is not set, or what was given is no name.
    """
    names = list(names)
    for name in names:
        if "=" in name:
            raise ConfigError(f"--env {name.partition('=')[0]}: give the name only; its value is taken from here")
        if not NAME.fullmatch(name):
            raise ConfigError(f"--env {name!r}: expected the name of an environment variable")
        if name not in os.environ:
            raise ConfigError(f"--env {name}: not set here{did_you_mean(name, os.environ)}")
    return {name: os.environ[name] for name in names}


def variables_not_sent(config: Config | None, sent: Iterable[str]) -> list[str]:
    """A line for each environment variable that the job may miss on the cluster."""
    if config is None:
        return []
    needed = [name for name in env_names(config) if name not in sent]
    lines = [
        f"the config needs {name}, which is not sent: set it on the cluster, or add --env {name}" for name in needed
    ]
    sections = (config.get("trackers") or {}).values()
    types = {str(section.get("type", "")).rpartition(".")[2] for section in sections if isinstance(section, Mapping)}
    wanted = [name for kind in TRACKER_VARIABLES if kind in types for name in TRACKER_VARIABLES[kind]]
    url = str((config.get("checkpoint_store") or {}).get("url") or "")
    wanted += STORE_VARIABLES.get(url.partition("://")[0], ())
    unsent = [name for name in wanted if os.environ.get(name) and name not in sent and name not in needed]
    return lines + [f"{name} is set here and not sent: --env {name} sends it" for name in unsent]


def require_verb(verb: str) -> None:
    """Refuse a verb that no job runs.

    Raises:
        ConfigError: which ones do.
    """
    if verb in VERBS:
        return
    raise ConfigError(f"rayseg submit: a job runs {' or '.join(VERBS)}, not {verb!r}{did_you_mean(verb, VERBS)}")


def _placed(source: Path, root: Path) -> Path:
    """The source as the job finds it: relative when it is below ``root``, which is looked in before here."""
    path = root / source
    if not source.is_absolute() and not path.exists() and source.exists():
        path = source.absolute()
    path = Path(os.path.normpath(path))
    if path.is_relative_to(root):
        return path.relative_to(root)
    return source if not source.is_absolute() and not path.exists() else path
