"""The files of a checkpoint: what is in which, tied and strided tensors, and what is refused."""

from __future__ import annotations

import collections
import enum
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from rayseg.core.errors import CheckpointError
from rayseg.engine import state
from rayseg.engine.checkpoint_store import Checkpoint, CheckpointStore
from rayseg.engine.hook import Hook
from tests.toys import ToyNet, toy_config
from tests.unit.engine.training import Run, Spy, build, hooks, iterations, train

EMA = {"type": "EMAHook", "momentum": 0.1}


def last(run: Run) -> Checkpoint:
    return run.runner.checkpointer.store.load("last")


def test_the_files(tmp_path: Path) -> None:
    run = train(tmp_path, train_cfg=iterations(3))
    assert set(last(run).files) == {"model.safetensors", "training_state.pt", "rank_0000.pt", "records.json"}


def test_the_manifest_says_what_the_run_is(tmp_path: Path) -> None:
    run = train(tmp_path, train_cfg=iterations(6))
    facts = last(run).facts
    expected = {
        "state_format": state.STATE_FORMAT,
        "iter": 6,
        "epoch": 1,
        "phase": "val_due",
        "world_size": 1,
        "global_batch_size": 4,
        "seed": 3,
        "threads": 1,
    }
    assert {key: facts[key] for key in expected} == expected
    assert facts["metainfo"]["classes"] == ["dark", "middle", "bright"]


def test_the_models_file_holds_the_average_and_the_training_state_the_raw_weights(tmp_path: Path) -> None:
    run = train(tmp_path, train_cfg=iterations(5), custom_hooks=[EMA], val_dataloader=None)
    exported = state.load_model_file(last(run))
    raw = state.load_torch(last(run), "training_state.pt")["raw_weights"]
    live = run.runner.model.state_dict()
    parameters = dict(run.runner.model.named_parameters())
    average = next(hook for hook in run.runner.hooks if type(hook).__name__ == "EMAHook").average
    assert set(raw) == set(parameters)
    assert set(exported) == set(live)
    for name in parameters:
        assert torch.equal(raw[name], live[name]), name
        assert torch.equal(exported[name], average.named_values()[name]), name
    assert not torch.equal(exported["net.head.weight"], live["net.head.weight"])


def test_without_an_average_the_weights_are_saved_once(tmp_path: Path) -> None:
    run = train(tmp_path, train_cfg=iterations(3))
    assert state.load_torch(last(run), "training_state.pt")["raw_weights"] == {}
    exported = state.load_model_file(last(run))
    assert all(torch.equal(exported[name], value) for name, value in run.runner.model.state_dict().items())


def test_a_hook_may_replace_what_is_exported_and_the_run_goes_on_with_its_own(tmp_path: Path) -> None:
    class Zero(Hook):
        def before_save_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
            name = "net.head.bias"
            checkpoint["state_dict"][name] = torch.zeros_like(checkpoint["state_dict"][name])

    run = train(tmp_path / "a", Zero(), train_cfg=iterations(3))
    assert state.load_model_file(last(run))["net.head.bias"].abs().sum() == 0
    resumed = build(tmp_path / "a", train_cfg=iterations(3)).runner
    resumed.train()
    assert torch.equal(resumed.model.state_dict()["net.head.bias"], run.runner.model.state_dict()["net.head.bias"])


def test_a_ranks_file_holds_generators_buffers_and_windows(tmp_path: Path) -> None:
    run = train(tmp_path, train_cfg=iterations(3))
    own = state.load_torch(last(run), "rank_0000.pt")
    assert set(own) == {"rng", "buffers", "message_hub", "infos"}
    assert set(own["buffers"]) == {f"net.encoder.1.{n}" for n in ("running_mean", "running_var", "num_batches_tracked")}
    assert set(own["rng"]) == {"python", "numpy", "torch", "cuda"}
    assert len(own["message_hub"]["scalars"]["train/loss"]) == 3


