"""Hooks that were written for MMEngine, with their import changed and nothing else."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from rayseg.core.record import Record
from rayseg.core.registries import HOOKS
from rayseg.engine.host import LocalHost
from rayseg.engine.runner import Runner
from tests.distributed import run_ranks
from tests.toys import ToyDataset, toy_config

HOOKS_FILE = Path(__file__).with_name("mmengine_hooks.py")
NAMES = ("FreezeBackboneHook", "LayerStatistics", "SwitchPipelineHook")


def brighten(image: Any, mask: Any) -> tuple[Any, Any]:
    return image | 128, mask


class PipelineDataset(ToyDataset):
    """Toys whose images pass through ``pipeline`` last."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(augment=False, **arguments)
        self.pipeline: Any = lambda image, mask: (image & 127, mask)

    def __getitem__(self, index: int) -> dict[str, Any]:
        item = super().__getitem__(index)
        item["inputs"], _ = self.pipeline(item["inputs"], item["data_samples"].gt_sem_seg.data)
        return item


def port(folder: Path) -> None:
    """Write the hooks down as a user would after porting them, and import them."""
    text = HOOKS_FILE.read_text()
    assert text.count("from mmengine") == 6 + 1  # the imports, and the docstring that speaks of them
    (folder / "ported_hooks.py").write_text(text.replace("from mmengine", "from rayseg.compat.mmengine"))
    sys.path.insert(0, str(folder))
    import_module("ported_hooks")


@pytest.fixture(scope="module", autouse=True)
def ported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    path = list(sys.path)
    port(tmp_path_factory.mktemp("ported"))
    yield
    sys.path[:] = path
    del sys.modules["ported_hooks"]
    for name in NAMES:
        HOOKS._names.pop(name)


class Watch:
    """What the hooks did, seen from outside."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.weights: list[torch.Tensor] = []
        self.brightest: list[int] = []
        self.darkest: list[int] = []

    def build(self) -> Any:
        from rayseg.engine.hook import Hook

        watch = self

        class Note(Hook):
            priority = "LOWEST"

            def after_train_iter(
                self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None
            ) -> None:
                weight = next(iter(watch.backbone().parameters()))
                watch.weights.append(weight.detach().clone())
                watch.brightest.append(int(data_batch["inputs"].max()))
                watch.darkest.append(int(data_batch["inputs"].min()))

        return Note()

    def backbone(self) -> nn.Module:
        model: Any = self.runner.model
        backbone: nn.Module = getattr(model, "module", model).backbone
        return backbone


def config(by_epoch: bool, **sections: Any) -> dict[str, Any]:
    loop = (
        {"type": "EpochBasedTrainLoop", "max_epochs": 3}
        if by_epoch
        else {"type": "IterBasedTrainLoop", "max_iters": 12, "val_interval": 6}
    )
    return toy_config(
        train_dataloader={"batch_size": 4, "dataset": {"type": PipelineDataset}},
        train_cfg=loop,
        param_scheduler=[{"type": "PolyLR", "power": 1.0, "eta_min": 0.01, "convert_to_iter_based": by_epoch}],
        optim_wrapper={
            "optimizer": {"type": "SGD", "lr": 0.05, "momentum": 0.9},
            "paramwise_cfg": {"custom_keys": {"head": {"lr_mult": 10}}},
        },
        custom_hooks=[
            {"type": "FreezeBackboneHook", "until_iter": 5},
            {"type": "LayerStatistics", "interval": 2},
            {"type": "SwitchPipelineHook", "switch_iter": 7, "pipeline": [brighten], "priority": "VERY_HIGH"},
        ],
        **sections,
    )


@pytest.mark.parametrize("by_epoch", [False, True], ids=["iterations", "epochs"])
def test_three_hooks(tmp_path: Path, by_epoch: bool) -> None:
    records: list[Record] = []
    runner = Runner.from_config(config(by_epoch), host=LocalHost(records.append, device="cpu"), work_dir=tmp_path)
    watch = Watch(runner)
    runner.register_hook(watch.build())
    assert runner.train() == {"status": "finished", "iter": 12}

    moved = [not torch.equal(a, b) for a, b in zip(watch.weights[:-1], watch.weights[1:], strict=True)]
    assert moved == [False] * 4 + [True] * 7  # the sixth iteration, number 5, is the first to train the backbone
    assert [value < 128 for value in watch.brightest] == [True] * 8 + [False] * 4
    assert [value >= 128 for value in watch.darkest] == [False] * 8 + [True] * 4

    lines = {record.iter: record.data for record in records if record.kind == "scalars" and record.mode == "train"}
    assert sorted(lines) == [2, 4, 6, 8, 10, 12]
    head, encoder = "layer_grad/net.head.weight", "layer_grad/net.encoder.0.weight"
    assert all(data[head] > 0 for data in lines.values())
    assert [encoder in data for data in lines.values()] == [False] * 6  # frozen when it asked who trains
    for at, data in lines.items():
        rates = sorted([data["layer_lr/0"], data["layer_lr/1"]])
        left = 1 - (at - 1) / 11
        assert rates == pytest.approx([0.01 + 0.04 * left, 0.01 + 0.49 * left])
    said = [record.data["message"] for record in records if record.kind == "log"]
    assert [text for text in said if "backbone" in text or "augmentation" in text or "layers" in text] == [
        "the backbone is trained from iteration 5 of 12 on",
        "the augmentation changes at iteration 7, epoch 1",
        "layers: net.head.weight",
    ]


def _train_on_ranks(folder: str) -> tuple[list[bool], list[float], str]:
    sys.path.insert(0, folder)
    import_module("ported_hooks")
    records: list[Record] = []
    settings = config(
        False,
        env_cfg={"find_unused_parameters": True, "control_interval": 2},
        scaling={"num_workers": 2},
        val_dataloader=None,
    )
    settings["train_dataloader"]["batch_size"] = 2
    host = LocalHost(records.append, device="cpu")
    runner = Runner.from_config(settings, host=host, work_dir=Path(folder) / "run")
    watch = Watch(runner)
    runner.register_hook(watch.build())
    runner.train()
    moved = [not torch.equal(a, b) for a, b in zip(watch.weights[:-1], watch.weights[1:], strict=True)]
    drawn = [
        record.data for record in records if record.kind == "scalars" and "layer_grad/net.head.weight" in record.data
    ]
    weights = [float(value.detach().sum()) for value in runner.model.parameters()]
    return moved, weights, f"{len(drawn)} lines on rank {runner.rank}"


@pytest.mark.world_size(2)
def test_three_hooks_on_two_ranks(tmp_path: Path) -> None:
    """What was unfrozen is trained alike on both; what rank 0 alone noted is in its lines."""
    (tmp_path / "ported_hooks.py").write_text(
        HOOKS_FILE.read_text().replace("from mmengine", "from rayseg.compat.mmengine")
    )
    first, second = run_ranks(_train_on_ranks, 2, str(tmp_path))
    assert first[0] == second[0] == [False] * 4 + [True] * 7
    assert first[1] == second[1]
    assert (first[2], second[2]) == ("6 lines on rank 0", "0 lines on rank 1")
