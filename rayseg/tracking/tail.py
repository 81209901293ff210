"""Following metrics.jsonl: every line once, while the run writes it, across restarts of the run and of the follower."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from rayseg.tracking.files import RecordingError
from rayseg.tracking.json_lines import decode_line
from rayseg.tracking.metrics_file import METRICS_FILE


class MetricsTail:
    """The lines of a run's ``metrics.jsonl`` that were not yet given.

    What was given is the last iteration of each mode, not a place in the file: lines that a restarted run makes again
    are not given again, though the file was cut back in between.

    Args:
        run_dir: the run directory.
        cursor: mode → iteration up to which lines were given by another, such as ``Delivery.cursor``.
    """

    def __init__(self, run_dir: Path, cursor: Mapping[str, int] | None = None) -> None:
        self.path = run_dir / METRICS_FILE
        self._given = dict(cursor or {})
        self._offset = 0
        self._last = b""

    def new_lines(self) -> Iterator[dict[str, Any]]:
        """Lines that were not given before, decoded (NaN and infinities are floats); ends where the file ends.

        A line that is still being written is given when it is whole.

        Raises:
            RecordingError: the file is there and cannot be read.
        """
        try:
            with open(self.path, "rb") as file:
                self._seek(file)
                for line in file:
                    if line.endswith(b"\n"):
                        self._offset, self._last = self._offset + len(line), line
                        yield from self._new(decode_line(line))
        except FileNotFoundError:
            return
        except OSError as error:
            raise RecordingError(self.path, error, "read") from error

    def _seek(self, file: BinaryIO) -> None:
        """Go behind the last line read, or to the beginning when it is no longer there: the run was cut back."""
        file.seek(self._offset - len(self._last))
        if file.read(len(self._last)) != self._last:
            self._offset, self._last = 0, b""
            file.seek(0)

    def _new(self, line: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
        if line is None or not all(isinstance(line.get(name), int | float) for name in ("epoch", "time")):
            return
        if line["iter"] > self._given.get(line["mode"], -1):
            self._given[line["mode"]] = line["iter"]
            yield line


def read_metrics(run_dir: Path) -> Iterator[dict[str, Any]]:
    """Every line of a run's ``metrics.jsonl``, decoded; none when there is no such file."""
    return MetricsTail(run_dir).new_lines()
