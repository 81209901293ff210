"""What MM's users know on a runner: loggers, pictures, hooks that are added, checkpoints by name."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from rayseg.core.distributed import get_rank, master_only
from rayseg.core.errors import CheckpointError, ConfigError, RaysegError
from rayseg.core.sample import PixelData, SegSample
from rayseg.data.decode import read_image
from rayseg.engine.current import current, current_runner, find_runner
from rayseg.engine.hook import Hook
from rayseg.engine.message_hub import MessageHub
from rayseg.engine.mm_names import label_of
from rayseg.engine.run_logger import LONGEST_MESSAGE
from rayseg.engine.visualizer import Visualizer
from tests.distributed import run_ranks

from tests.unit.engine.training import At, Run, build, hooks, iterations, train  # isort: skip


def logs(run: Run) -> list[tuple[str, str]]:
    return [(record.data["level"], record.data["message"]) for record in run.records if record.kind == "log"]


class Early(Hook):
    """Asks for the run before there is a loop."""

    def __init__(self) -> None:
        self.runner = current_runner()


def test_the_current_runner_is_there_from_construction_to_the_end(tmp_path: Path) -> None:
    seen: list[Any] = []
    run = build(
        tmp_path,
        At("after_train_iter", 0, lambda runner: seen.append((current_runner(), MessageHub.get_current_instance()))),
        custom_hooks=[{"type": Early}],
        train_cfg=iterations(1),
    )
    (early,) = [hook for hook in run.runner.hooks if isinstance(hook, Early)]
    assert find_runner() is None
    run.runner.train()
    assert early.runner is run.runner
    assert seen == [(run.runner, run.runner.message_hub)]
    assert find_runner() is None
    with pytest.raises(RaysegError, match="no run is going on in this thread"):
        current_runner()


def test_a_failed_run_is_no_longer_current(tmp_path: Path) -> None:
    def fail(runner: Any) -> None:
        raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        train(tmp_path, At("after_train_iter", 0, fail), train_cfg=iterations(1))
    assert find_runner() is None


def test_lines_of_the_logger_reach_the_owner(tmp_path: Path) -> None:
    run = build(tmp_path, log_level="WARNING")
    run.records.clear()
    logger = run.runner.logger
    logger.info("too low")
    logger.warning("of %s", "old")
    try:
        raise OSError("gone")
    except OSError:
        logger.exception("it failed")
    logger.error("x" * (LONGEST_MESSAGE + 5))
    (warning, failure, long) = logs(run)
    assert warning == ("WARNING", "of old")
    assert failure[0] == "ERROR"
    assert failure[1].startswith("it failed\nTraceback")
    assert long[1] == "x" * LONGEST_MESSAGE + " ... (5 characters more)"
    assert logger.name not in logging.Logger.manager.loggerDict or logging.getLogger(logger.name) is not logger


def test_errors_of_other_ranks_are_said_with_their_rank(tmp_path: Path) -> None:
    run = build(tmp_path)
    run.records.clear()
    run.runner.host.rank = 2  # type: ignore[misc]
    run.runner.logger.warning("not mine to say")
    run.runner.logger.error("broken")
    assert logs(run) == [("ERROR", "[rank 2] broken")]


def test_numbers_of_the_visualizer_are_in_the_next_line_only(tmp_path: Path) -> None:
    def note(runner: Any) -> None:
        for value in (1.0, torch.tensor(2.0)):
            runner.visualizer.add_scalar("extra", value, step=99)
        runner.visualizer.add_scalars({"train/a/b": 3, "val/c": 4})

    def note_in_validation(runner: Any) -> None:
        runner.visualizer.add_scalar("seen", 5)
        assert Visualizer.get_current_instance() is runner.visualizer

    run = train(
        tmp_path,
        At("after_train_iter", 0, note),
        At("after_val_iter", 4, note_in_validation),
        train_cfg=iterations(4, val_interval=4),
    )
    lines = run.scalars("train")
    assert [(lines[2].get("extra"), lines[2].get("a/b")), "extra" in lines[4], "a/b" in lines[4]] == [
        (2.0, 3.0),
        False,
        False,
    ]
    assert (run.scalars("val")[4]["c"], run.scalars("val")[4]["seen"]) == (4.0, 5.0)


def test_pictures_of_the_visualizer(tmp_path: Path) -> None:
    pixels = np.zeros((4, 120, 3), np.uint8)
    pixels[..., 0] = 200

    def show(runner: Any) -> None:
        runner.visualizer.add_image("a/red", pixels, step=7)
        runner.visualizer.add_image("val/grey", torch.zeros(4, 120, dtype=torch.uint8))
        sample = SegSample(gt_sem_seg=PixelData(torch.zeros(1, 4, 120)), pred_sem_seg=PixelData(torch.ones(1, 4, 120)))
        sample.gt_sem_seg.data = sample.gt_sem_seg.data.long()
        sample.pred_sem_seg.data = sample.pred_sem_seg.data.long()
        runner.visualizer.add_datasample("both", pixels, sample)
        runner.visualizer.add_datasample("one", pixels, sample, draw_gt=False, out_file=tmp_path / "out/one.png")
        runner.visualizer.add_datasample("plain", pixels)

    run = train(tmp_path, At("after_train_iter", 1, show), train_cfg=iterations(2))
    images = [(record.mode, record.data) for record in run.records if record.kind == "image"]
    assert images == [
        ("train", {"path": "visuals/train/iter_7/a/red.png", "tag": "a/red.png"}),
        ("val", {"path": "visuals/val/iter_1/grey.png", "tag": "grey.png"}),
        ("train", {"path": "visuals/train/iter_1/both.png", "tag": "both.png"}),
        ("train", {"path": "visuals/train/iter_1/plain.png", "tag": "plain.png"}),
    ]
    red, both, one = (
        np.asarray(read_image(str(tmp_path / name))).transpose(1, 2, 0)
        for name in ("visuals/train/iter_7/a/red.png", "visuals/train/iter_1/both.png", "out/one.png")
    )
    assert np.array_equal(red, pixels)
    assert both.shape[1] == 2 * one.shape[1] == 240
    assert np.array_equal(both[:, 120:], one)
    assert not np.array_equal(both[:, :120], one)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda v: v.add_image("a", np.zeros((3, 4, 4), np.uint8)), ValueError, r"expected uint8 \(H, W, 3\)"),
        (lambda v: v.add_image("a", np.zeros((4, 4, 3))), ValueError, "found float64"),
        (lambda v: v.add_image("../a", np.zeros((4, 4), np.uint8)), ValueError, "no name of a picture inside"),
        (lambda v: v.add_datasample("a", None, show=True), RaysegError, "no window is opened here"),
        (lambda v: v.draw_bboxes([]), AttributeError, "has no 'draw_bboxes'; it has add_config, add_datasample"),
        (lambda v: v.add_scaler("a", 1), AttributeError, r"did you mean 'add_scalar"),
    ],
)  # fmt: skip
def test_what_the_visualizer_refuses(tmp_path: Path, call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(build(tmp_path).runner.visualizer)


def test_hooks_may_be_added_by_hooks(tmp_path: Path) -> None:
    calls: list[str] = []

    class Added(Hook):
        def __init__(self, name: str) -> None:
            self.name = name

        def before_train(self, runner: Any) -> None:
            calls.append(self.name)

        def my_own(self, runner: Any, value: int) -> None:
            calls.append(f"{self.name} {value}")

    def add(runner: Any) -> None:
        runner.register_hook({"type": Added, "name": "late"}, priority="LOWEST")
        runner.register_hook(Added("early"), "HIGHEST")
        runner.register_hooks({"named": {"type": Added, "name": "named"}, "none": None}, [Added("custom")])
        runner.call_hook("my_own", value=3)

    run = train(tmp_path, At("before_run", 0, add), train_cfg=iterations(1))
    assert calls == ["early 3", "named 3", "custom 3", "late 3", "early", "named", "custom", "late"]
    with pytest.raises(RaysegError, match=r"call_hook\('before_trian'\): no stage, .* did you mean 'before_train'"):
        run.runner.call_hook("before_trian")


def test_facts_of_a_run(tmp_path: Path) -> None:
    runner = build(tmp_path, experiment_name="mine").runner
    assert (runner.experiment_name, runner.distributed) == ("mine", False)
    assert re.fullmatch(r"\d{8}_\d{6}", runner.timestamp)
    assert [type(metric).__name__ for metric in runner.val_evaluator] == ["IoUMetric"]
    assert (runner.test_evaluator, runner.test_dataloader) == ([], None)


def test_a_checkpoint_by_mm_arguments_is_kept_under_its_name(tmp_path: Path) -> None:
    def save(runner: Any) -> None:
        runner.save_checkpoint(str(tmp_path), "mine.pth", by_epoch=False)
        runner.save_checkpoint("elsewhere", f"iter_{runner.iter + 1}.pth", save_optimizer=False, meta={"a": 1})
        runner.save_checkpoint("elsewhere", "mine.pth", save_optimizer=False, meta={"a": 1})

    run = train(
        tmp_path,
        At("after_train_iter", 1, save),
        train_cfg=iterations(8),
        default_hooks=hooks(3, max_keep_ckpts=1),
    )
    assert run.saved == ["iter_2", "iter_8"]
    assert run.runner.checkpointer.store.pins() == {"kept_iter_2": "iter_2", "mine": "iter_2"}
    (warning,) = run.events("warning")
    assert warning["message"].startswith(
        "save_checkpoint: out_dir='elsewhere', save_optimizer=False, meta changes nothing"
    )
    assert [label_of(name) for name in ("a/best.pth", "last.pth", "x")] == ["best", "kept_last", "x"]


def test_weights_are_loaded_and_what_does_not_fit_is_said(tmp_path: Path) -> None:
    run = build(tmp_path / "run")
    state = {name: torch.full_like(value, 2) for name, value in run.runner.model.state_dict().items()}
    del state["net.head.bias"]
    save_file(state, tmp_path / "w.safetensors")
    report = run.runner.load_checkpoint(str(tmp_path / "w.safetensors"), map_location="cpu")
    assert report.missing == ("net.head.bias",)
    assert float(run.runner.model.net.head.weight.detach().mean()) == 2  # type: ignore[union-attr,operator]
    assert any("missing" in message and "net.head.bias" in message for _, message in logs(run))
    with pytest.raises(ConfigError, match="the weights do not fit the model"):
        run.runner.load_checkpoint(str(tmp_path / "w.safetensors"), strict=True)
    with pytest.raises(ConfigError, match="revise_keys"):
        run.runner.load_checkpoint(str(tmp_path / "w.safetensors"), revise_keys=[("a", "b")])


class Keeper(Hook):
    """Keeps things where MMEngine's hooks keep them."""

    def __init__(self, value: Any = 1) -> None:
        self.value = value
        self.found: list[Any] = []

    def before_save_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        checkpoint["my_state"] = {"value": self.value, "iter": checkpoint["meta"]["iter"]}

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        runner.message_hub.update_info("last", [runner.iter, "x"])
        runner.message_hub.update_info("live", object())
        runner.message_hub.update_info_dict({"brief": 1}, resumed=False)

    def after_load_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        hub = runner.message_hub
        self.found = [
            checkpoint["my_state"],
            checkpoint["meta"]["iter"],
            hub.get_info("last"),
            hub.get_info("live"),
            hub.get_info("brief"),
        ]


