"""layer_decay_space: everything drawn builds, alone and over a drawn optim_wrapper, where there is a layer table."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import segmentation_models_pytorch as smp
import torch
from torch import nn

from rayseg.config import Config, check_config, find_search_leaves, load_config
from rayseg.core.errors import ConfigError
from rayseg.optim.build import build_optim_wrapper
from rayseg.optim.layer_decay import LearningRateDecayOptimizerConstructor
from rayseg.optim.spaces import OPTIMIZER_SPACES
from rayseg.search import choice, grid, layer_decay_keys, layer_decay_space, optim_wrapper_space, uniform

from tests.unit.optim.space_sampling import draw_config  # isort: skip

CONVNEXT = {"type": "smp.Unet", "encoder_name": "tu-convnext_atto"}
VIT = {"type": "timm.create_model", "model_name": "vit_tiny_patch16_224"}
RATE, TYPE = "optim_wrapper.paramwise_cfg.decay_rate", "optim_wrapper.paramwise_cfg.decay_type"
CONSTRUCTOR = "LearningRateDecayOptimizerConstructor"


@pytest.fixture(scope="module")
def model() -> nn.Module:
    """A Unet over a ConvNeXt, with the prefix that its parameters have in a segmentor."""
    return nn.ModuleDict({"net": smp.Unet("tu-convnext_atto", encoder_weights=None)})


def sections(**changes: Any) -> dict[str, Any]:
    return {
        "model": {"type": "Segmentor", "net": CONVNEXT, "loss": {"type": "CrossEntropyLoss"}},
        "train_dataloader": {"batch_size": 2, "dataset": {"type": "FolderDataset", "data_root": "x", "split": "train"}},
        "train_cfg": {"type": "IterBasedTrainLoop", "max_iters": 4},
        "optim_wrapper": {"optimizer": {"type": "AdamW", "lr": 1e-3}},
        **changes,
    }


def first_rate(wrapper: Any) -> float:
    """The learning rate of the stem, as a multiple of the heads'."""
    rates = {group["name"].split("_")[1]: group["lr"] for group in wrapper.param_groups}
    return rates["0"] / rates[str(max(map(int, rates)))]


def test_100_drawn_build(model: nn.Module) -> None:
    config = Config.from_dict(sections(variants={"layer_decay": layer_decay_space(CONVNEXT)}))
    assert check_config(config) == []
    rng, types = random.Random(0), Counter[str]()
    for _ in range(100):
        drawn = draw_config(config, rng)
        assert find_search_leaves(drawn) == {}
        check_config(Config.from_dict(drawn))
        wrapper = build_optim_wrapper(model, drawn["optim_wrapper"])
        rules = drawn["optim_wrapper"].get("paramwise_cfg", {"decay_type": "off"})
        types[rules["decay_type"]] += 1
        if "decay_rate" in rules:
            assert 0.6 <= rules["decay_rate"] <= 0.95
            assert first_rate(wrapper) == pytest.approx(rules["decay_rate"] ** 6)  # 5 layers, then the heads
        else:
            assert [group["name"] for group in wrapper.param_groups] == ["default"]
    assert set(types) == {"off", "layer_wise", "stage_wise"}


def test_100_drawn_over_a_drawn_wrapper_build(model: nn.Module) -> None:
    space = optim_wrapper_space(tuple(OPTIMIZER_SPACES), encoder="encoder")
    config = Config.from_dict(
        sections(optim_wrapper=space, variants={"decay": choice(off={}, on=layer_decay_keys(CONVNEXT))})
    )
    assert check_config(config) == []
    rng, seen = random.Random(1), Counter[tuple[Any, ...]]()
    for _ in range(100):
        drawn = draw_config(config, rng)
        section = drawn["optim_wrapper"]
        assert find_search_leaves(drawn) == {}
        check_config(Config.from_dict(drawn))
        wrapper = build_optim_wrapper(model, section)
        rules = section["paramwise_cfg"]
        seen["decay_rate" in rules, "custom_keys" in rules, "norm_decay_mult" in rules] += 1
        rates = {group["lr"] for group in wrapper.param_groups}
        assert (len(rates) > 1) == ("decay_rate" in rules or "custom_keys" in rules)
    kinds = [(False, False), (True, False), (False, True)]
    assert set(seen) == {(is_on, *kind) for is_on in (False, True) for kind in kinds}


def test_the_keys() -> None:
    both = {
        "optim_wrapper.constructor": CONSTRUCTOR,
        RATE: uniform(0.6, 0.95),
        TYPE: choice(["layer_wise", "stage_wise"]),
    }
    assert layer_decay_keys() == layer_decay_keys(CONVNEXT) == both
    assert layer_decay_space() == choice(off={}, on=both)
    narrow = layer_decay_keys(CONVNEXT, [0.7, 0.8], "stage_wise")
    assert (narrow[RATE], narrow[TYPE]) == (choice([0.7, 0.8]), "stage_wise")
    tried = layer_decay_keys(CONVNEXT, 0.9, grid(["layer_wise", "stage_wise"]))
    assert (tried[RATE], tried[TYPE]) == (0.9, grid(["layer_wise", "stage_wise"]))


def test_a_backbone_without_stages_is_not_offered_them() -> None:
    assert layer_decay_keys(VIT)[TYPE] == "layer_wise"
    with pytest.raises(ConfigError) as error:
        layer_decay_keys(VIT, decay_type=["layer_wise", "stage_wise"])
    assert str(error.value) == (
        "layer decay of timm.create_model: optim_wrapper.paramwise_cfg.decay_type: ViT has no stages; use 'layer_wise'"
    )


