"""The run directory: which one a run gets, and what must be true of it before the run begins."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import FunctionType
from typing import Any

from rayseg.config import Config, load_config
from rayseg.config.imports import import_path_of
from rayseg.config.tree import walk
from rayseg.core.errors import ConfigError, Problem
from rayseg.engine.build import run_name, store_of
from rayseg.engine.checkpoint_store import Checkpoint
from rayseg.orchestration.changes import refused_changes
from rayseg.orchestration.source import CODE_DIR, CONFIG_FILE, resolved, with_saved_code
from rayseg.tracking.files import RecordingError, replace_keeping
from rayseg.tracking.run_file import RUN_FILE, read_run

LATEST = "latest"


@dataclass(frozen=True)
class RunDir:
    """A chosen directory.

    Attributes:
        path: absolute.
        named: the user named it, so it is used as it is; else it is a new one under ``work_dirs/<name>/``.
        start_from: the checkpoint that the run goes on from, None for a run that begins.
    """

    path: Path
    named: bool
    start_from: Checkpoint | None = None


def choose(config: Config, work_dir: str | os.PathLike[str] | None, *, resume: bool, auto_resume: bool) -> RunDir:
    """The directory of a run, looked at and not yet touched.

    Raises:
        ConfigError: it is used and nothing was said of resuming; there is nothing to resume; the config differs from
            the run's in what a resume may not change.
    """
    chosen = chosen_path(config, work_dir, resume=resume, auto_resume=auto_resume)
    if not chosen.named:
        return chosen
    path = chosen.path
    store = store_of(config, path)
    checkpoint = None if store.is_empty() else store.latest()
    used = checkpoint is not None or _has_numbers(path)
    if used and not (resume or auto_resume):
        what = f"checkpoint {checkpoint.name}" if checkpoint else "a run's numbers"
        raise ConfigError(f"{path} already holds {what}: go on with --resume, or name another --work-dir")
    if resume and not used and not (path / CONFIG_FILE).is_file():
        raise ConfigError(f"{path} holds no run to resume; start one without --resume, or say --auto-resume")
    if resume and checkpoint is None and not store.is_empty():
        raise ConfigError(
            f"{path}: no checkpoint is whole ({'; '.join(store.warnings)}); "
            "begin anew with --auto-resume, or name another --work-dir"
        )
    if (path / RUN_FILE).is_file() and not read_run(path):
        why = "damaged; trackers know the run by it: put a copy back, or remove it to be a new run for them"
        raise ConfigError(Problem(why, file=str(path / RUN_FILE)))
    if used and (path / CONFIG_FILE).is_file():
        _refuse_changes(config, path)
    if checkpoint is not None:
        _refuse_less(config, checkpoint)
    return RunDir(path, named=True, start_from=checkpoint)


def chosen_path(
    config: Config, work_dir: str | os.PathLike[str] | None, *, resume: bool, auto_resume: bool = False
) -> RunDir:
    """The directory that is meant: a named one, the latest one to resume, or a new one. Nothing in it is looked at.

    Raises:
        ConfigError: an empty name, none where every retry must find the same, a file in its place.
    """
    named = named_by(config, work_dir, auto_resume=auto_resume)
    if named is None and not resume:
        return RunDir(_new(config), named=False)
    path = based(named) if named is not None else _latest(config)
    if path.exists() and not path.is_dir():
        raise ConfigError(f"--work-dir {path}: a file is in the way")
    return RunDir(path, named=True)


def named_by(
    config: Config, work_dir: str | os.PathLike[str] | None, *, auto_resume: bool
) -> str | os.PathLike[str] | None:
    """The directory that the user named, on the command line or in the config, if any.

    Raises:
        ConfigError: the name is empty, or missing where a retry must find it again.
    """
    named = config.get("work_dir") if work_dir is None else work_dir
    if named is not None and not os.fspath(named):
        raise ConfigError("--work-dir (work_dir in the config): empty; name a directory, or leave it out")
    if named is None and auto_resume:
        raise ConfigError("--auto-resume needs a --work-dir (or work_dir in the config) that every retry finds again")
    return named


def based(work_dir: str | os.PathLike[str]) -> Path:
    """An absolute path; in a Ray job a relative one is below RAYSEG_HOME, since the job's directory is temporary."""
    path = Path(work_dir).expanduser()
    if path.is_absolute():
        return path
    if "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ:
        from rayseg.data.home import rayseg_home

        return rayseg_home() / path
    return path.absolute()


