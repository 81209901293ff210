"""A small data set and small networks that learn in seconds, for every test that trains."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rayseg.core.sample import PixelData, SegSample

CLASSES = ("dark", "middle", "bright")


class ToyDataset:
    """Blocks of grey with noise; the class is the block's brightness. Augmentation draws from all three generators."""

    def __init__(self, size: int = 16, side: int = 16, augment: bool = True, first: int = 0, test_mode: bool = False):
        self.size = size
        self.side = side
        self.first = first
        self.augment = augment and not test_mode
        self.metainfo = {
            "classes": CLASSES,
            "palette": [[0, 0, 0], [128, 128, 128], [255, 255, 255]],
            "ignore_index": 255,
        }

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> dict[str, Any]:
        generator = torch.Generator().manual_seed(1000 + self.first + index)
        blocks = torch.randint(0, 3, (1, 1, 4, 4), generator=generator).float()
        label = nn.functional.interpolate(blocks, size=(self.side, self.side), mode="nearest")[0].to(torch.uint8)
        noise = torch.randn(3, self.side, self.side, generator=generator) * 20
        image = (label.float() * 90 + 30 + noise).clamp(0, 255).to(torch.uint8)
        if self.augment:
            image, label = augmented(image, label)
        sample = SegSample(
            ori_shape=(self.side, self.side),
            img_shape=(self.side, self.side),
            metainfo={"index": int(index), "name": f"{index}.png"},
            gt_sem_seg=PixelData(label),
        )
        return {"inputs": image, "data_samples": sample}


def augmented(image: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
    """Flips and a brightness drawn from torch, numpy and random."""
    if torch.rand(()) < 0.5:
        image, label = image.flip(-1), label.flip(-1)
    if np.random.rand() < 0.5:
        image, label = image.flip(-2), label.flip(-2)
    image = (image.float() * random.uniform(0.9, 1.1)).clamp(0, 255).to(torch.uint8)
    return image.contiguous(), label.contiguous()


class ToyNet(nn.Module):
    """Convolution, BatchNorm, dropout, convolution."""

    def __init__(self, num_classes: int = 3, width: int = 8, dropout: float = 0.2) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU())
        self.dropout = nn.Dropout2d(dropout)
        self.head = nn.Conv2d(width, num_classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.dropout(self.encoder(image)))


class GroupNormNet(nn.Module):
    """Without BatchNorm and dropout: the loss does not depend on how a batch is split over ranks."""

    def __init__(self, num_classes: int = 3, width: int = 8) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.GroupNorm(2, width), nn.ReLU())
        self.head = nn.Conv2d(width, num_classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.encoder(image))


def toy_config(**sections: Any) -> dict[str, Any]:
    """A config over the toys, 12 iterations of a global batch of 4; ``sections`` replace its own."""
    config: dict[str, Any] = {
        "model": {
            "type": "Segmentor",
            "net": {"type": ToyNet},
            "loss": {"type": "CrossEntropyLoss"},
            "data_preprocessor": {"mean": [127.5, 127.5, 127.5], "std": [64.0, 64.0, 64.0]},
        },
        "train_dataloader": {"batch_size": 4, "dataset": {"type": ToyDataset}},
        "val_dataloader": {
            "batch_size": 4,
            "dataset": {"type": ToyDataset, "size": 7, "first": 100, "test_mode": True},
        },
        "train_cfg": {"type": "IterBasedTrainLoop", "max_iters": 12, "val_interval": 6},
        "optim_wrapper": {"type": "OptimWrapper", "optimizer": {"type": "SGD", "lr": 0.05, "momentum": 0.9}},
        "param_scheduler": [{"type": "PolyLR", "power": 0.9, "begin": 0, "end": 12, "by_epoch": False}],
        "default_hooks": {
            "logger": {"type": "LoggerHook", "interval": 2},
            "checkpoint": {"type": "CheckpointHook", "by_epoch": False, "interval": 4},
        },
        "randomness": {"seed": 3, "threads": 1},
        "env_cfg": {"control_interval": 2},
    }
    return {**config, **sections}
