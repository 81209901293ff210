"""The configs of experiments/layer_decay train, and say which learning rate each layer has."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.system.conftest import Rayseg  # isort: skip

EXPERIMENTS = Path(__file__).parents[2] / "experiments" / "layer_decay"
LR = 1e-3
# The smallest rate of the LinearLR warm-up, at the first iteration of 30.
WARM_UP = 0.01


@pytest.fixture
def tiles(tmp_path: Path) -> Path:
    """Pictures of two grey levels, larger than the configs' crops."""
    root = tmp_path / "tiles"
    generator = np.random.default_rng(0)
    for split, count in (("train", 4), ("val", 2)):
        for folder in ("images", "annotations"):
            (root / folder / split).mkdir(parents=True)
        for index in range(count):
            mask = np.kron(generator.integers(0, 2, (5, 5)), np.ones((30, 30))).astype(np.uint8)
            image = np.repeat((mask * 120 + 60)[..., None], 3, axis=-1)
            Image.fromarray(image).save(root / "images" / split / f"{index}.png")
            Image.fromarray(mask).save(root / "annotations" / split / f"{index}.png")
    (root / "classes.txt").write_text("dark\nbright\n")
    return root


@pytest.mark.parametrize(
    ("name", "layers", "rate", "heading"),
    [
        ("convnext", 5, 0.9, "ConvNeXt as timm names it: 5 layers, decay_rate 0.9"),
        ("beit", 12, 0.9, "ViT as timm names it: 12 layers, layer_decay_rate 0.9"),
        ("mae", 12, 0.65, "ViT as timm names it: 12 layers, decay_rate 0.65"),
    ],
)
def test_they_train(
    rayseg: Rayseg, tiles: Path, tmp_path: Path, name: str, layers: int, rate: float, heading: str
) -> None:
    changes = [
        f"train_dataloader.dataset.data_root={tiles}",
        "train_dataloader.batch_size=2",
        "train_cfg.max_iters=2",
        "train_cfg.val_interval=2",
        "default_hooks.logger.interval=1",
    ]
    answer = rayseg("train", EXPERIMENTS / f"{name}.py", *changes, "--local", "--work-dir", "run", "--json")
    assert answer.code == 0, answer.err
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [(line["mode"], line["iter"]) for line in lines] == [("train", 1), ("train", 2), ("val", 2)]
    for layer in range(layers + 2):
        expected = LR * WARM_UP * rate ** (layers + 1 - layer)
        assert lines[0][f"lr.layer_{layer}_decay"] == pytest.approx(expected), layer
        assert lines[0][f"lr.layer_{layer}_no_decay"] == pytest.approx(expected), layer
        assert lines[0][f"weight_decay.layer_{layer}_decay"] == 0.05
        assert lines[0][f"weight_decay.layer_{layer}_no_decay"] == 0.0
    assert lines[0]["lr"] == pytest.approx(LR * WARM_UP)
    log = (tmp_path / "run" / "log.txt").read_text()
    assert heading in log
    assert f"layer_{layers + 1}_decay" in log


def test_the_dry_run_shows_the_table(rayseg: Rayseg, tiles: Path) -> None:
    data_root = f"train_dataloader.dataset.data_root={tiles}"
    answer = rayseg("train", EXPERIMENTS / "convnext.py", data_root, "--dry-run")
    assert answer.code == 0, answer.err
    table = [line.split() for line in (answer.out + answer.err).splitlines() if line.startswith("group ")]
    assert table[0][1:] == ["group", "lr", "weight_decay", "tensors", "values"]
    assert table[1][1:4] == ["layer_6_decay", "0.001", "0.05"]
    assert table[2][1:4] == ["layer_0_decay", "0.000531441", "0.05"]
    assert table[-1][1] == "net.encoder.model"
    assert len(table) == 2 + 2 * 7


def test_a_backbone_that_nobody_knows_is_bad_input(rayseg: Rayseg, tiles: Path, tmp_path: Path) -> None:
    changes = [f"train_dataloader.dataset.data_root={tiles}", "model.net.encoder_name=resnet18"]
    answer = rayseg("train", EXPERIMENTS / "convnext.py", *changes, "--local", "--work-dir", "run")
    assert answer.code == 2
    assert "no backbone that layer decay knows: net.encoder.conv1.weight" in answer.err
    assert "layer_table=[dict(pattern='net.encoder.conv1', layer=0)" in answer.err
    assert not (tmp_path / "run").exists()