def prepare(config: Config, run_dir: RunDir) -> Config:
    """Make the directory; write ``config.py`` and keep the modules that it names. Returns the config to run with."""
    path = run_dir.path
    with _writable(path):
        path.mkdir(parents=True, exist_ok=run_dir.named)
        replace_keeping(path / CONFIG_FILE, config.dump().encode())
        _keep_code(config, path / CODE_DIR)
        if not run_dir.named:
            _point_latest(path)
    return with_saved_code(config, path)


def _new(config: Config) -> Path:
    home = based(Path("work_dirs") / run_name(config))
    stamp = datetime.now().strftime("%Y%m%d_%H%M%S")
    path, count = home / stamp, 1
    while path.exists():
        count += 1
        path = home / f"{stamp}_{count}"
    return path


def _latest(config: Config) -> Path:
    link = based(Path("work_dirs") / run_name(config)) / LATEST
    if not link.is_dir():
        raise ConfigError(f"nothing to resume: {link} is not there; name the run with --work-dir")
    return link.resolve()


def _has_numbers(path: Path) -> bool:
    numbers = path / "metrics.jsonl"
    return numbers.is_file() and numbers.stat().st_size > 0


def _refuse_changes(config: Config, path: Path) -> None:
    saved, _ = resolved(with_saved_code(load_config(path / CONFIG_FILE), path))
    if changes := refused_changes(saved, config):
        raise ConfigError(
            Problem(f"a resume may not change it: the run has {before}, now {after}", key, config.origin(key))
            for key, before, after in changes
        )


def _refuse_less(config: Config, checkpoint: Checkpoint) -> None:
    wanted = config["train_cfg"].get("max_iters")
    if wanted is not None and wanted < checkpoint.iter:
        key = "train_cfg.max_iters"
        done = f"found {wanted}, the run has done {checkpoint.iter} iterations already"
        raise ConfigError(Problem(done, key, config.origin(key)))


def _keep_code(config: Config, target: Path) -> None:
    """Copy the local modules and packages that the config names; what is kept already stays as it is."""
    for name in sorted(_top_modules(config)):
        for directory in map(Path, import_path_of(config)):
            module, package = directory / f"{name}.py", directory / name
            if directory == target or not (module.is_file() or (package / "__init__.py").is_file()):
                continue
            kept = target / (module.name if module.is_file() else name)
            if kept.exists():
                break
            target.mkdir(exist_ok=True)
            if module.is_file():
                shutil.copy2(module, kept)
            else:
                shutil.copytree(package, kept, ignore=_not_code)
            break


def _top_modules(config: Config) -> set[str]:
    values = [value for _, value in walk(config)]
    dotted = {value.partition(".")[0] for value in values if isinstance(value, str) and "." in value}
    dotted |= {value.__module__.partition(".")[0] for value in values if isinstance(value, type | FunctionType)}
    imports = (config.get("custom_imports") or {}).get("imports") or []
    named = {name.partition(".")[0] for name in ([imports] if isinstance(imports, str) else imports)}
    return {name for name in dotted | named if name.isidentifier()} - {"rayseg"}


def _not_code(directory: str, names: list[str]) -> list[str]:
    return [
        name
        for name in names
        if name.startswith(".") or name == "__pycache__" or not (name.endswith(".py") or Path(directory, name).is_dir())
    ]


def _point_latest(path: Path) -> None:
    link = path.parent / LATEST
    partial = path.parent / f".{LATEST}.{os.getpid()}"
    partial.unlink(missing_ok=True)
    partial.symlink_to(path.name, target_is_directory=True)
    partial.replace(link)


@contextmanager
def _writable(path: Path) -> Iterator[Any]:
    try:
        yield
    except OSError as error:
        raise ConfigError(f"--work-dir {path}: cannot be written: {error.strerror or error}") from None
    except RecordingError as error:
        raise ConfigError(f"--work-dir {error}") from None
