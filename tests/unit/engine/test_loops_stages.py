"""The stages of whole runs: their exact order, how often each comes, and the counters that hooks see at each."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from rayseg.engine.hook import STAGES
from tests.toys import ToyDataset
from tests.unit.engine.training import Run, Spy, epochs, hooks, iterations, train, validation

ITER = ["before_train_iter", "after_train_iter"]
SAVE = ["before_save_checkpoint"]
VAL = [
    "before_val",
    "before_val_epoch",
    *["before_val_iter", "after_val_iter"] * 2,
    "after_val_epoch",
    "after_val",
]


def spied(tmp_path: Path, train_cfg: dict[str, Any], **sections: Any) -> tuple[Run, Spy]:
    spy = Spy()
    sections = {"default_hooks": hooks(), "val_dataloader": validation(5), "param_scheduler": None, **sections}
    return train(tmp_path, spy, train_cfg=train_cfg, **sections), spy


def test_an_iteration_loop(tmp_path: Path) -> None:
    _, spy = spied(tmp_path, iterations(3, val_interval=2))
    assert spy.stages == [
        "before_run",
        "before_train",
        "before_train_epoch",
        *ITER,
        *ITER,
        *VAL,
        *ITER,
        *SAVE,  # the last iteration's, before the validation that is due there
        *VAL,
        "after_train_epoch",
        "after_train",
        "after_run",
    ]


def test_an_epoch_loop(tmp_path: Path) -> None:
    _, spy = spied(tmp_path, epochs(2), train_dataloader={"batch_size": 8, "dataset": {"type": ToyDataset}})
    assert spy.stages == [
        "before_run",
        "before_train",
        "before_train_epoch",
        *ITER,
        *ITER,
        "after_train_epoch",
        *VAL,
        "before_train_epoch",
        *ITER,
        *ITER,
        "after_train_epoch",
        *SAVE,
        *VAL,
        "after_train",
        "after_run",
    ]


def test_every_stage_but_those_of_the_test_and_of_loading_comes(tmp_path: Path) -> None:
    _, spy = spied(tmp_path, iterations(3, val_interval=2))
    assert set(STAGES) - set(spy.stages) == {s for s in STAGES if "test" in s} | {"after_load_checkpoint"}


def test_counts_over_an_iteration_run(tmp_path: Path) -> None:
    _, spy = spied(tmp_path, iterations(11, val_interval=4), default_hooks=hooks(interval=3))
    assert Counter(spy.stages) == {
        **dict.fromkeys(["before_run", "before_train", "before_train_epoch"], 1),
        **dict.fromkeys(["after_run", "after_train", "after_train_epoch"], 1),
        **dict.fromkeys(ITER, 11),
        **dict.fromkeys(["before_val", "before_val_epoch", "after_val_epoch", "after_val"], 3),
        **dict.fromkeys(["before_val_iter", "after_val_iter"], 6),
        "before_save_checkpoint": 4,
    }
    assert [at for at, _ in spy.of("before_val")] == [4, 8, 11]
    assert [at for at, _ in spy.of("before_save_checkpoint")] == [3, 6, 9, 11]


def test_counts_over_an_epoch_run(tmp_path: Path) -> None:
    saves = hooks(interval=2, by_epoch=True)
    _, spy = spied(tmp_path, epochs(5, val_interval=3), default_hooks=saves, val_dataloader=validation(8))
    assert Counter(spy.stages) == {
        **dict.fromkeys(["before_run", "before_train", "after_train", "after_run"], 1),
        **dict.fromkeys(["before_train_epoch", "after_train_epoch"], 5),
        **dict.fromkeys(ITER, 20),
        **dict.fromkeys(["before_val", "before_val_epoch", "after_val_epoch", "after_val"], 2),
        **dict.fromkeys(["before_val_iter", "after_val_iter"], 4),
        "before_save_checkpoint": 3,
    }
    assert spy.of("before_val") == [(12, 3), (20, 5)]
    assert spy.of("before_save_checkpoint") == [(8, 2), (16, 4), (20, 5)]


def test_an_iteration_does_not_count_before_it_is_over(tmp_path: Path) -> None:
    _, spy = spied(tmp_path, iterations(3))
    for stage in ITER:
        assert [at for at, _ in spy.of(stage)] == [0, 1, 2]
        assert spy.arguments(stage, "batch_idx") == [0, 1, 2]
    assert spy.of("after_train_epoch") == spy.of("after_train") == [(3, 0)]


def test_an_iteration_loop_counts_passes(tmp_path: Path) -> None:
    """Five iterations of 4 over 10 images: the third batch crosses into the second pass."""
    data = {"batch_size": 4, "dataset": {"type": ToyDataset, "size": 10}}
    _, spy = spied(tmp_path, iterations(6), train_dataloader=data)
    assert spy.of("before_train_iter") == [(0, 0), (1, 0), (2, 0), (3, 1), (4, 1), (5, 2)]


def test_an_epoch_rises_after_its_end_and_before_its_validation(tmp_path: Path) -> None:
    _, spy = spied(tmp_path, epochs(2))
    assert spy.of("before_train_epoch") == [(0, 0), (4, 1)]
    assert spy.of("after_train_epoch") == [(4, 0), (8, 1)]
    assert spy.of("before_val") == [(4, 1), (8, 2)]


def test_an_epoch_drops_the_last_incomplete_batch_unless_told_to_pad(tmp_path: Path) -> None:
    for drop_last, length in ((True, 2), (False, 3)):
        data = {"batch_size": 4, "dataset": {"type": ToyDataset, "size": 11}, "drop_last": drop_last}
        _, spy = spied(tmp_path / str(drop_last), epochs(2), train_dataloader=data)
        assert spy.arguments("before_train_iter", "batch_idx") == [*range(length)] * 2
        sizes = {len(batch["data_samples"]) for batch in spy.arguments("before_train_iter", "data_batch")}
        assert sizes == {4}


def test_batches_of_an_iteration_loop_cross_passes(tmp_path: Path) -> None:
    data = {"batch_size": 4, "dataset": {"type": ToyDataset, "size": 6}}
    _, spy = spied(tmp_path, iterations(3), train_dataloader=data)
    batches = spy.arguments("before_train_iter", "data_batch")
    seen = [sample.metainfo["index"] for batch in batches for sample in batch["data_samples"]]
    assert sorted(seen[:6]) == sorted(seen[6:]) == [*range(6)]


@pytest.mark.parametrize(
    ("train_cfg", "expected"),
    [
        (iterations(10, val_interval=4, val_begin=5), [8, 10]),
        (iterations(10, val_interval=5), [5, 10]),
        (iterations(4, val_interval=100), [4]),
        (epochs(5, val_interval=2, val_begin=3), [16, 20]),
    ],
)
def test_when_validation_runs(tmp_path: Path, train_cfg: dict[str, Any], expected: list[int]) -> None:
    run, spy = spied(tmp_path, train_cfg)
    assert [at for at, _ in spy.of("before_val")] == expected
    assert list(run.scalars("val")) == expected


def test_without_validation_data(tmp_path: Path) -> None:
    _, spy = spied(tmp_path, iterations(3, val_interval=1), val_dataloader=None)
    assert not [stage for stage in spy.stages if "val" in stage]


def test_what_stages_are_given(tmp_path: Path) -> None:
    run, spy = spied(tmp_path, iterations(1))
    (batch,) = spy.arguments("after_train_iter", "data_batch")
    assert tuple(batch["inputs"].shape) == (4, 3, 16, 16)
    (losses,) = spy.arguments("after_train_iter", "outputs")
    assert losses["loss"].shape == ()
    assert not losses["loss"].requires_grad

    first, second = spy.arguments("after_val_iter", "outputs")
    assert [len(first), len(second)] == [4, 1]
    for sample in (*first, *second):
        assert tuple(sample.pred_sem_seg.data.shape) == tuple(sample.gt_sem_seg.data.shape) == (1, 16, 16)
        assert tuple(sample.seg_logits.data.shape) == (3, 16, 16)
    (metrics,) = spy.arguments("after_val_epoch", "metrics")
    assert metrics == run.scalars("val")[1]
    assert 0 <= metrics["mIoU"] <= 1


def test_the_test_stages(tmp_path: Path) -> None:
    from rayseg.engine.build import build_testing, resolve_config
    from rayseg.engine.host import LocalHost
    from tests.toys import toy_config

    runner = build_testing(resolve_config(toy_config(test_dataloader=validation(5))), LocalHost(device="cpu"), tmp_path)
    spy = Spy()
    runner.hooks.register(spy)
    metrics = runner.test()
    assert spy.stages == ["before_run", *[s.replace("val", "test") for s in VAL], "after_run"]
    assert spy.arguments("after_test_epoch", "metrics") == [metrics]
    assert metrics is not None
    assert "mIoU" in metrics