def test_the_training_state_holds_each_part(tmp_path: Path) -> None:
    saving = hooks(interval=3, save_best="mIoU")
    run = train(tmp_path, train_cfg=iterations(4, val_interval=2), default_hooks=saving, custom_hooks=[EMA])
    saved = state.load_torch(last(run), "training_state.pt")
    assert (saved["iter"], saved["epoch"], saved["last_validated"]) == (4, 1, 2)
    assert saved["optim_wrapper"]["inner_count"] == 4
    assert len(saved["param_schedulers"]) == 1
    assert set(saved["hooks"]) == {"checkpoint", "EMAHook"}
    assert saved["hooks"]["EMAHook"] == {"steps": 4}


def test_the_last_records_go_along(tmp_path: Path) -> None:
    run = train(tmp_path, train_cfg=iterations(6, val_interval=3))
    resumed = build(tmp_path, train_cfg=iterations(6, val_interval=3)).runner
    state.restore(resumed, last(run))
    carried = [(record.mode, record.iter) for record in resumed.publish.recent]
    assert carried == [("train", 2), ("val", 3), ("train", 4), ("train", 6)]


def test_what_a_restore_shows_the_hooks(tmp_path: Path) -> None:
    run = train(tmp_path, train_cfg=iterations(3))
    spy = Spy()
    train(tmp_path, spy, train_cfg=iterations(3))
    (shown,) = spy.arguments("after_load_checkpoint", "checkpoint")
    assert shown["facts"]["iter"] == 3
    assert set(shown["state_dict"]) == set(run.runner.model.state_dict())
    assert spy.of("after_load_checkpoint") == [(3, 0)]


class Tied(nn.Module):
    """Two names of one tensor, a transposed view, a view of a part, an empty buffer and one that is not saved."""

    def __init__(self, num_classes: int = 3) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, num_classes, 1, bias=False)
        self.second = nn.Conv2d(3, num_classes, 1, bias=False)
        self.second.weight = self.first.weight
        self.register_buffer("part", torch.arange(6.0).view(2, 3))
        self.register_buffer("turned", self.part.T)
        self.register_buffer("row", self.part[1])
        self.register_buffer("empty", torch.zeros(0))
        self.register_buffer("scratch", torch.zeros(2), persistent=False)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.first(image) + self.second(image)


@pytest.mark.parametrize("custom_hooks", [[], [EMA]])
def test_tied_tensors_are_saved_once_and_loaded_under_all_names(tmp_path: Path, custom_hooks: list[Any]) -> None:
    model = {**toy_config()["model"], "net": {"type": Tied}}
    run = train(tmp_path, train_cfg=iterations(3), model=model, custom_hooks=custom_hooks, val_dataloader=None)
    from safetensors.torch import load

    stored = load(last(run).read("model.safetensors"))
    assert ("net.first.weight" in stored) != ("net.second.weight" in stored)
    loaded = state.load_model_file(last(run))
    live = run.runner.model.state_dict()
    assert set(loaded) == set(live)
    assert torch.equal(loaded["net.first.weight"], loaded["net.second.weight"])
    for name in ("turned", "row", "part", "empty"):
        assert torch.equal(loaded[f"net.{name}"], live[f"net.{name}"])

    resumed = build(tmp_path, train_cfg=iterations(3), model=model, custom_hooks=custom_hooks, val_dataloader=None)
    resumed.runner.train()
    assert torch.equal(resumed.runner.model.net.first.weight, run.runner.model.net.first.weight)
    assert resumed.runner.model.net.first.weight is resumed.runner.model.net.second.weight


class Number(float):
    pass


class Kind(enum.IntEnum):
    ONE = 1


Pair = collections.namedtuple("Pair", "a b")
PLAIN = [
    None,
    True,
    3,
    0.5,
    "x",
    b"x",
    torch.ones(2),
    nn.Parameter(torch.ones(2)),
    [1, (2, "x")],
    {"a": {1: None}, "b": torch.Size([2])},
    collections.OrderedDict(a=1),
]
NOT_PLAIN = [
    np.float64(1),
    np.int64(1),
    np.ones(2),
    Number(1),
    Kind.ONE,
    Path("x"),
    object(),
    len,
    Pair(1, 2),
    collections.defaultdict(list),
]


def loads(value: Any) -> bool:
    file = io.BytesIO()
    torch.save({"v": value}, file)
    file.seek(0)
    try:
        torch.load(file, weights_only=True)
    except Exception:
        return False
    return True


