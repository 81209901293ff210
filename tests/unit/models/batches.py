"""Batches of logits and labels, the same for the same seed."""

from __future__ import annotations

import torch


def a_batch(channels=3, num_classes=3, ignored=0.3, seed=0, size=(2, 5, 7)):
    """Logits (B, channels, H, W) that want gradients, and int64 labels (B, H, W) with a share of ignored pixels."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(size[0], channels, *size[1:], generator=generator) * 3
    labels = torch.randint(0, num_classes, size, generator=generator)
    labels[torch.rand(size, generator=generator) < ignored] = 255
    return logits.requires_grad_(), labels
