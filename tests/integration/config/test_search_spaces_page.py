"""The examples of docs/search-spaces.md: checked whole, and what is drawn from them builds."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import pytest
import segmentation_models_pytorch as smp
from torch import nn

from rayseg.config import check_config, find_search_leaves, load_config
from rayseg.optim.build import build_optim_wrapper
from tests.processes import REPOSITORY

from tests.unit.optim.space_sampling import draw_config  # isort: skip

PAGE = (REPOSITORY / "docs" / "search-spaces.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
BASE = """
model = dict(type='Segmentor', net=dict(type='smp.Unet', encoder_name='resnet18', encoder_weights=None),
             loss=dict(type='CrossEntropyLoss'))
train_dataloader = dict(batch_size=2, dataset=dict(type='FolderDataset', data_root='data', split='train'))
train_cfg = dict(type='IterBasedTrainLoop', max_iters=4)
optim_wrapper = dict(optimizer=dict(type='AdamW', lr=1e-3))
"""


@pytest.fixture(scope="module")
def models() -> dict[str, nn.Module]:
    """A network for each encoder of the page, its parameters named as in a segmentor."""
    encoders = ("resnet18", "tu-convnext_atto")
    return {name: nn.ModuleDict({"net": smp.Unet(name, encoder_weights=None)}) for name in encoders}


def loaded(folder: Path, block: str, overrides: list[str] | None = None) -> Any:
    (folder / "base.py").write_text(BASE)
    (folder / "sweep.py").write_text(f"_base_ = 'base.py'\n{block}")
    return load_config(folder / "sweep.py", overrides or [])


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_an_example_is_good_and_builds(number: int, tmp_path: Path, models: dict[str, nn.Module]) -> None:
    config = loaded(tmp_path, BLOCKS[number])
    assert check_config(config) == []
    assert find_search_leaves(config)
    rng, seen = random.Random(0), set()
    for _ in range(20):
        drawn = draw_config(config, rng)
        assert find_search_leaves(drawn) == {}
        build_optim_wrapper(models[drawn["model"]["net"]["encoder_name"]], drawn["optim_wrapper"])
        seen.add(str(drawn))
    assert len(seen) > 1


def test_a_yaml_config_has_a_space_from_its_base(tmp_path: Path) -> None:
    (tmp_path / "space.py").write_text(BASE + BLOCKS[2])
    (tmp_path / "sweep.yaml").write_text("_base_: space.py\ntrain_cfg: {max_iters: 8}\n")
    config = load_config(tmp_path / "sweep.yaml")
    assert check_config(config) == []
    assert list(find_search_leaves(config)) == ["optim_wrapper"]


def test_the_page_has_an_example_of_each_name() -> None:
    import rayseg.search

    named = re.findall(r"\b(\w+)\(", PAGE)
    assert set(rayseg.search.__all__) <= set(named)


def test_an_override_fits_all_options_or_is_an_error(tmp_path: Path) -> None:
    good = loaded(tmp_path, BLOCKS[0], ["optim_wrapper.optimizer.lr=0.001"])
    assert check_config(good) == []
    assert [option["lr"] for option in good.optim_wrapper.optimizer.options] == [0.001, 0.001]
    bad = loaded(tmp_path, BLOCKS[0], ["optim_wrapper.optimizer.momentum=0.8"])
    with pytest.raises(ValueError, match=r"^command line: optim_wrapper\.optimizer\[adamw\]\.momentum: AdamW takes no"):
        check_config(bad)


@pytest.mark.parametrize("call", re.findall(r"`(layer_decay_space\(model.*?\))`", PAGE))
def test_a_narrower_call(call: str) -> None:
    from rayseg.search import layer_decay_space, uniform

    names: dict[str, Any] = {"layer_decay_space": layer_decay_space, "uniform": uniform}
    exec(BLOCKS[5], names)
    assert eval(call, names).labels == ("off", "on")
