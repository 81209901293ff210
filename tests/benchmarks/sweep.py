"""What a sweep costs a trial, beside Ray Tune function trials that do the same by hand; and memory over 200 trials.

Both sweeps train the same network on the same pictures, as many iterations, with validations, checkpoints of weights
and optimizer and a line of numbers at the same intervals; one trial at a time, on the same Ray, each in turn. Time is
that of the whole sweep divided by its trials: starting a trial's process is part of it on both sides. A function trial
gets a new process each, as Ray Tune has it, while one of ours is taken over from trial to trial; so what it takes from
the first iteration to the last is said apart.

Then 200 trials of two iterations: how much the resident memory of the driver, and of the process that ran them, has
grown from the 50th to the last, a trial.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from _paired import Paired, Report, in_turn
from torch.utils.data import DataLoader

from rayseg.config.settings import Scaling
from rayseg.core.sample import SegSample
from rayseg.orchestration.cluster import connected
from rayseg.search import uniform
from rayseg.tuning import tune
from rayseg.tuning.journal import read_journal
from rayseg.tuning.standing import Standing
from rayseg.tuning.table import SweepConsole

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.toys import CLASSES, ToyDataset, ToyNet

TRIALS, ITERS, INTERVAL = 4, 200, 50
BATCH, SIDE, WIDTH = 4, 64, 16
REPETITIONS = 3
MANY, SETTLED = 200, 50
ALLOWED_KB = 150.0  # a trial: what Ray Tune keeps of each
MEAN, STD = 127.5, 64.0
SHAPE = {"size": 64, "side": SIDE}


def config(iters: int, interval: int, trials: int, **dataset: Any) -> dict[str, Any]:
    """A sweep of the learning rate, one trial at a time."""
    toys = {"type": ToyDataset, **dataset}
    return {
        "model": {
            "type": "Segmentor",
            "net": {"type": ToyNet, "width": WIDTH},
            "loss": {"type": "CrossEntropyLoss"},
            "data_preprocessor": {"mean": [MEAN] * 3, "std": [STD] * 3},
        },
        "train_dataloader": {"batch_size": BATCH, "dataset": toys},
        "val_dataloader": {"batch_size": BATCH, "dataset": {**toys, "size": 8, "test_mode": True}},
        "train_cfg": {"type": "IterBasedTrainLoop", "max_iters": iters, "val_interval": interval},
        "optim_wrapper": {
            "type": "OptimWrapper",
            "optimizer": {"type": "SGD", "lr": uniform(0.01, 0.05), "momentum": 0.9},
        },
        "default_hooks": {
            "logger": {"type": "LoggerHook", "interval": interval},
            "checkpoint": {"type": "CheckpointHook", "interval": interval, "max_keep_ckpts": 1},
            "visualization": None,
        },
        "trackers": {"report": None, "tensorboard": None},
        "randomness": {"seed": 3, "threads": 1},
        "tune": {"metric": "mIoU", "num_samples": trials, "max_concurrent": 1},
    }


def collated(samples: list[dict[str, Any]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (B, 3, S, S) and labels (B, S, S)."""
    labels = [found.gt_sem_seg.data for sample in samples if isinstance(found := sample["data_samples"], SegSample)]
    return torch.stack([sample["inputs"] for sample in samples]), torch.cat(labels).long()


def by_hand(drawn: dict[str, float]) -> None:
    """A trial as a function."""
    from ray import tune as ray_tune

    torch.set_num_threads(1)
    torch.manual_seed(3)
    net, folder = ToyNet(width=WIDTH), Path(tempfile.mkdtemp())
    optimizer = torch.optim.SGD(net.parameters(), lr=drawn["lr"], momentum=0.9, fused=True)
    training = DataLoader(ToyDataset(**SHAPE), BATCH, shuffle=True, drop_last=True, collate_fn=collated)
    validation = DataLoader(ToyDataset(size=8, side=SIDE, test_mode=True), BATCH, collate_fn=collated)
    begin, at, log = time.perf_counter(), 0, (folder / "log.jsonl").open("w")
    while at < ITERS:
        for images, labels in training:
            loss = F.cross_entropy(net((images.float() - MEAN) / STD), labels, ignore_index=255)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            at += 1
            if at % INTERVAL == 0:
                state = {"net": net.state_dict(), "optimizer": optimizer.state_dict(), "iter": at}
                torch.save(state, folder / f"iter_{at}.pt")
                score = mean_iou(net, validation)
                log.write(json.dumps({"iter": at, "loss": loss.item(), "mIoU": score}) + "\n")
                log.flush()
                ray_tune.report({"iter": at, "mIoU": score, "seconds": time.perf_counter() - begin})
            if at == ITERS:
                break


def mean_iou(net: ToyNet, batches: Any) -> float:
    """Of one confusion matrix over all images."""
    net.eval()
    matrix = torch.zeros(len(CLASSES) ** 2, dtype=torch.long)
    with torch.no_grad():
        for images, labels in batches:
            found = net((images.float() - MEAN) / STD).argmax(1)
            matrix += torch.bincount((labels * len(CLASSES) + found).flatten(), minlength=len(matrix))
    net.train()
    square = matrix.reshape(len(CLASSES), -1).double()
    union = square.sum(0) + square.sum(1) - square.diagonal()
    return float((square.diagonal() / union).mean())


