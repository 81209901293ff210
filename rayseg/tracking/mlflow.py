"""MLflow: sends a run to a tracking server, or to an SQLite file beside the runs."""

from __future__ import annotations

import getpass
import hashlib
import json
import logging
import math
import os
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from rayseg.core.errors import ConfigError
from rayseg.tracking.delivery import Delivery
from rayseg.tracking.follower import Follower
from rayseg.tracking.json_lines import HEAD
from rayseg.tracking.lines import number
from rayseg.tracking.lock import alone
from rayseg.tracking.mlflow_names import store_path, store_uri, taken_name
from rayseg.tracking.params import environment
from rayseg.tracking.pictures import Picture
from rayseg.tracking.restarts import losses, restarts
from rayseg.tracking.sweeps import SWEEP_MODE, best_trial, run_params, shown_name, sweep_of
from rayseg.tracking.table import ClassTable
from rayseg.tracking.tracker import CheckpointPolicy, RunInfo

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

URI_VARIABLE = "MLFLOW_TRACKING_URI"
DEFAULTS = {  # what the user's own variables replace
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",  # seconds: a follower tries again by itself
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # at once: a connection that lay idle may be closed
}
SILENCED = ("mlflow", "alembic", "sqlalchemy", "urllib3.connectionpool")
STATUSES = {"finished": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}
UID_TAG, ERROR_TAG, BEST_TAG, CHANGED_TAG = "rayseg.uid", "rayseg.error", "rayseg.best", "rayseg.changed_params"
BEST_TRIAL_TAG, RESTARTS_TAG = "rayseg.best_trial", "rayseg.restarts"
NOTE_TAG, PARENT_TAG = "mlflow.note.content", "mlflow.parentRunId"
MAX_METRICS, MAX_PARAMS = 1000, 100  # of one message
MAX_PARAM, MAX_TAG = 6000, 5000  # characters
ERROR_LINES = 5
EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}  # pages for training, where it is heeded
MARK = "epoch"  # the last number of each line: where the server has it, it has the line
SWEEP_MARK = "best/trial"  # the same of a sweep's lines


