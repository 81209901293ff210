"""The configs of docs/layer-decay.md, as they are printed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.processes import REPOSITORY

from tests.system.conftest import Rayseg  # isort: skip

PAGE = (REPOSITORY / "docs" / "layer-decay.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
NETS = {
    "tu-convnext_atto": (BLOCKS[0], "net.encoder.model", "ConvNeXt as timm names it: 5 layers, decay_rate 0.9", 7),
    "resnet18": (BLOCKS[1], "model", "layer_table: 8 layers, decay_rate 0.9", 10),
}


@pytest.mark.parametrize("encoder", NETS)
def test_a_block_plans(encoder: str, rayseg: Rayseg, config: Path) -> None:
    block, backbone, note, layers = NETS[encoder]
    model = f"model = dict(type='Segmentor', net=dict(type='smp.Unet', encoder_name={encoder!r}, encoder_weights=None),"
    sections = config.read_text()
    sections = model + "\n    loss=dict(type='CrossEntropyLoss'))\n" + sections[sections.index("train_dataloader") :]
    config.write_text(sections.replace("optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1))", block))
    answer = rayseg("train", config, "train_dataloader.dataset.pipeline=[dict(type='Pad', size=(32, 32))]", "--dry-run")
    assert answer.code == 0, answer.err
    table = [line.split(maxsplit=1)[1] for line in (answer.out + answer.err).splitlines() if line.startswith("group ")]
    assert len(table) == 1 + 2 * layers + 1
    assert table[-1].split(maxsplit=5) == [backbone, "-", "-", "-", "-", note]
