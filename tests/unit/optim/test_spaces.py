"""optim_wrapper_space: everything drawn from it builds and steps, and arguments narrow and widen it."""

from __future__ import annotations

import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from rayseg.config import Config, check_config, find_search_leaves, load_config
from rayseg.config.search import Choice, Range
from rayseg.core.errors import ConfigError
from rayseg.optim.amp import AmpOptimWrapper
from rayseg.optim.build import build_optim_wrapper
from rayseg.optim.spaces import OPTIMIZER_SPACES, WRAPPERS
from rayseg.search import choice, grid, layer_decay_space, loguniform, optim_wrapper_space, uniform

from tests.unit.optim.space_sampling import contains, draw, draw_config  # isort: skip

ALL = tuple(OPTIMIZER_SPACES)
EVERYTHING = optim_wrapper_space(ALL, encoder="encoder")
DATA = {"type": "FolderDataset", "data_root": "data", "split": "train"}
SECTIONS: dict[str, Any] = {
    "model": {
        "type": "Segmentor",
        "net": {"type": "torch.nn.Conv2d", "in_channels": 3, "out_channels": 2, "kernel_size": 1},
        "loss": {"type": "CrossEntropyLoss"},
    },
    "train_dataloader": {"batch_size": 2, "dataset": DATA},
    "train_cfg": {"type": "IterBasedTrainLoop", "max_iters": 4},
}


class Net(nn.Module):
    """An encoder with a convolution, norms and a matrix, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Flatten(2), nn.Linear(4, 4))
        self.head = nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 2))

    def forward(self, images_bchw: torch.Tensor) -> torch.Tensor:
        """Mean of the head's outputs, a 0-dim tensor."""
        return self.head(self.encoder(images_bchw)).square().mean()


def problems_of(make: Callable[[], Any]) -> str:
    with pytest.raises(ConfigError) as error:
        make()
    return str(error.value)


def step(drawn: dict[str, Any]) -> str:
    """Build the wrapper, take a whole window's steps; gives the names of wrapper and optimizer."""
    torch.manual_seed(0)
    net = Net()
    wrapper = build_optim_wrapper(net, drawn)
    before = net.head[1].weight.clone()
    for _ in range(wrapper.accumulative_counts):
        with wrapper.optim_context(net):
            loss = net(torch.rand(2, 3, 2, 2))
        wrapper.update_params(loss)
    assert wrapper.at_boundary
    assert not torch.equal(net.head[1].weight, before)
    assert isinstance(wrapper, AmpOptimWrapper) == (drawn["type"] == "AmpOptimWrapper")
    return f"{type(wrapper).__name__} {type(wrapper.optimizer).__name__}"


@pytest.mark.parametrize("space", [optim_wrapper_space(), EVERYTHING], ids=["default", "everything"])
def test_100_drawn_build_and_step(space: Choice) -> None:
    rng = random.Random(0)
    found: Counter[str] = Counter()
    for _ in range(100):
        drawn = draw(space, rng)
        assert find_search_leaves(drawn) == {}
        check_config(Config.from_dict({**SECTIONS, "optim_wrapper": drawn}))
        found[step(drawn)] += 1
    assert space.labels is not None
    optimizers = space.options[0]["optimizer"].labels
    assert set(found) == {f"{wrapper} {optimizer}" for wrapper in space.labels for optimizer in optimizers}


def test_each_rule_reaches_the_groups() -> None:
    def groups(rules: Any) -> list[tuple[float, float]]:
        cfg = {"optimizer": {"type": "SGD", "lr": 1.0, "weight_decay": 0.5}, "paramwise_cfg": rules}
        return [(group["lr"], group["weight_decay"]) for group in build_optim_wrapper(Net(), cfg).param_groups]

    branches = dict(EVERYTHING.options[0]["paramwise_cfg"].branches())
    slow = branches.pop("slow_encoder")
    assert {label: groups(rules) for label, rules in branches.items()} == {
        "all_alike": [(1.0, 0.5)],
        "decay_weights_only": [(1.0, 0.5), (1.0, 0.0)],
    }
    ((_, (lr, decay)),) = [groups(draw(slow, random.Random(0)))]
    assert (0.05 <= lr < 1.0, decay) == (True, 0.5)


