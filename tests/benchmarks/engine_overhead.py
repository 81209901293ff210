"""What the engine costs an iteration, beside a loop written by hand that does the same.

53 blocks of convolution, BatchNorm and ReLU, four channels wide: 159 tensors, so little arithmetic and many of them.
Batches of two images of 8×8, SGD with momentum, a polynomial learning rate, an average of the weights after each
iteration, a line of numbers every 50. The loop by hand runs inside the engine's run: a hook hands over to it after
each block of 50 iterations, so both meet the same machine. Both must end with the same loss.

Both read the same stream of batches through rayseg's loader, in this process: resumable, with generators seeded for
each sample. What that costs beside torch's DataLoader, which does neither, is printed apart and has no bound.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from _paired import Paired, Report, in_turn, one_thread
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from rayseg import Hook, Runner
from rayseg.config.settings import DataLoaderSettings
from rayseg.core.sample import PixelData, SegSample
from rayseg.data.loader import build_train_dataloader
from rayseg.engine.checkpoint_store import CheckpointStore
from rayseg.engine.host import LocalHost
from rayseg.engine.owner import RunOwner
from rayseg.tracking.recorder import RunRecorder

BLOCK = 50
BLOCKS = 61  # the first one warms up
ITERS = BLOCK * BLOCKS
CLASSES = 3
SIZE = 64
BATCH = 2
SEED = 3
SIDE = 8
MEAN, STD = 127.5, 64.0
UNTRAINED = math.log(CLASSES) - 0.001  # a network that died, or never learnt, would hide a difference
LR, MOMENTUM, POWER, EMA_MOMENTUM = 0.01, 0.9, 0.9, 0.001


class Blocks(nn.Module):
    """53 × (1×1 convolution, BatchNorm, ReLU), without biases; 159 parameters."""

    def __init__(self, width: int = 4, blocks: int = 53) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for index in range(blocks):
            inputs, outputs = 3 if index == 0 else width, CLASSES if index == blocks - 1 else width
            layers += [nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
        self.layers = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images)


def picture(index: int) -> tuple[Tensor, Tensor]:
    """A noisy image (3, S, S) uint8 and its label (S, S) uint8: which channel is the brightest."""
    generator = torch.Generator().manual_seed(index)
    image = torch.randint(0, 256, (3, SIDE, SIDE), dtype=torch.uint8, generator=generator)
    return image, image.argmax(0).to(torch.uint8)


class Pictures(Dataset):
    """Pairs, for torch's loader."""

    def __init__(self) -> None:
        self.pictures = [picture(index) for index in range(SIZE)]

    def __len__(self) -> int:
        return SIZE

    def __getitem__(self, index: int) -> Any:
        return self.pictures[index]


class SegPictures(Pictures):
    """The same, as rayseg has it."""

    def __init__(self) -> None:
        super().__init__()
        palette = [[0, 0, 0], [128, 128, 128], [255, 255, 255]]
        self.metainfo = {"classes": ["red", "green", "blue"], "palette": palette, "ignore_index": 255}

    def __getitem__(self, index: int) -> dict[str, Any]:
        image, label = self.pictures[index]
        shape = (SIDE, SIDE)
        sample = SegSample(
            ori_shape=shape, img_shape=shape, metainfo={"index": index}, gt_sem_seg=PixelData(label[None])
        )
        return {"inputs": image, "data_samples": sample}


def stream() -> Iterator[Any]:
    """The batches that the engine's run sees, from a loader of their own."""
    settings = DataLoaderSettings(dataset={"type": SegPictures}, batch_size=BATCH, shuffle=False)
    yield from build_train_dataloader(settings, dataset=SegPictures(), seed=SEED, global_batch_size=BATCH)


def torch_stream() -> Iterator[Any]:
    """Pass after pass of torch's own loader."""
    loader = DataLoader(Pictures(), batch_size=BATCH)
    while True:
        yield from loader


def now() -> tuple[float, float]:
    """The clock, and the processor time of this thread, which a busy machine disturbs less."""
    return time.perf_counter(), time.thread_time()


class BlocksInTurn(Hook):
    """Times the engine's blocks, and lets the loop by hand do a block of its own after each."""

    priority = "LOWEST"

    def __init__(self, by_hand: Iterator[None]) -> None:
        self.by_hand = by_hand
        self.pairs = Paired([], [])
        self.cpu = Paired([], [])
        self.loss = torch.tensor(float("nan"))
        self.begin = (0.0, 0.0)

    def before_train_epoch(self, runner: Runner) -> None:
        self.begin = now()

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        if (runner.iter + 1) % BLOCK:
            return
        handed_over = now()
        next(self.by_hand)
        back = now()
        for index, pairs in enumerate((self.pairs, self.cpu)):
            pairs.subject.append((handed_over[index] - self.begin[index]) / BLOCK)
            pairs.baseline.append((back[index] - handed_over[index]) / BLOCK)
        self.loss = outputs["loss"]
        self.begin = now()


