"""rayseg's hooks beside MMEngine's: order of stages, checkpoints kept, numbers of the log, averages of weights.

``tests/parity/mmengine_hooks.json`` holds what MMEngine did (its version is in the file); ``tests/parity/scripts.py``
is what both were given.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from rayseg.core.periods import due
from rayseg.engine.hook import Hook
from rayseg.engine.host import LocalHost
from rayseg.engine.runner import Runner
from rayseg.hooks.ema import EMAHook
from tests.parity.scripts import LOOPS, losses, scores, weights_at
from tests.toys import ToyDataset, toy_config
from tests.unit.engine.training import Run, Spy
from tests.unit.hooks.test_checkpoint import Scores

PARITY = Path(__file__).parents[2] / "parity"
MM: dict[str, Any] = json.loads((PARITY / "mmengine_hooks.json").read_text())


class Scripted(nn.Module):
    """A weight of three and a buffer of two, which the script sets; the loss does not move them."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3))
        self.seen: torch.Tensor
        self.register_buffer("seen", torch.zeros(2))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image[:, :3] * 0 + self.weight.sum() * 0


class Writes(Hook):
    """Writes the script's weights into the model, and its losses into the message hub."""

    priority = "VERY_HIGH"

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        weight, seen = weights_at(runner.iter)
        net = runner.model.net
        net.weight.data.copy_(torch.tensor(weight))
        net.seen.copy_(torch.tensor(seen))
        runner.message_hub.update_scalar("train/my_loss", losses(runner.iter))
        runner.message_hub.update_scalar("train/x", losses(runner.iter))


class Averages(Hook):
    """Notes what a validation after each iteration would use."""

    priority = "LOWEST"

    def __init__(self) -> None:
        self.values: list[list[float]] = []

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        average = next(hook for hook in runner.hooks if isinstance(hook, EMAHook)).average
        assert average is not None
        used = {name: value.clone() for name, value in runner.model.state_dict().items()}
        used.update(average.named_values() if average.steps else {})
        self.values.append([*used["net.weight"].tolist(), *used["net.seen"].tolist()])


def trained(loop: str, work_dir: Path, *hooks: Hook, default_hooks: dict[str, Any], **sections: Any) -> Run:
    """The script's run: four iterations a pass, a validation after each pass."""
    config = toy_config(
        model={"type": "Segmentor", "net": {"type": Scripted}, "loss": {"type": "CrossEntropyLoss"}},
        train_dataloader={"batch_size": 4, "dataset": {"type": ToyDataset, "side": 4}},
        val_dataloader={"batch_size": 4, "dataset": {"type": ToyDataset, "size": 8, "side": 4, "test_mode": True}},
        train_cfg=LOOPS[loop],
        optim_wrapper={"type": "OptimWrapper", "optimizer": {"type": "SGD", "lr": 0.5}},
        param_scheduler=None,
        default_hooks={
            "logger": {"type": "LoggerHook", "interval": 4},
            "checkpoint": {"type": "CheckpointHook", "interval": -1, "save_last": False},
            "visualization": None,
            **default_hooks,
        },
        **sections,
    )
    run = Run(Runner.from_config(config, host=LocalHost(device="cpu"), work_dir=work_dir), [])
    run.runner.host.publish = run.records.append  # type: ignore[method-assign]
    for hook in hooks:
        run.runner.hooks.register(hook)
    run.runner.train()
    return run


@pytest.mark.parametrize("loop", ["iter", "epoch"])
def test_stages_in_order_with_their_counters(tmp_path: Path, loop: str) -> None:
    """Of an iteration loop MMEngine's ``epoch`` is 0 until the end; here it counts passes, and is left out."""
    spy = Spy()
    trained(loop, tmp_path, spy, default_hooks={})
    counters = slice(0, 3) if loop == "epoch" else slice(0, 2)
    ours = [list(call)[counters] for call in spy.calls]
    assert ours == [call[counters] for call in MM["order"][loop]]


def label(case: dict[str, Any]) -> str:
    return "-".join(map(str, [case["loop"], *case["options"].values()]))


def count_of(name: str, loop: str) -> int:
    """What MMEngine counts, of a checkpoint's name."""
    return int(name.removeprefix("iter_")) // (4 if loop == "epoch" else 1)


@pytest.mark.parametrize("case", MM["checkpoints"], ids=label)
def test_checkpoints_that_are_kept(tmp_path: Path, case: dict[str, Any]) -> None:
    """The best are the same, and without ``save_best`` all are.

    MMEngine saves what a new best is a second time among the others, but not before one of those was made, and removes
    the former best. Here it is one checkpoint, which joins the others when a better one comes.
    """
    loop, options, kept = case["loop"], case["options"], case["kept"]
    script = {name: [score[name] for score in scores()] for name in ("mIoU", "loss")}
    run = trained(loop, tmp_path, Scores(**script), default_hooks={"checkpoint": {"type": "CheckpointHook", **options}})
    saved = {count_of(name, loop) for name in run.saved}
    pins = {label: count_of(name, loop) for label, name in run.runner.checkpointer.store.pins().items()}
    theirs = {name: counts[-1] for name, counts in kept.items() if name.startswith("best_")}
    assert pins == {name.removesuffix(f"_{loop}"): count for name, count in theirs.items()}
    if options["save_best"] is None:
        assert saved == set(kept.get(loop, ()))
        return
    last = LOOPS[loop][f"max_{loop}s"]
    best_at = [(count_of(f"iter_{event['iter']}", loop), event["metric"]) for event in run.events("best")]
    assert saved == simulated(options, last, best_at)


def simulated(options: dict[str, Any], last: int, best_at: list[tuple[int, str]]) -> set[int]:
    """What is left of one checkpoint a count: after each new one, all but the newest that are no best are removed."""
    left: set[int] = set()
    pins: dict[str, int] = {}

    def add(count: int, labels: list[str]) -> None:
        pins.update(dict.fromkeys(labels, count))
        if count in left:
            return
        left.add(count)
        if (limit := options["max_keep_ckpts"]) > 0:
            left.difference_update(sorted(left - set(pins.values()), reverse=True)[limit:])

    for count in range(1, last + 1):
        if due(count, options["interval"], begin=options["save_begin"], last=last if options["save_last"] else None):
            add(count, [])
        if labels := [metric for at, metric in best_at if at == count]:
            add(count, labels)
    return left


@pytest.mark.parametrize("case", MM["logs"])
def test_numbers_of_the_log(tmp_path: Path, case: dict[str, Any]) -> None:
    run = trained(case["loop"], tmp_path, Writes(), default_hooks={}, log_processor=case["processor"])
    lines = run.scalars("train")
    assert sorted(lines) == sorted(map(int, case["lines"]))
    for at, expected in case["lines"].items():
        assert {name: lines[int(at)][name] for name in expected} == pytest.approx(expected)


@pytest.mark.parametrize("case", MM["ema"], ids=label)
def test_averages_of_weights(tmp_path: Path, case: dict[str, Any]) -> None:
    averages = Averages()
    hook = {"type": "EMAHook", **case["options"]}
    run = trained(case["loop"], tmp_path, averages, default_hooks={}, custom_hooks=[{"type": Writes}, hook])
    assert run.runner.iter == len(averages.values) == 20
    for ours, theirs in zip(averages.values, case["values"], strict=True):
        assert ours == pytest.approx(theirs, rel=1e-5)