def test_what_hooks_put_into_a_checkpoint_and_the_hub_comes_back(tmp_path: Path) -> None:
    first = train(tmp_path, Keeper(), train_cfg=iterations(2), default_hooks=hooks(1))
    warnings = [event["message"] for event in first.events("warning")]
    assert len(warnings) == 1
    assert warnings[0].startswith("not saved: message_hub info 'live' is a object")
    keeper = Keeper()
    train(tmp_path, keeper, train_cfg=iterations(3), default_hooks=hooks(1))
    assert keeper.found == [{"value": 1, "iter": 2}, 2, [1, "x"], None, None]


def test_an_entry_that_could_not_be_loaded_is_refused_when_it_is_saved(tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointError, match=r"what a hook has put into the checkpoint, 'my_state' 'value' is a object"
    ):
        train(tmp_path, Keeper(object()), train_cfg=iterations(1), default_hooks=hooks(1))


@master_only
def save_on_rank0(runner: Any) -> None:
    runner.save_checkpoint(runner.work_dir, "a.pth")


def stop(runner: Any) -> None:
    raise RaysegError("stopped")


def _save_or_stop(folder: str) -> str:
    """Rank 1 stops there too, as its owner would stop it."""
    action = save_on_rank0 if get_rank() == 0 else stop
    hook = At("after_train_iter", 0, action)
    with pytest.raises(RaysegError) as error:
        train(Path(folder), hook, scaling={"num_workers": 2}, train_cfg=iterations(2))
    return str(error.value)


