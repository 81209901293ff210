"""Following a job: its log as it is written, over lost connections, until the job has ended."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from rayseg.core.errors import RaysegError
from rayseg.submission.server import JobServer, LostError

PATIENCE_S = 120.0
RETRY_S = 1.0
SILENT_S = 60.0  # then the connection is made anew: one that a sleeping laptop lost tells nobody

Write = Callable[[str], object]


def print_piece(text: str) -> None:
    """Print it as it is."""
    print(text, end="", flush=True)


def follow(server: JobServer, job: str, write: Write, *, patience_s: float = PATIENCE_S) -> Any:
    """Pass on what a job prints, from its beginning, until it has ended; gives what the server knows of it then.

    Raises:
        RaysegError: the server did not answer for ``patience_s``; the job may go on.
    """
    shown = 0
    answered = time.monotonic()
    while True:
        seen = 0
        try:
            for text in _Tail(server, job):
                new = text[max(0, shown - seen) :]
                seen += len(text)
                if new:
                    write(new)
                    shown = seen
        except _BrokenError:
            pass
        try:
            details = server.info(job)
            answered = time.monotonic()
            if details.status.is_terminal():
                if rest := server.log(job)[shown:]:  # a connection may break just before the end
                    write(rest)
                return details
        except LostError as error:
            if time.monotonic() - answered > patience_s:
                raise RaysegError(f"{error}; job {job} may go on: rayseg logs {job} --follow") from None
        time.sleep(RETRY_S)


class _BrokenError(Exception):
    """The connection broke before the log's end."""


class _Tail:
    """One connection's pieces of text. It lives in a thread, so that Ctrl-C reaches who reads, in a notebook too."""

    def __init__(self, server: JobServer, job: str) -> None:
        self._server = server
        self._job = job
        self._pieces: queue.SimpleQueue[str | BaseException | None] = queue.SimpleQueue()
        self._loop = asyncio.new_event_loop()
        self._reading = self._loop.create_task(self._pass_on())

    def __iter__(self) -> Iterator[str]:
        threading.Thread(target=self._read, name="rayseg-job-log", daemon=True).start()
        try:
            while (piece := self._pieces.get(timeout=SILENT_S)) is not None:
                if isinstance(piece, BaseException):
                    raise _BrokenError from piece
                yield piece
        except queue.Empty:
            raise _BrokenError from None
        finally:
            with suppress(RuntimeError):  # it has ended
                self._loop.call_soon_threadsafe(self._reading.cancel)

    def _read(self) -> None:
        end: BaseException | None = None
        try:
            self._loop.run_until_complete(self._reading)
        except (Exception, asyncio.CancelledError) as error:
            end = error
        finally:
            self._loop.close()
        self._pieces.put(end)

    async def _pass_on(self) -> None:
        async for text in self._server.tail(self._job):
            self._pieces.put(text)
