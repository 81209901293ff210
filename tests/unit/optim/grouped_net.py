"""A network with every kind of parameter that paramwise_cfg has a rule for, which MMEngine's constructor takes too."""

from __future__ import annotations

import torch
from torch import nn


class GroupedNet(nn.Module):
    """Plain, depthwise and transposed convolutions, norms, flat parameters, names inside names."""

    def __init__(self) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, 4))
        self.scale = nn.Parameter(torch.ones(4))
        self.backbone = nn.Module()
        self.backbone.stem = nn.Conv2d(1, 4, 3)  # of one channel: depthwise by MM's rule
        self.backbone.conv1 = nn.Conv2d(4, 8, 3)
        self.backbone.bn1 = nn.BatchNorm2d(8)
        self.backbone.depthwise = nn.Conv2d(8, 8, 3, groups=8)
        self.backbone.conv1d = nn.Conv1d(8, 8, 3, groups=8)
        self.backbone.up = nn.ConvTranspose2d(8, 8, 2)
        self.backbone.blocks = nn.Sequential(
            nn.LayerNorm(8), nn.Linear(8, 8), nn.GroupNorm(2, 8), nn.InstanceNorm1d(8, affine=True)
        )
        self.backbone.gamma = nn.Parameter(torch.ones(8))
        self.decode_head = nn.Sequential(nn.Linear(8, 8, bias=False), nn.BatchNorm1d(8), nn.Linear(8, 2))
