"""How long two Ray Train workers need from the command to the end of their first training step.

Whole processes, taken in turn: ``rayseg train`` and a script over a bare TorchTrainer with the same imports, the same
U-Net and the same images. Both write the time at which rank 0 has done its first step.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from _paired import Paired, Report
from PIL import Image

PAIRS = int(os.environ.get("RAYSEG_BENCHMARK_PAIRS", "3"))

FIRST_STEP_HOOK = """
import os
import time

from rayseg import Hook


class FirstStep(Hook):
    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.rank == 0 and runner.iter == 0:
            with open(os.environ["FIRST_STEP"], "w") as file:
                file.write(repr(time.time()))
"""

CONFIG = """
model = dict(
    type='Segmentor',
    net=dict(type='smp.Unet', encoder_name='resnet18', encoder_weights=None),
    loss=dict(type='CrossEntropyLoss'),
)
train_dataloader = dict(
    batch_size=2,
    dataset=dict(
        type='FolderDataset',
        data_root='data',
        split='train',
        pipeline=[dict(type='RandomCrop', crop_size=(64, 64)), dict(type='RandomFlip', prob=0.5)],
    ),
)
train_cfg = dict(type='IterBasedTrainLoop', max_iters=2)
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.01, momentum=0.9))
default_hooks = dict(checkpoint=dict(interval=-1, save_last=False))
custom_hooks = [dict(type='first_step.FirstStep')]
scaling = dict(num_workers=2)
"""

BARE = """
import os
import random
import time
from pathlib import Path

import numpy as np
import ray
import ray.train
import segmentation_models_pytorch as smp
import torch
import torch.nn.functional as F
from PIL import Image
from ray.train import RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer, prepare_data_loader, prepare_model
from torch.utils.data import DataLoader, Dataset


class Pictures(Dataset):
    def __init__(self, root):
        self.images = sorted(Path(root, "images", "train").iterdir())
        self.masks = sorted(Path(root, "annotations", "train").iterdir())

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        image = torch.from_numpy(np.array(Image.open(self.images[index]))).permute(2, 0, 1)
        mask = torch.from_numpy(np.array(Image.open(self.masks[index])))
        top, left = random.randrange(image.shape[1] - 63), random.randrange(image.shape[2] - 63)
        image, mask = image[:, top : top + 64, left : left + 64], mask[top : top + 64, left : left + 64]
        if random.random() < 0.5:
            image, mask = image.flip(-1), mask.flip(-1)
        return image, mask.long()


def train(config):
    model = prepare_model(smp.Unet(encoder_name="resnet18", encoder_weights=None, classes=2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    loader = prepare_data_loader(DataLoader(Pictures(config["root"]), batch_size=2, shuffle=True))
    for images, masks in loader:
        loss = F.cross_entropy(model((images.float() - 127.5) / 64), masks)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        break
    if ray.train.get_context().get_world_rank() == 0:
        with open(config["first_step"], "w") as file:
            file.write(repr(time.time()))


if __name__ == "__main__":
    ray.init(address="local")  # not whatever cluster a file in Ray's temporary folder names, perhaps long gone
    TorchTrainer(
        train,
        train_loop_config={"root": os.path.abspath("data"), "first_step": os.environ["FIRST_STEP"]},
        scaling_config=ScalingConfig(num_workers=2),
        run_config=RunConfig(storage_path=os.path.abspath("bare_runs")),
    ).fit()
"""


def prepare(folder: Path) -> None:
    """Eight images of 96×96 px with masks of two classes, the config, its hook, and the bare script."""
    rng = np.random.default_rng(0)
    for kind in ("images", "annotations"):
        (folder / "data" / kind / "train").mkdir(parents=True)
    for index in range(8):
        pixels = rng.integers(0, 256, (96, 96, 3), dtype=np.uint8)
        mask = (pixels[..., 0] > 127).astype(np.uint8)
        Image.fromarray(pixels).save(folder / "data" / "images" / "train" / f"{index}.png")
        Image.fromarray(mask).save(folder / "data" / "annotations" / "train" / f"{index}.png")
    (folder / "data" / "classes.txt").write_text("dark\nbright\n")
    (folder / "first_step.py").write_text(FIRST_STEP_HOOK)
    (folder / "start.py").write_text(CONFIG)
    (folder / "bare.py").write_text(BARE)


def seconds_to_first_step(folder: Path, *command: str) -> float:
    """Run a command to its end; from its start to rank 0's first step."""
    mark = folder / "first_step.txt"
    mark.unlink(missing_ok=True)
    environment = {**os.environ, "FIRST_STEP": str(mark), "RAYSEG_HOME": str(folder / "home")}
    environment.pop("RAY_ADDRESS", None)
    output = folder / "output.txt"  # a pipe would stay open as long as the last process that Ray leaves behind
    begin = time.time()
    with output.open("w") as file:
        done = subprocess.run(
            [sys.executable, *command], cwd=folder, env=environment, stdout=file, stderr=subprocess.STDOUT, check=False
        )
    if done.returncode or not mark.is_file():
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{output.read_text()}")
    return float(mark.read_text()) - begin


def main() -> int:
    """Measure, print, and say whether the bound was kept."""
    report = Report(
        "from the command to the first step of 2 workers: rayseg train, a bare TorchTrainer", "ray", "torch"
    )
    pairs = Paired([], [])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        for pair in range(PAIRS):
            commands = [
                (pairs.subject, ("-m", "rayseg.cli.main", "train", "start.py", "--work-dir", f"runs/{pair}")),
                (pairs.baseline, ("bare.py",)),
            ]
            for results, command in commands if pair % 2 else reversed(commands):
                results.append(seconds_to_first_step(folder, *command))
    report.ratio("the first step", pairs, bound=1.15)
    return report.exit_code


if __name__ == "__main__":
    raise SystemExit(main())
