"""Makes schedules.json, recipes.json and steps.json beside this file: what MMEngine 0.10.7 really does.

Needs mmengine, which is never a dependency: run it in a scratch environment and commit what it writes.

    python -m venv scratch && scratch/bin/pip install mmengine==0.10.7 torch
    scratch/bin/pip install --no-deps mmsegmentation==1.2.2
    scratch/bin/python tests/unit/optim/parity/make_expected.py

The cases stand in cases.py, which the tests read from the data again.
"""

from __future__ import annotations

import json
import math
import sys
import warnings
from copy import deepcopy
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import mmengine  # type: ignore[import-not-found,unused-ignore]
import torch
from cases import RECIPES, SCHEDULES, STEPS  # type: ignore[import-not-found,unused-ignore]
from mmengine.optim import OptimWrapper  # type: ignore[import-not-found,unused-ignore]
from mmengine.registry import PARAM_SCHEDULERS  # type: ignore[import-not-found,unused-ignore]
from torch import nn

HERE = Path(__file__).parent
VERSIONS = {"mmengine": mmengine.__version__, "torch": torch.__version__.partition("+")[0]}


def load_poly_ratio() -> None:
    """MMSegmentation's PolyLRRatio, without the rest of that package, which needs mmcv."""
    package = find_spec("mmseg")
    assert package is not None
    assert package.submodule_search_locations
    stub = ModuleType("mmseg.registry")
    stub.PARAM_SCHEDULERS = PARAM_SCHEDULERS  # type: ignore[attr-defined]
    sys.modules["mmseg"], sys.modules["mmseg.registry"] = ModuleType("mmseg"), stub
    path = Path(package.submodule_search_locations[0], "engine", "schedulers", "poly_ratio_scheduler.py")
    spec = spec_from_file_location("poly_ratio_scheduler", path)
    assert spec is not None
    assert spec.loader is not None
    spec.loader.exec_module(module_from_spec(spec))


def value_of(group: dict[str, Any], name: str) -> float:
    return float(group["betas"][0] if name == "momentum" and "betas" in group else group[name])


def scheduled(case: dict[str, Any]) -> list[list[float]] | str:
    """The values of each group in each iteration, stepped as MM's ParamSchedulerHook does; or the error's name."""
    groups = [{"params": [nn.Parameter(torch.zeros(1))], **deepcopy(group)} for group in case["groups"]]
    optimizer = getattr(torch.optim, case["optimizer"])(groups, **case["defaults"])
    length, count, by_epoch_loop = case["epoch_length"], case["iters"], case["by_epoch_loop"]
    schedulers = []
    try:
        for config in deepcopy(case["param_scheduler"]):
            epochs = count // length if by_epoch_loop else 1
            config.setdefault("end", epochs if config.get("by_epoch", True) else count)  # as MM's Runner sets it
            schedulers.append(
                PARAM_SCHEDULERS.build(config, default_args={"optimizer": optimizer, "epoch_length": length})
            )
        values = []
        for iteration in range(count):
            if iteration in case.get("at", range(count)):
                values.append([value_of(group, case["param_name"]) for group in optimizer.param_groups])
            optimizer.step()
            for scheduler in schedulers:
                if not scheduler.by_epoch:
                    scheduler.step()
            if by_epoch_loop and (iteration + 1) % length == 0:
                end_epoch(schedulers, case["metrics"], iteration // length)
        return values
    except Exception as error:
        return type(error).__name__


def end_epoch(schedulers: list[Any], metrics: list[float], epoch: int) -> None:
    for scheduler in schedulers:
        if scheduler.by_epoch:
            scheduler.step()
    for scheduler in schedulers:
        if metrics and getattr(scheduler, "need_val_args", False):
            scheduler.step({"mIoU": metrics[epoch]})


def stepped(case: dict[str, Any]) -> dict[str, Any]:
    """The weights after each iteration of a regression in float64, and the norms that MM logs."""
    weight = nn.Parameter(torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64))
    optimizer = getattr(torch.optim, case["optimizer"])([weight], **case["defaults"])
    wrapper = OptimWrapper(optimizer, **deepcopy(case["wrapper"]))
    wrapper.initialize_count_status(nn.Linear(1, 1), case["begin"], case["iters"])
    weights = []
    for iteration in range(case["begin"], case["iters"]):
        inputs = torch.tensor([math.sin(iteration * 3 + k) for k in range(3)], dtype=torch.float64)
        wrapper.update_params((inputs @ weight - math.cos(iteration)) ** 2)
        weights.append(weight.tolist())
    scalars = wrapper.message_hub.log_scalars
    norms = scalars["train/grad_norm"].data[0].tolist() if "train/grad_norm" in scalars else []
    scalars.clear()
    return {"weights": weights, "grad_norms": norms}


def write(name: str, cases: dict[str, dict[str, Any]], key: str, run: Any) -> None:
    data = {"versions": VERSIONS, "cases": {label: {**case, key: run(case)} for label, case in cases.items()}}
    lines = ",\n".join(f"{json.dumps(label)}: {json.dumps(case)}" for label, case in data["cases"].items())
    text = f'{{"versions": {json.dumps(VERSIONS)},\n"cases": {{\n{lines}\n}}}}\n'
    (HERE / name).write_text(text)
    print(f"{name}: {len(cases)} cases, {len(text):,} bytes")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    load_poly_ratio()
    write("schedules.json", SCHEDULES, "values", scheduled)
    write("recipes.json", RECIPES, "values", scheduled)
    write("steps.json", STEPS, "expected", stepped)