@pytest.mark.parametrize("value", PLAIN, ids=lambda value: type(value).__name__)
def test_plain_state_is_what_torch_loads_without_code(value: Any) -> None:
    state.assert_plain(value, "it")
    assert loads(value)


@pytest.mark.parametrize("value", NOT_PLAIN, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("wrap", [lambda v: v, lambda v: [1, v], lambda v: {"a": (v,)}], ids=["bare", "list", "dict"])
def test_other_state_is_refused(value: Any, wrap: Any) -> None:
    with pytest.raises(CheckpointError, match=f"is a {type(value).__name__}, which cannot be loaded without"):
        state.assert_plain(wrap(value), "it")


def test_keys_must_be_plain_too() -> None:
    with pytest.raises(CheckpointError, match=r"key .*is a float64"):
        state.assert_plain({np.float64(1): 1}, "it")


def test_a_hook_with_such_state_is_named_when_it_is_saved(tmp_path: Path) -> None:
    class Bad(Hook):
        def state_dict(self) -> dict[str, Any]:
            return {"scores": [0.5, np.float64(0.25)]}

    with pytest.raises(CheckpointError, match=r"the state of hook 'Bad' 'scores' \[1\] is a float64"):
        train(tmp_path, Bad(), train_cfg=iterations(3))


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    run = train(tmp_path, train_cfg=iterations(3))
    checkpoint = last(run)
    checkpoint.facts["state_format"] = state.STATE_FORMAT + 1
    with pytest.raises(CheckpointError, match="iter_3: made by a newer version of rayseg"):
        state.restore(run.runner, checkpoint)


def test_another_model_is_refused(tmp_path: Path) -> None:
    train(tmp_path, train_cfg=iterations(3))
    model = {**toy_config()["model"], "net": {"type": ToyNet, "width": 4}}
    with pytest.raises(CheckpointError, match=r"iter_3 does not fit the model: [\s\S]*size mismatch"):
        train(tmp_path, train_cfg=iterations(3), model=model)


def test_generators_are_as_they_were(tmp_path: Path) -> None:
    """Dropout after a resume draws what it would have drawn."""
    from rayseg.core.randomness import get_rng_state

    run = train(tmp_path, train_cfg=iterations(3), val_dataloader=None)
    expected = torch.rand(4)
    resumed = build(tmp_path, train_cfg=iterations(3), val_dataloader=None).runner
    state.restore(resumed, last(run))
    assert torch.equal(torch.rand(4), expected)
    assert get_rng_state()["python"][0] == 3


def of_two_ranks(run: Run) -> Checkpoint:
    """The last checkpoint as if a second rank had been there, whose windows hold one more in each place."""
    checkpoint = last(run)
    own = state.load_torch(checkpoint, "rank_0000.pt")
    scalars = own["message_hub"]["scalars"]
    own["message_hub"]["scalars"] = {key: [value + 1 for value in values] for key, values in scalars.items()}
    torch.save(own, Path(checkpoint.path, "rank_0001.pt"))
    checkpoint.files["rank_0001.pt"] = checkpoint.files["rank_0000.pt"]
    checkpoint.facts["world_size"] = 2
    return checkpoint


def test_another_world_has_generators_of_its_own_and_the_mean_of_the_windows(tmp_path: Path) -> None:
    run = train(tmp_path, train_cfg=iterations(3))
    of_one, expected = torch.rand(4), run.runner.message_hub.get_scalar("train/loss").last()
    draws = []
    for _ in range(2):
        resumed = build(tmp_path, train_cfg=iterations(3)).runner
        state.restore(resumed, of_two_ranks(run))
        draws.append(torch.rand(4))
    assert torch.equal(*draws)
    assert not torch.equal(draws[0], of_one)
    assert resumed.message_hub.get_scalar("train/loss").last() == pytest.approx([value + 0.5 for value in expected])


def test_the_store_is_where_the_config_says(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    train(tmp_path / "run", train_cfg=iterations(3), checkpoint_store={"url": str(elsewhere)})
    assert [one.name for one in CheckpointStore(elsewhere).list()] == ["iter_3"]
    assert not (tmp_path / "run" / "checkpoints").exists()
