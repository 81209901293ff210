"""paramwise_cfg beside MMEngine 0.10.7: only parameters whose options are not the base ones are stored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from rayseg.optim.build import build_optim_wrapper

from tests.unit.optim.grouped_net import GroupedNet  # isort: skip

REFERENCE = json.loads((Path(__file__).parent / "mmengine_parameter_groups.json").read_text())
BASE = [REFERENCE["optimizer"][name] for name in REFERENCE["options"]]


@pytest.mark.parametrize("case", REFERENCE["cases"], ids=lambda case: "-".join(case["rules"]))
def test_the_options_are_mmengines(case: dict[str, Any]) -> None:
    net = GroupedNet()
    cfg = {"optimizer": REFERENCE["optimizer"], "paramwise_cfg": case["rules"]}
    groups = build_optim_wrapper(net, cfg).param_groups
    found = {id(p): [group[name] for name in REFERENCE["options"]] for group in groups for p in group["params"]}
    assert {name: found[id(parameter)] for name, parameter in net.named_parameters()} == {
        name: case["options"].get(name, BASE) for name, _ in net.named_parameters()
    }
    options = [tuple(group[name] for name in REFERENCE["options"]) for group in groups]
    assert len(set(options)) == len(options)


def test_what_was_frozen_at_build_is_trained_once_it_is_not() -> None:
    """MMEngine leaves it out of the groups, so that unfreezing changes nothing, silently."""
    net = GroupedNet()
    net.backbone.requires_grad_(False)
    wrapper = build_optim_wrapper(
        net, {"optimizer": {"type": "SGD", "lr": 1.0}, "paramwise_cfg": {"custom_keys": {"backbone": {"lr_mult": 0.5}}}}
    )
    net.backbone.requires_grad_(True)
    before = net.backbone.gamma.detach().clone()
    wrapper.update_params(net.backbone.gamma.sum())
    assert torch.equal(net.backbone.gamma, before - 0.5)