@pytest.mark.world_size(2)
def test_a_checkpoint_of_one_rank_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    first, _ = run_ranks(_save_or_stop, 2, str(tmp_path))
    assert first.startswith("save_checkpoint: every rank writes its part of a checkpoint, so rank 0 alone would wait")


def test_the_hub_takes_mm_arguments() -> None:
    hub = MessageHub()
    hub.update_scalar("train/a", 6.0, 3, resumed=False)
    hub.update_scalars({"train/b": {"value": 4, "count": 2}, "train/c": 1})
    assert [hub.get_scalar(f"train/{name}").current() for name in "abc"] == [2.0, 2.0, 1.0]
    hub.update_info("x", 1)
    assert (hub.pop_info("x"), hub.pop_info("x", "gone"), hub.saved_infos()) == (1, "gone", {})


def test_notes_survive_a_restart() -> None:
    hub, again = MessageHub(), MessageHub()
    hub.note("train/a", torch.tensor(2.0))
    hub.note("val/a", 3)
    again.load_state_dict(hub.state_dict())
    assert again.take_notes("train") == {"a": 2.0}
    assert again.take_notes("train") == {}
    assert again.take_notes("val") == {"a": 3.0}


def test_nested_runs_are_current_one_by_one(tmp_path: Path) -> None:
    one, two = build(tmp_path / "1").runner, build(tmp_path / "2").runner
    with current(one):
        with current(two):
            assert current_runner() is two
        assert current_runner() is one
