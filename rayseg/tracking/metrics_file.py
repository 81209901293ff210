"""metrics.jsonl: the numbers of a run, each (mode, iter) on one line, also after crashes and restarts."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rayseg.core.record import Record
from rayseg.tracking.files import AppendFile, RecordingError, Replacement
from rayseg.tracking.json_lines import decode_line, encode_record, parse_line

METRICS_FILE = "metrics.jsonl"
SYNC_EVERY = 128  # lines; a checkpoint carries more, so that a power failure loses none that a commit promises

Verdict = Literal["kept", "added", "moved", "damaged"]


@dataclass(frozen=True)
class Position:
    """Where a checkpoint stands among the lines.

    Attributes:
        iter: completed iterations.
        phase: ``val_due`` when the validation of this iteration had not yet run, else ``train``.
    """

    iter: int
    phase: str = "train"

    def holds(self, mode: str, at_iter: int) -> bool:
        """Whether a line was made before the checkpoint; every other one is made again."""
        if at_iter == self.iter:
            return mode == "train" or self.phase != "val_due"
        return at_iter < self.iter


class MetricsFile:
    """The open ``metrics.jsonl`` of a run directory. A last line torn by a crash is mended when it is opened.

    Lines come in the order of their iterations, the training's before the validation's of the same one.

    Raises:
        RecordingError: it cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = AppendFile(path)
        self._last: dict[str, int] | None = None
        self._unsynced = 0
        _mend(self._file)

    def append(self, record: Record) -> bool:
        """Write a line; False, and nothing written, when this or a later iteration of the mode is there already."""
        last = self._last_iters()
        if record.iter <= last.get(record.mode, -1):
            return False
        self._file.append(encode_record(record))
        last[record.mode] = record.iter
        self._unsynced += 1
        if self._unsynced >= SYNC_EVERY:
            self.sync()
        return True

    def sync(self) -> None:
        """Wait until the disk has every line."""
        self._file.sync()
        self._unsynced = 0

    def cut_back(
        self,
        to: Position,
        records: Sequence[Record],
        moved_to: Path,
        visit: Callable[[dict[str, Any]], None] = lambda line: None,
    ) -> dict[Verdict, int]:
        """Go back to a checkpoint: lines beyond it move to another file, those that it carries are added if missing.

        A crash at any moment leaves a directory on which the same call gives the same result.

        Args:
            to: where the checkpoint stands.
            records: the last scalar records that the checkpoint carries.
            moved_to: the file that takes the lines beyond; lines that it has already are not added twice.
            visit: called with each validation line that stays.

        Returns:
            How many lines were kept, added, moved, and damaged (those are dropped).
        """
        counts: dict[Verdict, int] = {"kept": 0, "added": 0, "moved": 0, "damaged": 0}
        last: dict[str, int] = {}
        with Replacement(self.path) as kept, _Addition(moved_to) as beyond:
            for verdict, mode, at_iter, line in _merge(complete_lines(self.path), to, records):
                counts[verdict] += 1
                if verdict == "moved":
                    beyond.add(line)
                elif verdict != "damaged":
                    kept.write(line)
                    last[mode] = at_iter
                    if mode != "train":
                        visit(decode_line(line) or {})
            if counts["moved"]:
                beyond.commit()
            if counts["added"] or counts["moved"] or counts["damaged"]:
                kept.commit()
                self._file.close()
                self._file = AppendFile(self.path)
        self._last = last
        self.sync()
        return counts

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _last_iters(self) -> dict[str, int]:
        if self._last is None:
            self._last = {}
            for line in complete_lines(self.path):
                if (value := parse_line(line)) is not None:
                    self._last[value["mode"]] = max(value["iter"], self._last.get(value["mode"], -1))
        return self._last


class _Addition(Replacement):
    """A file with lines added that it does not have yet."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._known: set[bytes] | None = None

    def add(self, line: bytes) -> None:
        if self._known is None:
            self._known = set()
            for old in complete_lines(self.path):
                self._known.add(old)
                self.write(old)
        if line not in self._known:
            self._known.add(line)
            self.write(line)


def complete_lines(path: Path) -> Iterator[bytes]:
    """The lines of a file that end with a newline; none when there is no such file.

    Raises:
        RecordingError: the file is there and cannot be read.
    """
    try:
        with open(path, "rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    yield line
    except FileNotFoundError:
        return
    except OSError as error:
        raise RecordingError(path, error, "read") from error


def _order(mode: str, at_iter: int) -> tuple[int, bool, str]:
    return at_iter, mode != "train", mode


def _merge(
    lines: Iterator[bytes], to: Position, records: Sequence[Record]
) -> Iterator[tuple[Verdict, str, int, bytes]]:
    """Lines of the file and of the checkpoint's records in their order; where both have one the file's stays."""
    carried = [record for record in records if record.kind == "scalars" and to.holds(record.mode, record.iter)]
    waiting = deque(sorted(carried, key=lambda record: _order(record.mode, record.iter)))
    last: dict[str, int] = {}

    def added_before(order: tuple[int, bool, str] | None) -> Iterator[tuple[Verdict, str, int, bytes]]:
        while waiting and (order is None or _order(waiting[0].mode, waiting[0].iter) < order):
            record = waiting.popleft()
            if record.iter > last.get(record.mode, -1):
                last[record.mode] = record.iter
                yield "added", record.mode, record.iter, encode_record(record)

    for line in lines:
        value = parse_line(line)
        if value is None:
            yield "damaged", "", -1, line
            continue
        mode, at_iter = value["mode"], value["iter"]
        if not to.holds(mode, at_iter):
            yield "moved", mode, at_iter, line
            continue
        yield from added_before(_order(mode, at_iter))
        if at_iter <= last.get(mode, -1):
            yield "moved", mode, at_iter, line
            continue
        last[mode] = at_iter
        yield "kept", mode, at_iter, line
    yield from added_before(None)


def _mend(file: AppendFile) -> None:
    """End the file with a whole line: a last line without newline is completed if it is whole, else cut off."""
    fd, size = file.fileno(), os.fstat(file.fileno()).st_size
    start = _last_line_start(fd, size)
    tail = os.pread(fd, size - start, start)
    if not tail:
        return
    if parse_line(tail) is not None:
        file.append(b"\n")
    else:
        file.truncate(start)
    file.sync()


def _last_line_start(fd: int, size: int, block: int = 65536) -> int:
    """Offset just behind the last newline."""
    end = size
    while end > 0:
        begin = max(0, end - block)
        found = os.pread(fd, end - begin, begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        end = begin
    return 0
