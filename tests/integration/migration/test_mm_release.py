"""Every config of MMSegmentation 1.2.2: it migrates, is valid but for what its list says, and its engine is built.

The configs are those of the wheel, which is no part of this repository: see ``mm_release.HOW``. Run it with
``nox -s slow -- tests/integration/migration -s`` to see the numbers by family, which stand in docs/migrate.md.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from rayseg.config import check_config, load_config
from rayseg.core.errors import ConfigError
from rayseg.core.registries import HOOKS, NETS, OPTIM_CONSTRUCTORS
from rayseg.migration import Migration, migrate
from rayseg.optim.build import build_optim_wrapper
from rayseg.optim.schedulers import build_param_schedulers

from tests.integration.migration.mm_release import HOW, mm_configs  # isort: skip
from tests.integration.migration.standin import mm_standin  # isort: skip

FOLDER = mm_configs()
pytestmark = [pytest.mark.slow, pytest.mark.skipif(FOLDER is None, reason=HOW)]

FILES, COMPLETE = 769, 681
WHOLE, WITH_COUNTERPART = 354, 356


@cache
def migrations() -> dict[str, Migration]:
    assert FOLDER is not None
    return {str(path.relative_to(FOLDER)): migrate(path) for path in sorted(FOLDER.rglob("*.py"))}


def complete() -> dict[str, Migration]:
    return {name: made for name, made in migrations().items() if not name.startswith("_base_")}


def test_no_config_fails_and_the_numbers_are_those_of_the_docs() -> None:
    assert (len(migrations()), len(complete())) == (FILES, COMPLETE)
    whole = sum(made.is_whole for made in complete().values())
    mapped = sum(not _has_placeholder(made) for made in complete().values())
    families: dict[str, Counter[str]] = defaultdict(Counter)
    for made in complete().values():
        name = "no counterpart" if _has_placeholder(made) else made.family
        families[name]["whole" if made.is_whole else "with missing lines"] += 1
    for name, counts in sorted(families.items(), key=lambda item: -item[1].total()):
        print(f"{name:16} {dict(counts)}")
    assert (whole, mapped) == (WHOLE, WITH_COUNTERPART)


def _has_placeholder(made: Migration) -> bool:
    return made.sections["model"]["net"]["type"].startswith("replace_me.")


def test_what_is_wrong_with_a_result_is_on_its_list(tmp_path: Path) -> None:
    later = {"LearningRateDecayOptimizerConstructor", "LayerDecayOptimizerConstructor"} - {*OPTIM_CONSTRUCTORS.known()}
    for name, made in complete().items():
        (tmp_path / "out.py").write_text(made.text)
        config = load_config(tmp_path / "out.py")
        assert config == made.sections, name
        try:
            check_config(config)
        except ConfigError as error:
            unlisted = [
                problem
                for problem in error.problems
                if "replace_me" not in problem.message and not (later and problem.key == "optim_wrapper.constructor")
            ]
            assert unlisted == [], name
            assert made.missing or later, name


def test_engine_sections_are_what_they_were() -> None:
    assert FOLDER is not None
    for name, made in complete().items():
        before = load_config(FOLDER / name)
        for section in ("train_cfg", "val_cfg", "test_cfg", "log_processor", "log_level", "vis_backends", "randomness"):
            assert made.sections.get(section) == before.get(section), (name, section)
        listed = {line.key.partition(".")[0] for line in made.lines}
        for section in ("optim_wrapper", "param_scheduler", "default_hooks"):
            assert made.sections[section] == before[section] or section in listed, (name, section)


def test_the_engine_of_every_config_is_built() -> None:
    later = {"LearningRateDecayOptimizerConstructor", "LayerDecayOptimizerConstructor"} - {*OPTIM_CONSTRUCTORS.known()}
    built: Counter[str] = Counter()
    for name, made in complete().items():
        section = made.sections["optim_wrapper"]
        if section.get("constructor") in later:
            continue
        model = _model_of(made)
        wrapper = build_optim_wrapper(model, section)
        _check_groups(name, model, wrapper, section)
        max_iters = made.sections["train_cfg"]["max_iters"]
        schedulers = build_param_schedulers(
            made.sections["param_scheduler"], wrapper, epoch_length=100, max_iters=max_iters, by_epoch_loop=False
        )
        assert len(schedulers) == len(made.sections["param_scheduler"]), name
        for hook in made.sections["default_hooks"].values():
            HOOKS.build(hook)
        built[type(wrapper).__name__] += 1
    print(dict(built))
    assert built.total() >= COMPLETE - 12 * bool(later)


def _check_groups(name: str, model: torch.nn.Module, wrapper: Any, section: Any) -> None:
    """Every parameter is in one group, and every rule that the config's names expect has found one."""
    grouped = [id(parameter) for group in wrapper.param_groups for parameter in group["params"]]
    assert sorted(grouped) == sorted(map(id, model.parameters())), name
    keys = (section.get("paramwise_cfg") or {}).get("custom_keys") or {}
    names = [parameter for parameter, _ in model.named_parameters()]
    unused = {key for key in keys if not any(key in parameter for parameter in names)}
    # Keys of MM's own recipes that match nothing there either.
    assert unused <= {"pos_block", "absolute_pos_embed", "cls_token"}, (name, unused)


_MODELS: dict[str, torch.nn.Module] = {}


def _model_of(made: Migration) -> torch.nn.Module:
    """The network itself, without memory for its weights, or a stand-in under MM's names."""
    if _has_placeholder(made):
        return mm_standin(made.sections["optim_wrapper"])
    net = {key: value for key, value in made.sections["model"]["net"].items() if key != "encoder_weights"}
    key = repr(net)
    if key not in _MODELS:
        offline = {"weights_backbone": None} if net["type"].startswith("torchvision") else {"encoder_weights": None}
        asks_for_numbers = str(net.get("encoder_name")).startswith("mit_")
        with torch.device("cpu" if asks_for_numbers else "meta"):
            network = NETS.build({**net, **offline})
        # Empty tensors on the CPU are pages that nobody touches.
        _MODELS[key] = torch.nn.ModuleDict({"net": network}).to_empty(device="cpu")
    return _MODELS[key]
