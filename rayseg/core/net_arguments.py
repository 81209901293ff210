"""What constructors of networks call the arguments that rayseg gives them: smp, timm, torchvision, transformers."""

from __future__ import annotations

from typing import Any

# The number of classes: smp, then timm and torchvision, then transformers.
CLASS_ARGUMENTS = ("classes", "num_classes", "num_labels")
# Arguments that ask for pretrained weights (smp; torchvision; timm), and the value that asks for none.
NO_PRETRAINED: dict[str, Any] = {
    "encoder_weights": None,
    "weights": None,
    "weights_backbone": None,
    "pretrained": False,
}
