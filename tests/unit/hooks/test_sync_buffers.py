"""SyncBuffersHook on two ranks: the mean in validation and in saves, each rank's own while an epoch lasts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from rayseg.engine import state
from rayseg.engine.buffers import named_buffers, reduced_buffers
from rayseg.engine.hook import Hook
from tests.distributed import run_ranks
from tests.unit.engine.training import build, epochs, hooks, train

MEAN = "net.encoder.1.running_mean"


class Watch(Hook):
    """The buffer at each stage, on this rank."""

    priority = "LOWEST"

    def __init__(self) -> None:
        self.seen: dict[str, list[list[float]]] = {}

    def _note(self, stage: str, runner: Any) -> None:
        self.seen.setdefault(stage, []).append(named_buffers(runner.model)[MEAN].tolist())

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        self._note("train", runner)

    def before_val_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        self._note("val", runner)

    def after_train_epoch(self, runner: Any) -> None:
        self._note("epoch", runner)

    def after_train(self, runner: Any) -> None:
        self._note("end", runner)


def both_ways(tmp: str) -> dict[str, Any]:
    """Train with and without the hook; and what the two reductions give."""
    results: dict[str, Any] = {}
    for name, custom in (("mean", [{"type": "SyncBuffersHook"}]), ("rank0", [])):
        watch = Watch()
        work_dir = Path(tmp, name)
        run = build(
            work_dir,
            watch,
            train_cfg=epochs(2, val_interval=2),
            custom_hooks=custom,
            default_hooks=hooks(interval=3, by_epoch=False),
            param_scheduler=None,
            scaling={"num_workers": 2},
        )
        assert run.runner.world_size == 2
        run.runner.train()
        store = run.runner.checkpointer.store
        exported = state.load_model_file(store.load("iter_3"))[MEAN].tolist()
        own = state.load_torch(store.load("iter_3"), f"rank_{dist.get_rank():04d}.pt")["buffers"][MEAN].tolist()
        results[name] = {**watch.seen, "exported": exported, "own": own}
    model = torch.nn.BatchNorm1d(1)
    model.running_mean.fill_(dist.get_rank() * 4.0)
    model.num_batches_tracked.fill_(dist.get_rank() + 5)
    for how in ("mean", "rank0"):
        reduced = reduced_buffers(model, how)  # type: ignore[arg-type]
        results[f"reduced_{how}"] = [reduced["running_mean"].item(), reduced["num_batches_tracked"].item()]
    results["live"] = model.running_mean.item()
    return results


@pytest.mark.world_size(2)
def test_two_ranks(tmp_path: Path) -> None:
    first, second = run_ranks(both_ways, 2, str(tmp_path))

    assert first["reduced_mean"] == second["reduced_mean"] == [2.0, 5], "integers are rank 0's"
    assert first["reduced_rank0"] == second["reduced_rank0"] == [0.0, 5]
    assert (first["live"], second["live"]) == (0.0, 4.0)

    with_hook, other = first["mean"], second["mean"]
    assert with_hook["train"][0] != other["train"][0], "each rank sees other images"
    assert with_hook["epoch"] == other["epoch"], "after an epoch all have the mean"
    halfway = [torch.tensor(seen["train"][2]) for seen in (with_hook, other)]
    torch.testing.assert_close(torch.tensor(with_hook["exported"]), torch.stack(halfway).mean(0))
    assert with_hook["own"] == with_hook["train"][2]
    assert other["own"] == other["train"][2], "a save leaves each rank its own"
    assert with_hook["val"] == other["val"][: len(with_hook["val"])]

    without, other = first["rank0"], second["rank0"]
    assert without["epoch"] != other["epoch"]
    assert without["val"][0] == other["val"][0] == without["train"][-1], "rank 0's are validated and saved"
    assert without["exported"] == without["train"][2]
    assert other["end"][0] == other["train"][-1], "validation gives each rank its own back"


def test_one_process_is_left_as_it_is(tmp_path: Path) -> None:
    runs = [
        train(tmp_path / name, train_cfg=epochs(2), custom_hooks=custom, param_scheduler=None)
        for name, custom in (("a", [{"type": "SyncBuffersHook"}]), ("b", []))
    ]
    one, other = (run.runner.model.state_dict() for run in runs)
    assert all(torch.equal(one[name], other[name]) for name in one)