@pytest.mark.parametrize("space", [optim_wrapper_space(), EVERYTHING], ids=["default", "everything"])
def test_a_config_that_holds_a_space_is_checked_whole(space: Choice) -> None:
    config = Config.from_dict({**SECTIONS, "optim_wrapper": space, "variants": {"decay": layer_decay_space()}})
    assert check_config(config) == []
    wrong = optim_wrapper_space({"AdamW": {"lr": uniform(0, 1), "momentm": 0.9}}, weight_decay=["x"])
    found = problems_of(lambda: check_config(Config.from_dict({**SECTIONS, "optim_wrapper": wrong})))
    assert re.findall(r"^(optim_wrapper\S+): (.{0,34})", found, re.MULTILINE) == [
        (f"optim_wrapper[{wrapper}].optimizer.{key}", message)
        for wrapper in WRAPPERS
        for key, message in (
            ("momentm", "AdamW takes no 'momentm' (found 0."),
            ("weight_decay[0]", "expected float, found 'x'"),
        )
    ]


def test_a_space_survives_being_written(tmp_path: Path) -> None:
    config = Config.from_dict({**SECTIONS, "optim_wrapper": EVERYTHING, "variants": {"decay": layer_decay_space()}})
    config.dump(tmp_path / "sweep.py")
    assert load_config(tmp_path / "sweep.py") == config


def test_overrides_and_children_narrow_it(tmp_path: Path) -> None:
    sections = "".join(f"{key} = {value!r}\n" for key, value in SECTIONS.items())
    space = "from rayseg.search import *\noptim_wrapper = optim_wrapper_space()\n"
    (tmp_path / "base.py").write_text(f"{sections}{space}")
    config = load_config(
        tmp_path / "base.py", ["optim_wrapper.accumulative_counts=1", "optim_wrapper.optimizer.lr=uniform(0.001, 0.01)"]
    )
    assert check_config(config) == []
    assert config.optim_wrapper == optim_wrapper_space(lr=uniform(0.001, 0.01), accumulative_counts=1)
    (tmp_path / "child.py").write_text("_base_ = 'base.py'\n" + space.replace("()", "('Adam')"))
    assert load_config(tmp_path / "child.py").optim_wrapper == optim_wrapper_space("Adam")
    child = "_base_ = 'base.py'\noptim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1))\n"
    (tmp_path / "child.py").write_text(child)
    assert load_config(tmp_path / "child.py").optim_wrapper == {"optimizer": {"type": "SGD", "lr": 0.1}}


def optimizer_of(space: Choice) -> Any:
    return space.options[0]["optimizer"]


def test_arguments_replace_what_is_ready() -> None:
    space = optim_wrapper_space(
        "SGD",
        {"half": {"type": "AmpOptimWrapper", "dtype": choice(["float16", "bfloat16"])}},
        lr=grid([0.1, 0.2]),
        weight_decay=None,
        accumulative_counts=2,
        clip_grad=[None, 1, {"clip_value": 0.5}],
        paramwise={"norm_decay_mult": choice([0.0, 1.0])},
    )
    assert space == choice(
        half={
            "type": "AmpOptimWrapper",
            "dtype": choice(["float16", "bfloat16"]),
            "optimizer": {
                "type": "SGD",
                "lr": grid([0.1, 0.2]),
                "momentum": choice([0.9, 0.95, 0.99]),
                "nesterov": choice([False, True]),
            },
            "accumulative_counts": 2,
            "clip_grad": choice([None, {"max_norm": 1.0}, {"clip_value": 0.5}]),
            "paramwise_cfg": {"norm_decay_mult": choice([0.0, 1.0])},
        }
    )
    off = optim_wrapper_space(["Adam"], "OptimWrapper", accumulative_counts=None, clip_grad=False, paramwise=None)
    assert [set(option) for option in off.options] == [{"type", "optimizer"}]
    assert optim_wrapper_space(clip_grad=uniform(1, 2)).options[0]["clip_grad"] == {"max_norm": uniform(1, 2)}
    assert optim_wrapper_space(clip_grad=grid([1.0, 2.0])).options[1]["clip_grad"] == grid(
        [{"max_norm": 1.0}, {"max_norm": 2.0}]
    )


def test_a_mapping_says_what_differs_for_one() -> None:
    space = optim_wrapper_space(
        {"AdamW": {}, "SGD": {"momentum": 0.9, "lr": 0.5}, "torch.optim.Rprop": {"lr": loguniform(1e-4, 1e-2)}},
        lr=0.1,
        weight_decay=False,
    )
    assert dict(optimizer_of(space).branches()) == {
        "AdamW": {"type": "AdamW", "lr": 0.1},
        "SGD": {"type": "SGD", "lr": 0.5, "momentum": 0.9, "nesterov": choice([False, True])},
        "torch.optim.Rprop": {"type": "torch.optim.Rprop", "lr": loguniform(1e-4, 1e-2)},
    }


