"""TensorBoard: a run as event files, which ``tensorboard --logdir`` shows. Neither torch nor TensorFlow is imported."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from rayseg.tracking.delivery import Delivery
from rayseg.tracking.files import AppendFile, RecordingError
from rayseg.tracking.follower import Follower
from rayseg.tracking.json_lines import HEAD
from rayseg.tracking.params import config_params, environment
from rayseg.tracking.pictures import Picture
from rayseg.tracking.redact import Redactor
from rayseg.tracking.sweeps import own_folder
from rayseg.tracking.table import ClassTable, percent
from rayseg.tracking.tracker import RunInfo

LOG_DIR = "tensorboard"
PREFIX = "events.out.tfevents."
HPARAMS = "_hparams_/session_start_info"  # the tag that TensorBoard gives them


class TensorBoard(Follower):
    """Keeps numbers, pictures, config and environment as TensorBoard's event files.

    Tags are ``<mode>/<name>`` (``train/loss``, ``val/mIoU``, ``val/IoU.land``), steps are iterations, and points have
    the times of ``metrics.jsonl``. What the files hold says what has arrived, so a point is there once, whatever is
    killed when; a restarted run goes on in a file more. TensorBoard keeps numbers in single precision.

    Args:
        log_dir: where the files are, ``tensorboard`` when not given; a relative path is relative to the run directory.
            One of several runs would show them as one; a sweep's trials have a folder each below it.
        pictures: send overlays and confusion matrices.
    """

    kind = "tensorboard"

    def __init__(self, log_dir: str | None = None, pictures: bool = True) -> None:
        super().__init__(pictures=pictures)
        self.log_dir = log_dir or LOG_DIR
        self._files: EventFiles | None = None

    def destination(self, run: RunInfo) -> str:
        """The directory as it was given, so that a run directory that is moved stays one run."""
        return self.log_dir

    def local_store(self, run_dir: Path) -> Path:
        """The directory of the event files."""
        return own_folder(run_dir / Path(self.log_dir).expanduser(), run_dir)

    def connect(self, run: RunInfo, delivery: Delivery) -> None:
        """Learn from the files what they hold; when they are gone, everything is sent again."""
        self._let_go()
        files = EventFiles(self.local_store(run.run_dir))
        if not files.read():
            delivery.clear()
        self._files = files
        delivery.run_id = run.run_dir.name
        self._described = False

    def send_lines(self, lines: list[dict[str, Any]]) -> None:
        """Write an event for each line, and what the run is before the first."""
        if not self._described:
            self._describe(lines[0]["iter"])
        for line in lines:
            values = {name: value for name, value in line.items() if name not in HEAD}
            scalars = {f"{line['mode']}/{name}": value for name, value in values.items() if _is_number(value)}
            texts = {}
            if line["mode"] != "train" and (table := ClassTable.from_scalars(values)) is not None:
                texts[f"{line['mode']}/classes"] = class_markdown(table)
            self._open.add(line["iter"], line["time"], scalars=scalars, texts=texts)
        self._open.sync()

    def send_picture(self, picture: Picture) -> None:
        """Write a picture, under the time of the file that it comes from."""
        at = (self.run.run_dir / picture.name).stat().st_mtime
        self._open.add(picture.iter, at, pngs={f"{picture.mode}/{picture.tag}": picture.path.read_bytes()})
        self._open.sync()

    def send_file(self, path: Path, name: str) -> None:
        """Nothing: the file lies beside the event files."""

    def close(self, status: str, error: str | None) -> None:
        """Write down how the run ended."""
        at_iter = max(self.delivery.cursor.values(), default=0)
        self._describe(at_iter)
        self._text("status", f"{status}: {error}" if error else status, at_iter)
        self._open.sync()
        self._let_go()
        self._connected = False

    @property
    def _open(self) -> EventFiles:
        assert self._files is not None, "connect() comes first"
        return self._files

    def _let_go(self) -> None:
        if self._files is not None:
            self._files.close()
            self._files = None

    def _describe(self, at_iter: int) -> None:
        """Write config and environment, where they are not as the files have them."""
        self._text("config", markdown(config_params(self.run.run_dir)), at_iter)
        self._text("environment", markdown(environment(self.run.facts())), at_iter)
        if draw := self.run.facts().get("draw"):
            self._open.add(at_iter, time.time(), hparams=draw)
        self._described = True

    def _text(self, tag: str, text: str, at_iter: int) -> None:
        if text and self._open.texts.get(tag) != text:
            self._open.add(max(at_iter, self._open.last.get(tag, -1) + 1), time.time(), texts={tag: text})


class EventFiles:
    """The event files of one run: what they hold, and one to add to.

    Attributes:
        last: tag → the last step that the files hold.
        texts: tag → the last text.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.last: dict[str, int] = {}
        self.texts: dict[str, str] = {}
        self._file: AppendFile | None = None

    def read(self) -> bool:
        """Learn what the files hold; whether there are any."""
        from tensorboard.compat.proto.event_pb2 import Event

        paths = sorted(self.folder.glob(f"{PREFIX}*"))
        for path in paths:
            for record in whole_records(path):
                event = Event.FromString(record)
                for value in event.summary.value:
                    self.last[value.tag] = max(event.step, self.last.get(value.tag, -1))
                    if value.metadata.plugin_data.plugin_name == "text" and value.tensor.string_val:
                        self.texts[value.tag] = value.tensor.string_val[0].decode()
        return bool(paths)

    def add(
        self,
        step: int,
        wall_time: float,
        scalars: Mapping[str, float] = {},
        texts: Mapping[str, str] = {},
        pngs: Mapping[str, bytes] = {},
        hparams: Mapping[str, Any] = {},
    ) -> None:
        """Add one event with those values whose tags do not have this or a later step; ``hparams`` once.

        It is one record, so a killed process leaves all of its values or none.
        """
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.plugins.text.summary_v2 import text_pb

        event = Event(step=step, wall_time=wall_time)
        for tag, number in self._new(step, scalars):
            event.summary.value.add(tag=tag, simple_value=number)
        for tag, text in self._new(step, texts):
            event.summary.value.extend(text_pb(tag, text).value)
            self.texts[tag] = text
        for tag, png in self._new(step, pngs):
            width, height = struct.unpack(">II", png[16:24])
            image = Summary.Image(width=width, height=height, colorspace=3, encoded_image_string=png)
            event.summary.value.add(tag=tag, image=image)
        if hparams and HPARAMS not in self.last:
            event.summary.value.extend(hparams_summary(hparams).value)
        if event.summary.value:
            self._write(event.SerializeToString())
            self.last.update(dict.fromkeys([*scalars, *texts, *pngs, *([HPARAMS] if hparams else [])], step))

    def sync(self) -> None:
        """Put what was added on the disk.

        Raises:
            RecordingError: it could not be written.
        """
        if self._file is not None:
            self._file.sync()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _new(self, step: int, values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        return ((tag, value) for tag, value in values.items() if step > self.last.get(tag, -1))

    def _write(self, event: bytes) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.record_writer import RecordWriter

        if self._file is None:
            self._file = AppendFile(self._new_path())
            version = Event(wall_time=time.time(), file_version="brain.Event:2")
            RecordWriter(SimpleNamespace(write=self._file.append)).write(version.SerializeToString())
        RecordWriter(SimpleNamespace(write=self._file.append)).write(event)

    def _new_path(self) -> Path:
        """For a file whose name comes after those of all others: in that order TensorBoard reads them."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RecordingError(self.folder, error) from error
        numbers = [path.name.removeprefix(PREFIX).partition(".")[0] for path in self.folder.glob(f"{PREFIX}*")]
        latest = max((int(number) for number in numbers if number.isdecimal()), default=0)
        return self.folder / f"{PREFIX}{max(int(time.time()), latest + 1):010d}.rayseg.{os.getpid()}"


def whole_records(path: Path) -> Iterator[bytes]:
    """The records of an event file up to its end, to a torn one or to a damaged length, where TensorBoard stops too.

    Unlike TensorBoard's own reader it does not check what is in the records: in Python that takes a second for each
    10 MB of pictures.
    """
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

    with open(path, "rb") as file:
        while len(head := file.read(12)) == 12:
            length, checksum = struct.unpack("<QI", head)
            if masked_crc32c(head[:8]) != checksum or len(body := file.read(length + 4)) < length + 4:
                return
            yield body[:-4]


def hparams_summary(draw: Mapping[str, Any]) -> Any:
    """What TensorBoard's page of hyperparameters shows of a trial."""
    from tensorboard.plugins.hparams.summary_v2 import hparams_pb

    redact = Redactor()
    return hparams_pb({name: v if isinstance(v, int | float) else redact(str(v)) for name, v in draw.items()})


def markdown(params: Mapping[str, str]) -> str:
    """Names and values as a table; empty when there are none."""
    rows = [f"| {_cell(name)} | {_cell(value)} |" for name, value in params.items()]
    return "\n".join(["| name | value |", "| --- | --- |", *rows]) if rows else ""


def class_markdown(table: ClassTable) -> str:
    """The scores of every class as a table, worst class first."""
    head = ["class", *table.names]
    rows = [
        [_cell(label), *(percent(table.rows[label].get(name, float("nan"))) for name in table.names)]
        for label in table.worst_first()
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)