class ByHand:
    """The loop as one would write it for this one run."""

    def __init__(self, net: nn.Module, log: Path) -> None:
        self.net = net
        self.log = log
        self.loss = torch.tensor(float("nan"))

    def blocks(self) -> Iterator[None]:
        """Runs a block at each ``next``."""
        net, log = self.net.train(), self.log.open("w")
        parameters = list(net.parameters())
        average = [parameter.detach().clone() for parameter in parameters]
        optimizer = torch.optim.SGD(parameters, lr=LR, momentum=MOMENTUM, fused=True)  # as rayseg chooses on a CPU
        losses: list[Tensor] = []
        batches = stream()
        begin = time.perf_counter()
        for iteration in range(ITERS):
            batch = next(batches)
            images = (batch["inputs"].float() - MEAN) / STD
            labels = torch.cat([sample.gt_sem_seg.data for sample in batch["data_samples"]]).long()
            loss = F.cross_entropy(net(images), labels, ignore_index=255)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.detach())
            with torch.no_grad():
                if iteration:
                    torch._foreach_lerp_(average, parameters, EMA_MOMENTUM)
                else:
                    torch._foreach_copy_(average, parameters)
            lr = optimizer.param_groups[0]["lr"]
            optimizer.param_groups[0]["lr"] = LR * max(0.0, 1 - (iteration + 1) / (ITERS - 1)) ** POWER
            if (iteration + 1) % BLOCK == 0:
                self.loss = losses[-1]
                time_of_one = (time.perf_counter() - begin) / BLOCK
                mean = torch.stack(losses).mean().item()
                log.write(json.dumps({"iter": iteration + 1, "loss": mean, "lr": lr, "iter_time": time_of_one}) + "\n")
                log.flush()
                losses.clear()
                yield
                begin = time.perf_counter()
        log.close()


def run(work_dir: Path) -> tuple[BlocksInTurn, ByHand]:
    """Both, block by block."""
    torch.manual_seed(0)
    net = Blocks()
    by_hand = ByHand(Blocks(), work_dir / "by_hand.jsonl")
    by_hand.net.load_state_dict(net.state_dict())
    hook = BlocksInTurn(by_hand.blocks())
    config = {
        "model": {
            "type": "Segmentor",
            "net": net,
            "loss": {"type": "CrossEntropyLoss"},
            "data_preprocessor": {"mean": [MEAN] * 3, "std": [STD] * 3},
        },
        "train_dataloader": {"batch_size": BATCH, "shuffle": False, "dataset": {"type": SegPictures}},
        "train_cfg": {"type": "IterBasedTrainLoop", "max_iters": ITERS},
        "optim_wrapper": {"type": "OptimWrapper", "optimizer": {"type": "SGD", "lr": LR, "momentum": MOMENTUM}},
        "param_scheduler": [{"type": "PolyLR", "power": POWER, "eta_min": 0.0, "by_epoch": False}],
        "default_hooks": {
            "logger": {"type": "LoggerHook", "interval": BLOCK},
            "checkpoint": {"type": "CheckpointHook", "interval": -1},
        },
        "custom_hooks": [{"type": "EMAHook", "momentum": EMA_MOMENTUM}, hook],
        "randomness": {"seed": SEED, "threads": 1},
    }
    recorder = RunRecorder(work_dir, [])
    recorder.start({"name": "engine_overhead", "command": sys.argv, "workers": 1})
    owner = RunOwner(recorder, CheckpointStore(work_dir / "checkpoints"))
    runner = Runner.from_config(config, host=LocalHost(owner.receive), work_dir=work_dir)
    runner.train()
    recorder.finish("finished")
    return hook, by_hand


def main() -> int:
    """Measure, print, and say whether the bound was kept."""
    report = Report("engine overhead: one iteration of the engine against the loop by hand", "torch", "rayseg")
    with tempfile.TemporaryDirectory() as folder, one_thread():
        hook, by_hand = run(Path(folder))
        ours, theirs = stream(), torch_stream()
        loaders = in_turn(lambda: next(ours), lambda: next(theirs), repetitions=201, calls=10)
    losses = hook.loss.item(), by_hand.loss.item()
    same = abs(losses[0] - losses[1]) <= 1e-4 * abs(losses[1])
    learnt = losses[0] < UNTRAINED
    report.require("last loss", same and learnt, f"{losses[0]:.7f} and {losses[1]:.7f}")
    report.ratio("an iteration", hook.pairs.without_first(), bound=1.05, slack=0.3e-3)
    report.note(f"between the fastest tenths of the blocks: +{hook.pairs.without_first().undisturbed * 1e6:.0f} µs")
    cpu = hook.cpu.without_first()
    report.note(f"in processor time: ratio {cpu.ratio:.3f}, difference {cpu.difference * 1e6:.0f} µs")
    report.note(f"a batch from rayseg's loader: {loaders.difference * 1e6:.0f} µs more than from torch's")
    return report.exit_code


if __name__ == "__main__":
    raise SystemExit(main())
