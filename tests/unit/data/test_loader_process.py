"""A loader process ends at its training process's SIGTERM, and at nobody else's."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
from multiprocessing.connection import Connection

import pytest

from rayseg.data.loader import _begin_worker


def echo(pipe: Connection) -> None:
    """Begin as a loader process, then send back what comes."""
    _begin_worker(0)
    pipe.send(os.getpid())
    while True:
        pipe.send(pipe.recv())


@pytest.mark.skipif(not hasattr(signal, "sigwaitinfo"), reason="only there a process knows who sent a signal")
def test_whose_signal_ends_a_loader_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a process with one thread, as a forked one has; threads of a library could take the signal."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "1")
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=echo, args=(theirs,), daemon=True)
    process.start()
    pid = ours.recv()
    for name in ("TERM", "INT", "USR1"):
        subprocess.run(["kill", f"-{name}", str(pid)], check=True)
        ours.send(name)
        assert ours.poll(30), f"it does not answer after {name}"
        assert ours.recv() == name
    process.terminate()
    process.join(30)
    assert process.exitcode == 0
    ours.close()
    theirs.close()
