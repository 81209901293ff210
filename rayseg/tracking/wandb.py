"""W&B: a run as a Weights & Biases run, online or as an offline directory that ``wandb sync`` uploads."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import Any

from rayseg.core.errors import ConfigError
from rayseg.tracking.delivery import Delivery
from rayseg.tracking.follower import Follower
from rayseg.tracking.json_lines import HEAD
from rayseg.tracking.params import ENVIRONMENT, read_config
from rayseg.tracking.pictures import Picture, run_pictures
from rayseg.tracking.redact import Redactor
from rayseg.tracking.restarts import losses, restarts
from rayseg.tracking.sweeps import shown_name, sweep_of
from rayseg.tracking.table import ClassTable
from rayseg.tracking.tail import read_metrics
from rayseg.tracking.tracker import CheckpointPolicy, RunInfo
from rayseg.tracking.wandb_sdk import (
    FINISH_TIMEOUT_S,
    Mode,
    environment_value,
    found_mode,
    quiet_settings,
    server,
    untouched_process,
)

RUN_ID = "wandb_run_id"
MODES = ("train", "val", "test")
MARK = "rayseg/{mode}_iter"  # in the summary: the last line of a mode that the server has
EXIT_CODES = {"finished": 0, "failed": 1, "interrupted": 255}  # 255 is what the SDK itself sends after Ctrl-C


class WandB(Follower):
    """Keeps a run in Weights & Biases.

    Numbers are ``<mode>/<name>`` over ``<mode>/iter``; W&B's own step only counts what was sent. Offline runs cannot
    be continued, so one is built from the run directory when the run ends, in the place of an earlier one, and appears
    in ``wandb/`` of the run directory: ``wandb sync`` uploads it. Online, the SDK uploads in a process of its own; what
    the server says to have when the run is continued decides what is sent again. Nothing is printed, no system metrics
    and no code are collected. The online way was tried against no server, only against one that is away.

    Args:
        project: the run's ``experiment``, else the name of the directory of its run directory, when not given.
        entity: user or team; the account's default when not given.
        group: W&B's group of runs; the sweep's name for its trials when not given.
        name: the name shown; the run directory's when not given. A trial's number comes behind it.
        tags: W&B's tags.
        notes: text shown with the run.
        mode: ``online``, ``offline``, or ``disabled``; when not given, what ``WANDB_MODE`` says, else ``online`` where
            there is an API key (``WANDB_API_KEY`` or ``~/.netrc``), else ``offline``.
        pictures: send overlays and confusion matrices.
        checkpoints: which checkpoints to send as artifacts of type ``model``.
        dir: where ``wandb/`` is made; a relative path is relative to the run directory, which is the default.
    """

    kind = "wandb"

    def __init__(
        self,
        project: str | None = None,
        entity: str | None = None,
        group: str | None = None,
        name: str | None = None,
        tags: list[str] | None = None,
        notes: str | None = None,
        mode: Mode | None = None,
        pictures: bool = True,
        checkpoints: CheckpointPolicy = "none",
        dir: str | None = None,
    ) -> None:
        super().__init__(pictures=pictures, checkpoints=checkpoints)
        if mode not in (None, "online", "offline", "disabled"):
            raise ConfigError(f"WandB: mode is 'online', 'offline' or 'disabled', not {mode!r}")
        self.project = project
        self.entity = entity
        self.group = group
        self.name = name
        self.tags = tags
        self.notes = notes
        self.mode = mode
        self.dir = dir
        self._sdk_run: Any = None

    def destination(self, run: RunInfo) -> str:
        """Server, entity and project, or the offline project."""
        self._mode = self._found_mode
        self.whole = self._mode == "offline"
        project = self._project(run)
        if self._mode != "online":
            return f"{project} ({self._mode})"
        entity = self.entity or os.environ.get("WANDB_ENTITY")
        return "/".join(part for part in (server(os.environ), entity, project) if part)

    @property
    def is_on(self) -> bool:
        """Whether W&B is not disabled."""
        return self._found_mode != "disabled"

    @property
    def _found_mode(self) -> Mode:
        return self.mode or found_mode(os.environ)

    def deliver(self) -> None:
        """Send what has not arrived, unless W&B is disabled."""
        if self._mode != "disabled":
            super().deliver()

    def missing(self) -> tuple[int, int]:
        """What has not arrived; nothing is missing where nothing is wanted."""
        return (0, 0) if self._mode == "disabled" else super().missing()

    def connect(self, run: RunInfo, delivery: Delivery) -> None:
        """Make the run or, online, continue it; then what the server has of it has arrived, and nothing else."""
        tracking, uid = run.facts().get("tracking") or {}, run.facts().get("uid")
        run_id = delivery.run_id or tracking.get(RUN_ID) or uid or token_hex(8)
        if tracking.get(RUN_ID) != run_id:
            run.remember(RUN_ID, run_id)
        self._abandon()
        self._sdk_run = self._init(run, run_id)
        if self._mode == "online":
            self._take_over(run, delivery)
        delivery.run_id = run_id
        for mode in MODES:
            self._sdk_run.define_metric(f"{mode}/*", step_metric=f"{mode}/iter")
        self._described = False

    def send_lines(self, lines: list[dict[str, Any]]) -> None:
        """Log each line, and what the run is before the first."""
        if not self._described:
            self._describe()
        marks = {}
        for line in lines:
            self._sdk_run.log(history_row(line))
            marks[MARK.format(mode=line["mode"])] = line["iter"]
        self._sdk_run.summary.update(marks)

    def send_picture(self, picture: Picture) -> None:
        """Log a picture; the SDK copies it."""
        import wandb

        image = wandb.Image(str(picture.path), caption=f"iteration {picture.iter}")
        self._sdk_run.log({f"{picture.mode}/{picture.tag}": image, f"{picture.mode}/iter": picture.iter})

    def send_file(self, path: Path, name: str) -> None:
        """Copy a file to the run's files."""
        copy = Path(self._sdk_run.settings.files_dir, name)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
        self._sdk_run.save(str(copy), base_path=self._sdk_run.settings.files_dir, policy="now", glob=False)

    def send_checkpoint(self, name: str, folder: Path) -> None:
        """Log a checkpoint as a version of the run's model, with its name as alias."""
        import wandb

        artifact = wandb.Artifact(f"model-{self._sdk_run.id}", type="model", metadata={"checkpoint": name})
        with self._staging():
            artifact.add_dir(str(folder))
            logged = self._sdk_run.log_artifact(artifact, aliases=[name])
        if self._mode == "online":
            logged.wait()

    def close(self, status: str, error: str | None) -> None:
        """Log the last scores of the classes, say how the run ended, and wait until the SDK has done its work."""
        self._describe()
        self._send_tables()
        summary: dict[str, Any] = {"rayseg/status": status, "rayseg/error": error or ""}
        facts = self.run.facts()
        summary |= {f"rayseg/{name}": value for name, value in losses(facts).items()}
        if lines := restarts(facts):
            summary["rayseg/restarts"] = self._redact("\n".join(lines))
        for metric, entry in (facts.get("best") or {}).items():
            summary |= {f"best/{metric}": entry["value"], f"best/{metric}_iter": entry["iter"]}
        self._sdk_run.summary.update(summary)
        run, self._sdk_run, self._connected = self._sdk_run, None, False
        try:
            run.finish(exit_code=EXIT_CODES.get(status, 1))
        except TimeoutError:
            self.delivery.clear()
            raise TimeoutError(f"W&B did not take everything within {FINISH_TIMEOUT_S:.0f} s") from None
        if self._mode == "offline":
            remove_others(Path(run.settings.sync_dir), run.id)

    def _project(self, run: RunInfo) -> str:
        given = self.project or os.environ.get("WANDB_PROJECT")
        default = run.facts().get("experiment") or run.run_dir.absolute().parent.name or "rayseg"
        return given or re.sub(r"[/\\#?%:\s]+", "-", str(default))[:128]

    def _init(self, run: RunInfo, run_id: str) -> Any:
        import wandb

        folder = run.run_dir.absolute() / Path(self.dir or ".").expanduser()
        folder.mkdir(parents=True, exist_ok=True)
        before = set(folder.glob(f"*/run-*-{run_id}*"))
        with untouched_process():
            try:
                wandb.setup(settings=wandb.Settings(silent=True))
                return wandb.init(
                    entity=self.entity,
                    project=self._project(run),
                    dir=str(folder),
                    id=run_id,
                    name=shown_name(self.name or os.environ.get("WANDB_NAME"), run),
                    notes=self.notes,
                    tags=self.tags,
                    **self._grouped(run),
                    mode=self._mode,
                    resume="allow" if self._mode == "online" else None,
                    reinit="create_new",
                    settings=quiet_settings(),
                )
            except Exception:
                for left in set(folder.glob(f"*/run-*-{run_id}*")) - before:
                    shutil.rmtree(left, ignore_errors=True)
                raise

    def _grouped(self, run: RunInfo) -> dict[str, Any]:
        """The group; for a trial its sweep, unless config or environment name another."""
        sweep = sweep_of(run.facts())
        if not sweep:
            return {"group": self.group}
        group = self.group or os.environ.get("WANDB_RUN_GROUP") or sweep["name"]
        return {"group": group, "job_type": os.environ.get("WANDB_JOB_TYPE") or "trial"}

    def _take_over(self, run: RunInfo, delivery: Delivery) -> None:
        """What the server has of a run that is continued has arrived."""
        if not self._sdk_run.resumed:
            delivery.clear()
            return
        cursor = server_cursor(dict(self._sdk_run.summary))
        if cursor:
            delivery.cursor = cursor
            delivery.pictures = held_pictures(run_pictures(run.run_dir), delivery.pictures, cursor)

    def _abandon(self) -> None:
        """Let go of a run that could not be sent to."""
        run, self._sdk_run = self._sdk_run, None
        if run is not None:
            with suppress(Exception):
                run.finish(exit_code=1)

    def _describe(self) -> None:
        facts = self.run.facts()
        about = {name: facts[name] for name in ENVIRONMENT if facts.get(name) is not None}
        config = {**config_tree(self.run.run_dir), "environment": plain(Redactor().tree(about))}
        if facts.get("draw"):
            config["sampled"] = plain(facts["draw"])
        self._sdk_run.config.update(config, allow_val_change=True)
        self._described = True

    def _send_tables(self) -> None:
        """Log the last scores of the classes, if they are new."""
        import wandb

        last = {line["mode"]: line for line in read_metrics(self.run.run_dir) if line["mode"] != "train"}
        for mode, line in last.items():
            table = ClassTable.from_scalars(line)
            key = f"{mode}/classes"
            if table is None or self.delivery.files.get(key) == [line["iter"]]:
                continue
            columns: list[str | int] = ["class", *(f"{name} (%)" for name in table.names)]
            data = [
                [label, *(100 * row.get(n, float("nan")) for n in table.names)] for label, row in table.rows.items()
            ]
            with self._staging():
                self._sdk_run.log({key: wandb.Table(columns=columns, data=data), f"{mode}/iter": line["iter"]})
            self.delivery.files[key] = [line["iter"]]

    @contextmanager
    def _staging(self) -> Iterator[None]:
        """Offline, the files of artifacts are kept with the run, not in the user's home."""
        with environment_value("WANDB_DATA_DIR", self._sdk_run.settings.sync_dir if self.whole else None):
            yield