class Sweeps:
    """Runs the one and the other, and keeps what their trials say of themselves.

    Attributes:
        within: seconds of each trial from its first iteration to its last validation, ours and by hand.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.count = 0
        self.within: dict[str, list[float]] = {"ours": [], "by hand": []}
        self.scores: dict[str, list[float]] = {"ours": [], "by hand": []}

    def ours(self) -> None:
        """A sweep of rayseg."""
        self.count += 1
        result = tune(config(ITERS, INTERVAL, TRIALS, **SHAPE), work_dir=self.folder / f"ours_{self.count}")
        assert [row["status"] for row in result.trials] == ["finished"] * TRIALS, result
        for row in result.trials:
            facts = json.loads((result.sweep_dir / "trials" / row["trial"] / "run.json").read_text())
            self.within["ours"].append(sum(facts["times"].values()))
            self.scores["ours"].append(row["mIoU"])

    def by_hand(self) -> None:
        """A sweep of function trials."""
        from ray import tune as ray_tune

        self.count += 1
        found = ray_tune.run(
            ray_tune.with_resources(by_hand, {"CPU": 1}),
            config={"lr": ray_tune.uniform(0.01, 0.05)},
            num_samples=TRIALS,
            max_concurrent_trials=1,
            storage_path=str(self.folder / f"by_hand_{self.count}"),
            verbose=0,
        )
        assert len(found.trials) == TRIALS
        for trial in found.trials:
            assert trial.last_result["iter"] == ITERS, trial.last_result
            self.within["by hand"].append(trial.last_result["seconds"])
            self.scores["by hand"].append(trial.last_result["mIoU"])


class Watching(SweepConsole):
    """Notes the memory of the driver and of the trial's process after each trial."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.driver: list[float] = []
        self.trials: list[tuple[int, float]] = []
        self._pids: dict[str, int] = {}

    def event(self, line: Mapping[str, Any], standing: Standing) -> None:
        if line["event"] == "started":
            self._pids[line["trial"]] = line["pid"]
        elif line["event"] == "ended":
            self.driver.append(megabytes("self"))
            self.trials.append((pid := self._pids[line["trial"]], megabytes(pid)))


def megabytes(pid: int | str) -> float:
    """Resident memory of a process."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in text.splitlines() if line.startswith("VmRSS:"))) / 1024


def many(folder: Path, report: Report) -> None:
    """200 trials of two iterations."""
    watching = Watching()
    begin = time.perf_counter()
    result = tune(config(2, 2, MANY, size=4, side=16), work_dir=folder / "many", console=watching)
    took = time.perf_counter() - begin
    statuses = {row["status"] for row in result.trials}
    report.require("200 trials", statuses == {"finished"} and len(result.trials) == MANY, f"{took / MANY:.2f} s each")
    begun = [line["trial"] for line in read_journal(folder / "many") if line["event"] == "started"]
    report.require("each begins once", sorted(set(begun)) == sorted(begun), f"{len(begun)} beginnings")
    sides = {"the driver": watching.driver, "the trials' process": [size for _, size in watching.trials]}
    for name, sizes in sides.items():
        before, after = statistics.median(sizes[SETTLED - 5 : SETTLED + 5]), statistics.median(sizes[-10:])
        grown = f"{before:.0f} MB after trial {SETTLED}, {after:.0f} MB after trial {MANY}"
        each = (after - before) * 1024 / (MANY - SETTLED)
        report.require(f"memory of {name}", each <= ALLOWED_KB, f"{grown}, {each:.0f} kB a trial")
    report.note(f"processes that ran them: {len({pid for pid, _ in watching.trials})}")


def main() -> int:
    """Measure, print, and say whether the bounds were kept."""
    report = Report("sweeps: a trial of rayseg's against one by hand on Ray Tune", "torch", "ray", "rayseg")
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"  # Ray Tune is quiet then
    with tempfile.TemporaryDirectory() as name, connected(Scaling()):
        folder = Path(name)
        sweeps = Sweeps(folder)
        pairs = in_turn(sweeps.ours, sweeps.by_hand, repetitions=REPETITIONS)
        each = Paired([s / TRIALS for s in pairs.subject], [s / TRIALS for s in pairs.baseline])
        learnt = min(sweeps.scores["ours"]) > 0.4 and min(sweeps.scores["by hand"]) > 0.4
        report.require("both learn", learnt, f"mIoU from {min(sweeps.scores['ours']):.3f} and "
                       f"{min(sweeps.scores['by hand']):.3f}")  # fmt: skip
        report.ratio(f"a trial of {ITERS} iterations, starts included", each, bound=1.2)
        report.note(f"within a trial: {statistics.median(sweeps.within['ours']):.2f} s against "
                    f"{statistics.median(sweeps.within['by hand']):.2f} s")  # fmt: skip
        many(folder, report)
    return report.exit_code


if __name__ == "__main__":
    raise SystemExit(main())
