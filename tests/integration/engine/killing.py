"""Trains toys in processes that stop at a chosen moment, to be killed there. ``KillServer`` is the test's side.

The server imports everything once and forks the ranks of each run, so that a run costs no start of Python. It uses no
tensor itself: a forked process may not inherit torch's threads.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import signal
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any, BinaryIO

import torch

from rayseg.engine import Hook, LocalHost, Runner
from rayseg.engine.checkpoint import encode_manifest
from rayseg.engine.checkpoint_store import CheckpointStore, FileEntry
from rayseg.engine.owner import RunOwner
from rayseg.engine.storage_local import LocalStorage
from rayseg.tracking.recorder import RunRecorder
from tests.toys import GroupNormNet, ToyDataset, toy_config

ITERS = 12
MOMENTS = ("iteration", "window", "validation", "file", "manifest", "committed")
GLOBAL_BATCH = 6


class ManifestFirst(CheckpointStore):
    """Wrong on purpose: the manifest is there before the files are. For one rank."""

    def stage(self, name: str, files: Any, attempt: int) -> dict[str, FileEntry]:
        """Measure, and write nothing yet."""
        self.writers = dict(files)
        return {file: _measured(write) for file, write in files.items()}

    def commit(self, name: str, entries: Any, facts: Any, attempt: int) -> None:
        """Write the manifest, then the files."""
        self._storage.write_bytes(f"{name}/manifest.json", encode_manifest(facts, entries, attempt), attempt, _no)
        for file, write in self.writers.items():
            self._storage.write(f"{name}/{file}", write, attempt, _no)


def _no() -> None:
    """Check nothing."""


def _measured(write: Any) -> FileEntry:
    buffer = io.BytesIO()
    write(buffer)
    return FileEntry(buffer.tell(), hashlib.sha256(buffer.getvalue()).hexdigest())


def config_of(options: dict[str, Any]) -> dict[str, Any]:
    """The config of a run.

    ``options``: ``net`` (a name, or the one with BatchNorm), ``began_with`` (the world of the config), ``world``,
    ``loop`` iter | epoch, ``accumulate``, ``ema``, ``amp``, ``loader_workers``.
    """
    by_epoch = options["loop"] == "epoch"
    wrapper: dict[str, Any] = {
        "type": "OptimWrapper",
        "optimizer": {"type": "AdamW", "lr": 0.02, "weight_decay": 0.01},
        "clip_grad": {"max_norm": 1.0},
        "accumulative_counts": options["accumulate"],
    }
    if options["amp"]:
        wrapper.update(type="AmpOptimWrapper", dtype="bfloat16")
    loop = {"type": "IterBasedTrainLoop", "max_iters": ITERS, "val_interval": 6}
    if by_epoch:
        loop = {"type": "EpochBasedTrainLoop", "max_epochs": 3, "val_interval": 1}
    hooks: list[dict[str, Any]] = [{"type": "SyncBuffersHook"}] if by_epoch else []
    if options["ema"]:
        hooks.append({"type": "EMAHook", "momentum": 0.2, "begin_iter": 2})
    dataset = {"type": ToyDataset, "size": 26}
    changes: dict[str, Any] = {}
    if options.get("net") == "GroupNormNet":
        changes["model"] = {"type": "Segmentor", "net": {"type": GroupNormNet}}
    return toy_config(
        **changes,
        train_dataloader={
            "batch_size": GLOBAL_BATCH // options.get("began_with", options["world"]),
            "num_workers": options["loader_workers"],
            "dataset": dataset,
        },
        train_cfg=loop,
        optim_wrapper=wrapper,
        param_scheduler=[
            {"type": "LinearLR", "start_factor": 0.1, "by_epoch": False, "begin": 0, "end": 3},
            {"type": "PolyLR", "power": 0.9, "by_epoch": by_epoch, "begin": 0},
        ],
        custom_hooks=hooks,
        scaling={"num_workers": options.get("began_with", options["world"])},
        default_hooks={
            "logger": {"type": "LoggerHook", "interval": 2},
            "checkpoint": {
                "type": "CheckpointHook",
                "by_epoch": by_epoch,
                "interval": 1 if by_epoch else 4,
                "save_best": "auto",
            },
        },
    )


class Moment:
    """Stops this process at one moment of a run, and says so; its parent then kills every rank.

    Moments: before an iteration's forward; after an optimizer window's backward and before its hooks; inside a
    validation; at a seeded offset inside the writing of a checkpoint's file; before a manifest appears; after it did.
    """

    def __init__(self, name: str, seed: int, options: dict[str, Any]) -> None:
        draw = random.Random(f"{name} {seed} {options}")
        self.name = name
        self.at = draw.randrange(5, ITERS)
        self.share = draw.random()
        self.nth_checkpoint = draw.choice((1, 2))
        self.nth_validation_batch = draw.choice((0, 1)) if options["world"] == 1 else 0
        self.last_rank = options["world"] - 1
        self.file = draw.choice(("training_state.pt", f"rank_{self.last_rank:04d}.pt"))
        self._checkpoints = 0

    def reach(self) -> None:
        """Say so, and wait for the end."""
        _say(stopped=self.name)
        signal.pause()

    def watch(self) -> list[Hook]:
        """Hooks that reach it; storage is patched for the other moments."""
        if self.name in ("file", "manifest", "committed"):
            self._watch_storage()
        return [_Stopper(self)]

    def _watch_storage(self) -> None:
        really = LocalStorage.write
        moment = self

        def write(storage: LocalStorage, key: str, writer: Any, attempt: int, check: Any) -> Any:
            if moment.name == "file" and key.endswith(moment.file) and moment.is_the_one():
                writer = _stopping(writer, moment)
            is_manifest = key.endswith("manifest.json") and moment.name != "file" and moment.is_the_one()
            if is_manifest and moment.name == "manifest":
                moment.reach()
            entry = really(storage, key, writer, attempt, check)
            if is_manifest and moment.name == "committed":
                moment.reach()
            return entry

        LocalStorage.write = write  # type: ignore[method-assign]

    def is_the_one(self) -> bool:
        """Count a checkpoint; whether it is the one to stop in."""
        self._checkpoints += 1
        return self._checkpoints == self.nth_checkpoint


def _stopping(writer: Any, moment: Moment) -> Any:
    def write(file: BinaryIO) -> None:
        writer(_Cut(file, moment))

    return write


class _Cut:
    """A file that is written up to a seeded share of the first large piece."""

    def __init__(self, file: BinaryIO, moment: Moment) -> None:
        self._file, self._moment = file, moment

    def write(self, data: Any) -> int:
        if len(data) > 200:
            self._file.write(bytes(data)[: int(len(data) * self._moment.share)])
            self._file.flush()
            self._moment.reach()
        return self._file.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class _Stopper(Hook):
    """First of all hooks: what the iteration changed is not yet seen by any of them."""

    priority = "HIGHEST"

    def __init__(self, moment: Moment) -> None:
        self.moment = moment

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        if self.moment.name == "iteration" and runner.iter == self.moment.at and runner.rank == self.moment.last_rank:
            self.moment.reach()

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        if self.moment.name == "window" and runner.iter == self.moment.at and runner.rank == 0:
            self.moment.reach()

    def after_val_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        if self.moment.name == "validation" and runner.rank == 0 and batch_idx == self.moment.nth_validation_batch:
            self.moment.reach()


def train(rank: int, work_dir: str, options: dict[str, Any], moment: str | None, seed: int) -> None:
    """One rank of a run, with the owner of its files in rank 0."""
    world = options["world"]
    torch.set_num_threads(1)
    if world > 1:
        meeting = f"file://{work_dir}.meeting"
        torch.distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=world)
    config = config_of(options)
    if moment is not None:
        config["custom_hooks"] = [*config["custom_hooks"], *Moment(moment, seed, options).watch()]
    if options.get("store") == "ManifestFirst":
        import rayseg.engine.build as build

        build.CheckpointStore = ManifestFirst  # type: ignore[misc]
    owner = None
    if rank == 0:
        recorder = RunRecorder(work_dir)
        owner = RunOwner(recorder, CheckpointStore(Path(work_dir, "checkpoints")))
        recorder.start({"name": "killed"})
    host = LocalHost(owner.receive if owner else None, device="cpu")
    outcome = Runner.from_config(config, host=host, work_dir=work_dir).train()
    if owner is not None:
        owner.recorder.finish(outcome["status"])
    if world > 1:
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()


class KillServer:
    """Starts the server and speaks with it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.engine.killing"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[3],
        )

    def run(self, work_dir: Path, options: dict[str, Any], moment: str | None = None, seed: int = 0) -> dict[str, Any]:
        """A run of all its ranks. With a moment they are killed there; what the server said last is returned:
        ``statuses`` (exit codes, negative signals), ``stopped`` whether the moment came, ``errors``."""
        Path(f"{work_dir}.meeting").unlink(missing_ok=True)
        command = {"work_dir": str(work_dir), "options": options, "moment": moment, "seed": seed}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        self._process.stdin.flush()
        said: dict[str, Any] = {"stopped": None, "errors": []}
        while "statuses" not in said:
            assert self._process.stdout is not None
            line = json.loads(self._process.stdout.readline())
            said["errors"] += [line["error"]] if "error" in line else []
            said.update({key: value for key, value in line.items() if key != "error"})
            if "stopped" in line:
                for pid in said["pids"]:
                    os.kill(pid, signal.SIGKILL)
        return said

    def close(self) -> None:
        """End the server."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()


def _say(**line: Any) -> None:
    os.write(1, json.dumps(line).encode() + b"\n")


def _rank(rank: int, command: dict[str, Any]) -> int:
    try:
        train(rank, **command)
    except BaseException:
        _say(error=traceback.format_exc())
        return 1
    return 0


def _serve() -> None:
    for line in sys.stdin:
        command = json.loads(line)
        pids = []
        reading, writing = os.pipe()
        for rank in range(command["options"]["world"]):
            if (pid := os.fork()) == 0:
                os.close(writing)
                os.read(reading, 1)  # until the parent has named every process
                os._exit(_rank(rank, command))
            pids.append(pid)
        _say(pids=pids)
        os.close(writing)
        os.close(reading)
        statuses = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
        _say(statuses=statuses)


if __name__ == "__main__":
    _serve()
