"""What MMEngine's own hooks do, written down as ``mmengine_hooks.json`` for ``tests/unit/hooks/test_parity.py``.

MMEngine is no dependency: run this where it is installed, ``python tests/parity/mmengine_hooks.py``. Weights and scores
are scripted, so that no number depends on a network.
"""

from __future__ import annotations

import json
import logging
import sys
import tempfile
from itertools import product
from pathlib import Path
from typing import Any

import mmengine
import torch
from mmengine.evaluator import BaseMetric
from mmengine.hooks import EMAHook, Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch.utils.data import Dataset

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from tests.parity.scripts import CHECKPOINTS, EMA, LOGS, LOOPS, ORDERS, losses, scores, weights_at

TARGET = Path(__file__).with_name("mmengine_hooks.json")


class Sixteen(Dataset):
    """Four batches of four a pass."""

    def __len__(self) -> int:
        return 16

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {"inputs": torch.tensor(float(index))}


class Model(BaseModel):
    """A weight of three and a buffer of two."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(3))
        self.register_buffer("seen", torch.zeros(2))

    def forward(self, inputs: Any = None, data_samples: Any = None, mode: str = "tensor") -> Any:
        return {"loss": self.weight.sum() * 0} if mode == "loss" else [0]


class Scripted(BaseMetric):
    """Scores in the order of the script."""

    def __init__(self) -> None:
        super().__init__()
        self.script = iter(scores())

    def process(self, data_batch: Any, data_samples: Any) -> None:
        self.results.append(0)

    def compute_metrics(self, results: list) -> dict[str, float]:
        return next(self.script)


class Spy(Hook):
    """Notes the stages and the counters."""

    priority = "LOWEST"

    def __init__(self) -> None:
        self.calls: list[list[Any]] = []


def _noting(stage: str) -> Any:
    def method(self: Spy, runner: Any, **given: Any) -> None:
        if runner._train_loop is not None and not isinstance(runner._train_loop, dict):
            self.calls.append([stage, runner.iter, runner.epoch])
        else:
            self.calls.append([stage, 0, 0])

    return method


for _stage in Hook.stages:
    setattr(Spy, _stage, _noting(_stage))


class Writes(Hook):
    """Writes the script's weights into the model, and its losses into the message hub."""

    priority = "VERY_HIGH"

    def __init__(self) -> None:
        self.averages: list[list[float]] = []

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        weight, seen = weights_at(runner.iter)
        runner.model.weight.data.copy_(torch.tensor(weight))
        runner.model.seen.data.copy_(torch.tensor(seen))
        runner.message_hub.update_scalar("train/my_loss", losses(runner.iter))
        runner.message_hub.update_scalar("train/x", losses(runner.iter))


class Averages(Hook):
    """Notes the average after each iteration."""

    priority = "LOWEST"

    def __init__(self) -> None:
        self.values: list[list[float]] = []

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        hook = next(hook for hook in runner.hooks if isinstance(hook, EMAHook))
        module = hook.ema_model.module
        self.values.append([*module.weight.tolist(), *module.seen.tolist()])


class Lines(Hook):
    """Notes what each line of the log holds."""

    priority = "LOWEST"

    def __init__(self, work_dir: Path) -> None:
        self.lines: dict[int, dict[str, float]] = {}

    def before_train(self, runner: Any) -> None:
        def note(tag: dict[str, Any], step: int = 0, **more: Any) -> None:
            if "my_loss" in tag:
                names = [name for name in tag if name.startswith(("my_", "x", "lr_"))]
                self.lines[step] = {name: float(tag[name]) for name in names}

        runner.visualizer.add_scalars = note


def run(loop: str, hooks: list[Hook], work_dir: Path, default_hooks: dict[str, Any], **more: Any) -> Runner:
    """One training over the script."""
    if "log_processor" in more:
        more["log_processor"] = {"by_epoch": loop == "epoch", **more["log_processor"]}
    sampler = "DefaultSampler" if loop == "epoch" else "InfiniteSampler"
    runner = Runner(
        model=Model(),
        work_dir=str(work_dir),
        train_dataloader={"batch_size": 4, "num_workers": 0, "dataset": Sixteen(), "sampler": {"type": sampler}},
        val_dataloader={"batch_size": 8, "num_workers": 0, "dataset": Sixteen(), "sampler": {"type": "DefaultSampler"}},
        val_evaluator=[Scripted()],
        train_cfg=LOOPS[loop],
        val_cfg={},
        optim_wrapper={"optimizer": {"type": "SGD", "lr": 0.5}},
        default_hooks={
            "logger": {"type": "LoggerHook", "interval": 4},
            "checkpoint": {"type": "CheckpointHook", "interval": -1, "by_epoch": loop == "epoch", "save_last": False},
            **default_hooks,
        },
        custom_hooks=hooks,
        experiment_name=work_dir.name,
        log_level="ERROR",
        **more,
    )
    runner.train()
    return runner


def kept(folder: Path) -> dict[str, list[int]]:
    """Counters in the names of the files that are left, by what stands before the counter."""
    found: dict[str, list[int]] = {}
    for path in folder.glob("*.pth"):
        name, _, count = path.stem.rpartition("_")
        found.setdefault(name, []).append(int(count))
    return {name: sorted(counts) for name, counts in sorted(found.items())}


def main() -> None:
    """Run everything and write the file."""
    logging.disable(logging.CRITICAL)
    found: dict[str, Any] = {
        "versions": {"mmengine": mmengine.__version__, "torch": torch.__version__},
        "order": {}, "checkpoints": [], "logs": [], "ema": [],
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        numbers = iter(range(10_000))

        def fresh() -> Path:
            path = Path(folder) / f"run{next(numbers)}"
            path.mkdir()
            return path

        for loop in ORDERS:
            spy = Spy()
            run(loop, [spy], fresh(), {})
            found["order"][loop] = spy.calls
        for loop, options in product(LOOPS, CHECKPOINTS):
            work_dir = fresh()
            hook = {"type": "CheckpointHook", "by_epoch": loop == "epoch", **options}
            run(loop, [], work_dir, {"checkpoint": hook})
            found["checkpoints"].append({"loop": loop, "options": options, "kept": kept(work_dir)})
        for loop, processor in LOGS:
            lines = Lines(fresh())
            run(loop, [Writes(), lines], fresh(), {}, log_processor=processor)
            found["logs"].append({"loop": loop, "processor": processor, "lines": lines.lines})
        for loop, options in EMA:
            averages = Averages()
            ema = {"type": "EMAHook", **options}
            run(loop, [Writes(), ema, averages], fresh(), {})
            found["ema"].append({"loop": loop, "options": options, "values": averages.values})
    TARGET.write_text(json.dumps(found, separators=(",", ":")).replace('{"loop"', '\n{"loop"') + "\n")


if __name__ == "__main__":
    main()