def test_a_backbone_without_a_table_is_refused() -> None:
    with pytest.raises(ConfigError) as error:
        layer_decay_space({"type": "smp.Unet", "encoder_name": "resnet18"})
    text = str(error.value)
    assert text.startswith("layer decay of smp.Unet('resnet18'): optim_wrapper.paramwise_cfg: no backbone that layer")
    assert (
        "Known are ConvNeXt (mmpretrain, timm, transformers), Swin (mmseg, Microsoft, timm, transformers), ViT" in text
    )
    assert "\n" not in text


def test_a_table_of_ones_own_makes_it_known() -> None:
    table = [
        {"pattern": "net.conv", "layer": 0, "stage": 0},
        {"pattern": "net.blocks.{block}", "layer": "block + 1"},
        {"pattern": "net.head", "layer": "head"},
    ]
    keys = layer_decay_keys(Plain, layer_table=table)
    assert (keys[TYPE], keys["optim_wrapper.paramwise_cfg.layer_table"]) == ("layer_wise", table)
    rules = {"decay_rate": 0.5, "layer_table": table}
    wrapper = LearningRateDecayOptimizerConstructor({"optimizer": {"type": "SGD", "lr": 1.0}}, rules)(
        nn.ModuleDict({"net": Plain(2, pretrained=False)})
    )
    assert first_rate(wrapper) == 0.5**3


class Plain(nn.Module):
    """A network that no table knows, whose constructor needs the number of classes and reads a value."""

    def __init__(self, num_classes: int, pretrained: bool = True) -> None:
        super().__init__()
        assert not pretrained, "asks for pretrained weights"
        self.conv = nn.Conv2d(3, int(torch.ones(1).item()) * 4, 1)
        self.blocks = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
        self.head = nn.Linear(4, num_classes)


def test_the_network_is_looked_at_in_every_form_and_leaves_no_trace() -> None:
    torch.manual_seed(0)
    expected = torch.rand(1)
    forms = [CONVNEXT, {**CONVNEXT, "encoder_weights": "imagenet"}, smp.Unet("tu-convnext_atto", encoder_weights=None)]
    torch.manual_seed(0)
    assert {str(layer_decay_keys(form)) for form in forms} == {str(layer_decay_keys())}
    for form in (Plain, {"type": Plain}, f"{__name__}.Plain"):
        with pytest.raises(ConfigError, match=r"Plain: .*no backbone that layer decay knows: net\.conv\.weight"):
            layer_decay_keys(form)
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize(
    ("net", "message"),
    [
        ({"type": "smp.Unett"}, "unknown network 'smp.Unett'; did you mean 'smp.Unet'?"),
        ({"encoder_name": "x"}, "a network needs a 'type', found {'encoder_name': 'x'}"),
        (7, "layer decay: net: expected dict(type='smp.Unet', ...), found 7"),
        ("torch.nn.ReLU", "layer decay of torch.nn.ReLU: the network has no parameters"),
        ("torch.optim.SGD", "network torch.optim.SGD: missing a required argument: 'params'"),
        ("builtins.list", "layer decay of builtins.list: expected a torch.nn.Module, found list"),
        (
            {**CONVNEXT, "encoder_name": choice(["a", "b"])},
            "layer decay of smp.Unet: encoder_name is choice(['a', 'b']); which backbone it is must be known, so give "
            "each a branch of variants with layer_decay_keys(net) of its own",
        ),
        (
            {**CONVNEXT, "encoder_name": "tu-convnext_ato"},
            "layer decay of smp.Unet('tu-convnext_ato'): building it failed: RuntimeError: Unknown model "
            "(convnext_ato)",
        ),
    ],
)
def test_bad_networks(net: Any, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        layer_decay_space(net)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("decay_type", "message"),
    [
        ("stagewise", "no such type 'stagewise'; did you mean 'stage_wise'?"),
        (["layer_wise", 3], "no such type 3; known are layer_wise, stage_wise"),
        ([], "expected at least one type, found none"),
    ],
)
def test_bad_types(decay_type: Any, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        layer_decay_space(decay_type=decay_type)
    assert str(error.value) == f"layer decay: decay_type: {message}"


def test_a_bad_rate_is_found_by_the_check() -> None:
    config = Config.from_dict(sections(variants={"decay": layer_decay_space(decay_rate=uniform(0.9, 1.1))}))
    with pytest.raises(ConfigError) as error:
        check_config(config)
    assert str(error.value) == (
        "variants.decay[on]: optim_wrapper.paramwise_cfg.decay_rate: expected float (above 0 and at most 1), "
        "found uniform(0.9, 1.1); its values are float"
    )


def test_beside_other_keys_and_in_a_child(tmp_path: Path, model: nn.Module) -> None:
    base = "".join(f"{key} = {value!r}\n" for key, value in sections().items())
    (tmp_path / "base.py").write_text(base.replace("tu-convnext_atto", "resnet18"))
    (tmp_path / "sweep.py").write_text(
        "_base_ = 'base.py'\nfrom rayseg.search import *\n"
        "net = dict(_base_.model.net, encoder_name='tu-convnext_atto')\n"
        "variants = dict(backbone=choice(resnet={},\n"
        "    convnext={'model.net.encoder_name': 'tu-convnext_atto', **layer_decay_keys(net, 0.8, 'layer_wise')}))\n"
    )
    config = load_config(tmp_path / "sweep.py")
    assert check_config(config) == []
    rng = random.Random(0)
    drawn = {(d := draw_config(config, rng))["model"]["net"]["encoder_name"]: d["optim_wrapper"] for _ in range(9)}
    assert drawn["resnet18"] == {"optimizer": {"type": "AdamW", "lr": 1e-3}}
    assert first_rate(build_optim_wrapper(model, drawn["tu-convnext_atto"])) == pytest.approx(0.8**6)
