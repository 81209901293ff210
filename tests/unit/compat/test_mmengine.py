"""MMEngine's names: the same objects as rayseg's, and helpers that communicate."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from rayseg.compat import mmengine
from rayseg.compat.mmengine import dist
from rayseg.compat.mmengine.logging import MMLogger, print_log
from rayseg.compat.mmengine.registry import MODELS, OPTIM_WRAPPER_CONSTRUCTORS
from rayseg.core import registries
from rayseg.engine.current import current
from rayseg.engine.runner import Runner
from tests.distributed import run_ranks
from tests.toys import toy_config


def test_every_name_is_there_and_hooks_of_the_engine_too() -> None:
    assert [name for name in mmengine.__all__ if not hasattr(mmengine, name)] == []
    assert mmengine.EMAHook is registries.HOOKS.resolve("EMAHook")
    assert mmengine.HOOKS is registries.HOOKS
    assert OPTIM_WRAPPER_CONSTRUCTORS is registries.OPTIM_CONSTRUCTORS


def test_a_registry_without_counterpart_is_an_error_that_says_so() -> None:
    with pytest.raises(ImportError, match="no counterpart of MM's registry VISUALIZERS; there are DATASETS"):
        from rayseg.compat.mmengine import VISUALIZERS  # noqa: F401
    with pytest.raises(ImportError, match="cannot import name 'visualisers'"):
        from rayseg.compat.mmengine import visualisers  # noqa: F401


def test_mm_models_are_known_as_networks_and_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = (registries.MODELS, registries.NETS, registries.LOSSES, registries.PREPROCESSORS)
    for kind in kinds:
        monkeypatch.setattr(kind, "_names", dict(kind._names))

    @MODELS.register_module()
    class MyLoss(nn.Module):
        pass

    assert MODELS.register_module("Other", module=MyLoss) is MyLoss
    assert [kind.get(name) for kind in kinds for name in ("MyLoss", "Other")] == [MyLoss] * 8
    assert isinstance(MODELS.build({"type": "MyLoss"}), MyLoss)
    assert MODELS.get("Segmentor") is registries.MODELS.resolve("Segmentor")
    assert MODELS.get("Nothing") is None


def runner(folder: Path, records: list[Any]) -> Runner:
    from rayseg.engine.host import LocalHost

    return Runner.from_config(toy_config(), host=LocalHost(records.append, device="cpu"), work_dir=folder)


def test_lines_go_to_the_run_that_is_going_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    records: list[Any] = []
    running = runner(tmp_path, records)
    records.clear()
    with current(running):
        MMLogger.get_instance("anything").info("one")
        print_log("two", logger="current", level=logging.WARNING)
        print_log("three")
        print_log("never", logger="silent")
        print_log(4, logger=MMLogger.get_current_instance())
    assert [(record.data["level"], record.data["message"]) for record in records] == [
        ("INFO", "one"),
        ("WARNING", "two"),
        ("INFO", "three"),
        ("INFO", "4"),
    ]
    with caplog.at_level(logging.INFO, logger="rayseg"):
        print_log("outside")
    assert [record.message for record in caplog.records] == ["outside"]


def test_a_pipeline_knows_the_ignore_index_of_the_run(tmp_path: Path) -> None:
    from torchvision import tv_tensors

    running = runner(tmp_path, [])
    running.metainfo["ignore_index"] = 7
    rotation = {"type": "v2.RandomRotation", "degrees": 45}
    with current(running):
        (transform,) = mmengine.Compose([rotation]).transforms
    assert transform.fill[tv_tensors.Mask] == 7
    (transform,) = mmengine.Compose([rotation]).transforms
    assert transform.fill[tv_tensors.Mask] == 255


def _communicate() -> dict[str, Any]:
    rank, size = dist.get_dist_info()
    total, mean, sent = torch.tensor([rank + 1]), torch.tensor([rank + 1.0]), torch.tensor([rank])
    dist.all_reduce(total)
    dist.all_reduce(mean, op="mean")
    dist.broadcast(sent, src=1)
    items = [rank, "x"]
    dist.broadcast_object_list(items, src=1)
    return {
        "size": size,
        "total": total.item(),
        "mean": mean.item(),
        "sent": sent.item(),
        "items": items,
        "gathered": [tensor.item() for tensor in dist.all_gather(torch.tensor([rank]))],
        "objects": dist.all_gather_object({"rank": rank}),
        "main": dist.is_main_process(),
        "only": dist.master_only(lambda: "called")(),
        "wrapped": mmengine.is_model_wrapper(nn.parallel.DistributedDataParallel(nn.Linear(1, 1))),
        "plain": mmengine.is_model_wrapper(nn.Linear(1, 1)),
    }


@pytest.mark.world_size(2)
def test_helpers_on_two_ranks() -> None:
    same = {"size": 2, "total": 3, "mean": 1.5, "sent": 1, "items": [1, "x"], "gathered": [0, 1]}
    same |= {"objects": [{"rank": 0}, {"rank": 1}], "wrapped": True, "plain": False}
    assert run_ranks(_communicate, 2) == [same | {"main": True, "only": "called"}, same | {"main": False, "only": None}]


def test_helpers_in_one_process() -> None:
    value = torch.tensor([3.0])
    dist.all_reduce(value)
    dist.broadcast(value)
    dist.barrier()
    assert (value.item(), dist.get_dist_info(), dist.is_main_process(), dist.is_distributed()) == (
        3.0,
        (0, 1),
        True,
        False,
    )
    assert dist.all_gather(value) == [value]