class MLflow(Follower):
    """Sends a run to MLflow: curves, config, pictures, scores of the classes, files and, if wanted, checkpoints.

    A number is the metric ``<mode>/<name>`` at its iteration, with the time of its line in ``metrics.jsonl``. The run
    is found again by its tag ``rayseg.uid``, and the server itself says up to which iteration it has the numbers.
    A sweep is a run too, and its trials are the children of it.

    Args:
        tracking_uri: of the server, or ``sqlite:///FILE`` (a relative path begins beside the run directory). When not
            given, ``MLFLOW_TRACKING_URI``, else ``mlflow.db`` beside the run directory. Names and passwords are best
            given as ``MLFLOW_TRACKING_USERNAME``, ``MLFLOW_TRACKING_PASSWORD`` or ``MLFLOW_TRACKING_TOKEN``.
        experiment_name: the run's own, else the name of the directory that holds the run directory.
        run_name: the run directory's name.
        tags: more tags of the run.
        pictures: send overlays and confusion matrices.
        checkpoints: ``none``, ``best``, ``last`` or ``all``.
    """

    kind = "mlflow"
    takes_sweeps = True

    def __init__(
        self,
        tracking_uri: str | None = None,
        experiment_name: str | None = None,
        run_name: str | None = None,
        tags: dict[str, str] | None = None,
        pictures: bool = True,
        checkpoints: CheckpointPolicy = "none",
    ) -> None:
        super().__init__(pictures, checkpoints)
        self.tracking_uri = tracking_uri
        self.experiment_name = experiment_name
        self.run_name = run_name
        self.tags = dict(tags or {})
        self._created = False

    def destination(self, run: RunInfo) -> str:
        """``http://localhost:5000, experiment demo``."""
        return f"{self.uri(run.run_dir)}, experiment {self._experiment_name(run)}"

    def uri(self, run_dir: Path) -> str:
        """Where runs are tracked; a file is given by its absolute path."""
        return store_uri(self.tracking_uri or os.environ.get(URI_VARIABLE) or "sqlite:///mlflow.db", run_dir)

    def local_store(self, run_dir: Path) -> Path | None:
        """The SQLite file or the directory, where it is one of this machine."""
        return store_path(self.uri(run_dir), run_dir)

    def connect(self, run: RunInfo, delivery: Delivery) -> None:
        """Find or make the run; see there which numbers it has, and say that it is running unless it has ended."""
        with alone(self.local_store(run.run_dir)):
            self._client = _client(self.uri(run.run_dir))
        experiment_id = self._experiment_id()
        there = self._known_run(delivery.run_id)
        if there is None:
            delivery.clear()
            there = self._found_run(experiment_id) or self._new_run(experiment_id)
        self._run_id = delivery.run_id = there.info.run_id
        self._there = there
        self._artifacts = json.loads(there.data.tags.get("mlflow.loggedArtifacts", "[]"))
        if run.facts().get("tracking", {}).get("mlflow_run_id") != self._run_id:
            run.remember("mlflow_run_id", self._run_id)
        marks = (m for m in there.data.to_proto().metrics if m.key.endswith(f"/{MARK}") or m.key == SWEEP_MARK)
        delivery.cursor = {m.key.rpartition("/")[0]: m.step for m in marks}
        if not self._ending and there.info.status != "RUNNING":
            self._client.update_run(self._run_id, status="RUNNING")
        self._describe(there)
        self._hang_below_the_sweep()

    def send_lines(self, lines: list[dict[str, Any]]) -> None:
        """Tables of the last validation's classes, then the numbers: lines are whole in a message where they can be."""
        for line in {line["mode"]: line for line in lines if line["mode"] != "train"}.values():
            self._send_table(line)
        batch: list[Any] = []
        for line in lines:
            metrics = _metrics(line)
            if len(batch) + len(metrics) > MAX_METRICS:
                self._send_metrics(batch)
                batch = []
            batch += metrics
        self._send_metrics(batch)

    def send_picture(self, picture: Picture) -> None:
        """An artifact at the same place as in the run directory.

        MLflow's own charts of images print all params above a picture, which then has no room.
        """
        name = Path(taken_name(picture.name)).with_suffix(".png")
        with TemporaryDirectory() as folder:
            copy = Path(folder, name.name)
            shutil.copyfile(picture.path, copy)
            self._client.log_artifact(self._run_id, str(copy), name.parent.as_posix())

    def send_file(self, path: Path, name: str) -> None:
        """An artifact at the same place as in the run directory."""
        folder = Path(name).parent.as_posix()
        self._client.log_artifact(self._run_id, str(path), None if folder == "." else folder)

    def close(self, status: str, error: str | None) -> None:
        """The status, error, best scores and restarts as tags, a description, and when the run really ended."""
        facts, tags = self.run.facts(), {**self._there.data.tags, **self.tags}
        lines = [line for line in self._redact(error or "").splitlines() if line.strip()]
        texts = {ERROR_TAG: "\n".join(lines[:ERROR_LINES])[:MAX_TAG], BEST_TAG: _best(facts)[:MAX_TAG]}
        texts[BEST_TRIAL_TAG] = best_trial(facts)
        texts[RESTARTS_TAG] = self._redact("\n".join(restarts(facts)))[:MAX_TAG]
        texts |= {f"rayseg.{name}": f"{value:g}" for name, value in losses(facts).items()}
        if tags.get(NOTE_TAG, "") in ("", *(tags.get(name) for name in texts)):  # nobody else's
            texts[NOTE_TAG] = texts[ERROR_TAG] or texts[BEST_TAG]
        for name, text in texts.items():
            if text:
                self._client.set_tag(self._run_id, name, text)
            elif name in tags:
                self._client.delete_tag(self._run_id, name)
        self._hang_below_the_sweep()
        ended = facts.get("finished") or facts.get("updated")
        self._client.set_terminated(self._run_id, STATUSES[status], end_time=int(1000 * ended) if ended else None)
        if self._created:
            self._found_run(self._there.info.experiment_id)

    def _experiment_name(self, run: RunInfo) -> str:
        return self.experiment_name or run.facts().get("experiment") or run.run_dir.absolute().parent.name or "rayseg"

    def _experiment_id(self) -> str:
        from mlflow.exceptions import MlflowException

        name = self._experiment_name(self.run)
        found = self._client.get_experiment_by_name(name)
        if found is None:
            uri = self.uri(self.run.run_dir)
            artifacts = None
            if not uri.startswith(("http:", "https:", "databricks", "file:")):
                store = store_path(uri, self.run.run_dir) or self.run.run_dir.absolute()
                artifacts = store.parent / "mlflow_artifacts"
            try:
                return self._client.create_experiment(
                    name, artifacts.as_uri() if artifacts else None, dict(EXPERIMENT_TAGS)
                )
            except MlflowException as error:
                found = self._client.get_experiment_by_name(name)  # made by another at this moment
                if found is None:
                    raise error
        if found.lifecycle_stage == "deleted":
            raise ConfigError(
                f"the experiment {name!r} was deleted there: restore it, or set experiment_name to another"
            )
        return found.experiment_id

    def _known_run(self, run_id: str | None) -> Run | None:
        from mlflow.exceptions import MlflowException

        if run_id is None:
            return None
        try:
            run = self._client.get_run(run_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None
        return run if run.info.lifecycle_stage == "active" else None

    def _found_run(self, experiment_id: str) -> Run | None:
        """The run with our tag. A server that hung may have made it twice: those that are empty are deleted."""
        runs = self._client.search_runs([experiment_id], f"tags.`{UID_TAG}` = '{self._uid}'", max_results=100)
        if not runs:
            return None
        runs.sort(key=lambda run: (not run.data.params, not run.data.metrics, run.info.run_id))
        for double in runs[1:]:
            if not double.data.params and not double.data.metrics and double.info.run_id != self.delivery.run_id:
                self._client.delete_run(double.info.run_id)
        return runs[0]

    def _new_run(self, experiment_id: str) -> Run:
        facts = self.run.facts()
        self._created = True
        return self._client.create_run(
            experiment_id,
            start_time=int(1000 * facts["started"]) if facts.get("started") else None,
            tags={UID_TAG: self._uid, **_own_tags(facts)},
            run_name=shown_name(self.run_name, self.run),
        )

    @property
    def _uid(self) -> str:
        facts = self.run.facts()
        made_up = f"{facts.get('started')} {self.run.run_dir.absolute().name}"
        return str(facts.get("uid") or hashlib.sha256(made_up.encode()).hexdigest()[:32])

    def _describe(self, there: Run) -> None:
        """Send the config as params, which cannot be changed later, and the surroundings as tags."""
        from mlflow.entities import Param, RunTag

        params = {taken_name(key): value[:MAX_PARAM] for key, value in run_params(self.run).items()}
        known = there.data.params
        new = [Param(key, value) for key, value in params.items() if key not in known]
        for part in _parts(new, MAX_PARAMS):
            self._client.log_batch(self._run_id, params=part)
        changed = {key: value for key, value in params.items() if known.get(key, value) != value}
        facts = self.run.facts()
        tags = {**environment(facts), **{key: self._redact(str(value)) for key, value in self.tags.items()}}
        tags = {taken_name(key): value[:MAX_TAG] for key, value in tags.items()}
        if changed:
            lines = [f"{key}: {known[key]} -> {value}" for key, value in changed.items()]
            tags[CHANGED_TAG] = "\n".join(lines)[:MAX_TAG]
        differing = [RunTag(key, value) for key, value in tags.items() if there.data.tags.get(key) != value]
        for batch in _parts(differing, MAX_PARAMS):
            self._client.log_batch(self._run_id, tags=batch)

    def _hang_below_the_sweep(self) -> None:
        """Make a trial the child of its sweep's run, once that is there: the driver may come later than a trial."""
        uid, tags = sweep_of(self.run.facts()).get("uid"), self._there.data.tags
        if not uid or PARENT_TAG in tags:
            return
        found = self._client.search_runs([self._there.info.experiment_id], f"tags.`{UID_TAG}` = '{uid}'", max_results=1)
        for parent in found:
            self._client.set_tag(self._run_id, PARENT_TAG, parent.info.run_id)
            tags[PARENT_TAG] = parent.info.run_id

    def _send_metrics(self, metrics: list[Any]) -> None:
        for part in _parts(metrics, MAX_METRICS):
            self._client.log_batch(self._run_id, metrics=part)

    def _send_table(self, line: Mapping[str, Any]) -> None:
        """``classes/<mode>.json``: the scores of the classes at the last validation, shown by MLflow as a table."""
        table = ClassTable.from_scalars(line)
        if table is None:
            return
        rows = []
        for label, scores in table.rows.items():
            values = [scores.get(name, math.nan) for name in table.names]
            rows.append([line["iter"], label, *(value if math.isfinite(value) else None for value in values)])
        name = f"classes/{taken_name(line['mode'])}.json"
        self._client.log_dict(self._run_id, {"columns": ["iter", "class", *table.names], "data": rows}, name)
        entry = {"path": name, "type": "table"}
        if entry not in self._artifacts:
            self._artifacts.append(entry)
            self._client.set_tag(self._run_id, "mlflow.loggedArtifacts", json.dumps(self._artifacts))


def _client(uri: str) -> MlflowClient:
    """A client that says nothing and does not wait for minutes."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    if "MLFLOW_LOGGING_LEVEL" not in os.environ:
        for name in SILENCED:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        warnings.filterwarnings("ignore", module=rf"({'|'.join(SILENCED)})(\.|$)")
    return MlflowClient(tracking_uri=uri)


def _parts(items: list[Any], size: int) -> Iterator[list[Any]]:
    return (items[begin : begin + size] for begin in range(0, len(items), size))


def _metrics(line: Mapping[str, Any]) -> list[Any]:
    """The numbers of a line as metrics, its epoch last."""
    from mlflow.entities import Metric

    at, mode, step = int(1000 * line["time"]), line["mode"], line["iter"]
    return [Metric(taken_name(f"{mode}/{name}"), value, at, step) for name, value in _numbers(line)]


def _numbers(line: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in line.items():
        if name not in HEAD and isinstance(value, int | float) and not isinstance(value, bool):
            yield name, float(value)
    if line["mode"] != SWEEP_MODE:
        yield MARK, float(line.get(MARK) or 0)


def _best(facts: Mapping[str, Any]) -> str:
    """``best mIoU 96.81 % at iteration 60 of 80``, of a sweep ``... of trial 0003``."""
    best, done = facts.get("best") or {}, facts.get("iter")
    return ", ".join(
        f"best {name} {number(name, entry['value'])} at iteration {entry['iter']} of "
        + (f"trial {entry['trial']}" if "trial" in entry else str(done))
        for name, entry in best.items()
    )


def _own_tags(facts: Mapping[str, Any]) -> dict[str, str]:
    """What MLflow's list of runs shows: who, which config or command, which commit."""
    source = (facts.get("config") or {}).get("file") or facts.get("command") or "rayseg"
    tags = {"mlflow.source.type": "LOCAL", "mlflow.source.name": str(source)[:MAX_TAG]}
    if facts.get("git"):
        tags["mlflow.source.git.commit"] = facts["git"]["commit"]
    with suppress(OSError, KeyError, ImportError):  # a user without a name
        tags["mlflow.user"] = getpass.getuser()
    return tags