def history_row(line: Mapping[str, Any]) -> dict[str, Any]:
    """A line of ``metrics.jsonl`` as a row of W&B's history, at the time of the line."""
    mode = line["mode"]
    values = {f"{mode}/{key}": value for key, value in line.items() if key not in HEAD and _is_plain(value)}
    head = {f"{mode}/iter": line["iter"], f"{mode}/time": line["time"], "epoch": line["epoch"]}
    return {**values, **head, "_timestamp": line["time"]}


def server_cursor(summary: Mapping[str, Any]) -> dict[str, int]:
    """Mode → last iteration that the server has, by the summary that it gives back when a run is continued."""
    marks = {mode: summary.get(MARK.format(mode=mode)) for mode in MODES}
    return {mode: int(mark) for mode, mark in marks.items() if isinstance(mark, int | float)}


def held_pictures(pictures: list[Picture], sent: Container[str], cursor: Mapping[str, int]) -> set[str]:
    """Of the pictures that were sent, those that the server must have: they were sent after the lines before them."""
    return {
        picture.name for picture in pictures if picture.name in sent and picture.iter < cursor.get(picture.mode, -1)
    }


def remove_others(kept: Path, run_id: str) -> None:
    """Remove the offline directories of a run but one: W&B would show them as one run with every point twice."""
    pattern = re.compile(rf"offline-run-\d+_\d+-{re.escape(run_id)}(-\d+)?")
    for folder in kept.parent.iterdir():
        if folder != kept and pattern.fullmatch(folder.name):
            shutil.rmtree(folder)


def config_tree(run_dir: Path) -> dict[str, Any]:
    """A run's config as JSON values, secrets hidden; empty where there is none that can be loaded."""
    return dict(plain(Redactor().tree(read_config(run_dir))))


def plain(value: Any) -> Any:
    """A copy as JSON values: what is none, such as a function, as text."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value if value is None or _is_plain(value) else Redactor()(str(value))


def _is_plain(value: Any) -> bool:
    return isinstance(value, int | float | str)