DEFAULT = optim_wrapper_space(ALL)
OPTIMIZER_NAMES = st.lists(st.sampled_from(ALL), min_size=1, unique=True)
WRAPPER_NAMES = st.lists(st.sampled_from(WRAPPERS), min_size=1, unique=True)
COUNTS = st.just(True) | st.sampled_from([1, 2, 4]) | st.lists(st.sampled_from([1, 2, 4]), min_size=1)
NORMS = st.floats(0.1, 10.0)
CLIPPING = st.just(True) | NORMS | st.lists(NORMS | st.none(), min_size=1)
RATES = st.just(True) | st.floats(1e-3, 1e-2) | st.lists(st.floats(1e-3, 1e-2), min_size=1).map(grid)


@given(OPTIMIZER_NAMES, WRAPPER_NAMES, COUNTS, CLIPPING, RATES, st.integers())
def test_what_is_narrowed_is_a_part(
    optimizers: list[str], wrappers: list[str], counts: Any, clipping: Any, lr: Any, seed: int
) -> None:
    space = optim_wrapper_space(optimizers, wrappers, lr=lr, accumulative_counts=counts, clip_grad=clipping)
    assert list(space.labels or ()) == wrappers
    assert contains(DEFAULT, space)
    drawn = draw(space, random.Random(seed))
    assert find_search_leaves(drawn) == {}
    assert contains(space, drawn)
    assert contains(DEFAULT, drawn)
    assert drawn["type"] in wrappers
    assert drawn["optimizer"]["type"] in optimizers
    assert not contains(space, {**drawn, "accumulative_counts": 3})


@given(st.integers())
def test_no_branch_holds_a_key_of_another(seed: int) -> None:
    drawn = draw_config({"optim_wrapper": EVERYTHING}, random.Random(seed))["optim_wrapper"]
    assert set(drawn["optimizer"]) == {"type", *OPTIMIZER_SPACES[drawn["optimizer"]["type"]]}


def test_ranges_hold_what_recipes_use() -> None:
    def holds(name: str, lr: float, weight_decay: float) -> bool:
        space = OPTIMIZER_SPACES[name]
        return contains(space["lr"], lr) and contains(space["weight_decay"], weight_decay)

    assert all(
        isinstance(space["lr"], Range) and space["lr"].kind == "loguniform" for space in OPTIMIZER_SPACES.values()
    )
    assert holds("AdamW", 6e-5, 0.01)
    assert holds("AdamW", 4e-3, 0.05)
    assert holds("SGD", 0.01, 5e-4)
    assert not holds("SGD", 6e-5, 0.01)
    clipping, norms = DEFAULT.options[0]["clip_grad"], (0.05, 0.1, 1.0, 10.0, 20.0)
    assert [contains(clipping, {"max_norm": norm}) for norm in norms] == [False, True, True, True, False]
    assert contains(clipping, None)


NAMES = "or a dict from names to arguments"
ENCODER = "expected a part of parameters' names, such as 'encoder', beside paramwise=True"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"optimizers": ["AdmW"]}, "optimizers: no ready-made 'AdmW'; did you mean 'AdamW'?"),
        (
            {"optimizers": {"Rprop": {}}},
            "optimizers: no ready-made 'Rprop'; they are AdamW, Adam, SGD, NAdam, RAdam, MuonAdamW, and any other "
            "with its own arguments, optimizers={'Rprop': dict(...)}",
        ),
        ({"optimizers": ()}, f"optimizers: expected names such as 'AdamW', {NAMES}, found ()"),
        ({"optimizers": grid(["SGD"])}, f"optimizers: expected names such as 'AdamW', {NAMES}, found grid(['SGD'])"),
        ({"optimizers": {"SGD": 0.1}}, "optimizers['SGD']: expected a dict of arguments, found 0.1"),
        ({"wrappers": "AmpOptimWraper"}, "wrappers: no ready-made 'AmpOptimWraper'; did you mean 'AmpOptimWrapper'?"),
        ({"wrappers": [3]}, f"wrappers: expected names such as 'OptimWrapper', {NAMES}, found [3]"),
        ({"encoder": "encoder", "paramwise": None}, f"encoder: {ENCODER}, found 'encoder'"),
        ({"encoder": True}, f"encoder: {ENCODER}, found True"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    assert problems_of(lambda: optim_wrapper_space(**arguments)) == f"optim_wrapper_space: {message}"


def test_an_empty_list_is_no_choice() -> None:
    assert problems_of(lambda: optim_wrapper_space(lr=[])) == "choice needs at least one option"


def test_the_public_module_is_cheap() -> None:
    code = "import sys, rayseg.search; print({'torch', 'numpy', 'yaml', 'pydantic', 'ray'} & sys.modules.keys())"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout == "set()\n"
