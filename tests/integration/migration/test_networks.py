"""The networks that stand for MM's families: they are built, trained on and looked through."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rayseg.core.registries import MODELS
from rayseg.core.sample import PixelData, SegSample
from rayseg.migration import migrate

CONFIGS = Path(__file__).parents[2] / "unit" / "migration" / "configs"
MAPPED = (
    "pspnet_r18",
    "deeplabv3plus_mobilenet",
    "unet",
    "upernet_convnext",
    "segformer_b2",
    "fcn_r50_4xb2-20k_cityscapes",
)


@pytest.mark.parametrize("name", MAPPED)
def test_a_network_trains_and_predicts(name: str) -> None:
    sections = migrate(CONFIGS / f"{name}.py").sections
    model = dict(sections["model"])
    offline = (
        {"weights_backbone": None} if model["net"]["type"].startswith("torchvision") else {"encoder_weights": None}
    )
    model["net"] = {**model["net"], **offline}
    model["data_preprocessor"] = {**model["data_preprocessor"], "size": None}
    model.pop("test_cfg", None)
    classes = sections["train_dataloader"]["dataset"]["classes"]
    segmentor = MODELS.build(model, metainfo={"classes": classes})
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    label = torch.randint(0, len(classes), (1, 64, 64))
    samples = [SegSample(gt_sem_seg=PixelData(label)) for _ in images]
    loss = segmentor(images, samples, "loss")["loss"]
    loss.backward()
    assert [name for name, parameter in segmentor.named_parameters() if parameter.grad is None] == []
    segmentor.eval()
    prediction = segmentor(images, samples, "predict")[0].pred_sem_seg.data
    assert prediction.shape == (1, 64, 64)
    assert int(prediction.max()) < len(classes)
