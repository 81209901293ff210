"""CheckpointHook: when it saves, how many it keeps, which is the best, and configs that it refuses."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from rayseg.core.errors import ConfigError
from rayseg.engine import state
from rayseg.engine.hook import Hook
from rayseg.hooks.checkpoint import CheckpointHook
from rayseg.hooks.rules import guess_rule, is_better
from tests.unit.engine.training import At, Run, Stop, build, epochs, hooks, iterations, train


class Scores(Hook):
    """Makes validations give scripted numbers."""

    priority = "HIGHEST"

    def __init__(self, **series: list[float]) -> None:
        self.series = {name: iter(values) for name, values in series.items()}

    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        if metrics is not None:
            metrics.update({name: next(values) for name, values in self.series.items()})


def saved(tmp_path: Path, train_cfg: dict[str, Any], *more: Hook, **options: Any) -> Run:
    return train(tmp_path, *more, train_cfg=train_cfg, default_hooks=hooks(**options), param_scheduler=None)


def iters(run: Run) -> list[int]:
    return [int(name.removeprefix("iter_")) for name in run.saved]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"interval": 4}, [4, 8, 10]),
        ({"interval": 5}, [5, 10]),
        ({"interval": 4, "save_last": False}, [4, 8]),
        ({"interval": -1}, [10]),
        ({"interval": -1, "save_last": False}, []),
        ({"interval": 2, "save_begin": 5}, [5, 7, 9, 10]),
        ({"interval": 3, "by_epoch": False}, [3, 6, 9, 10]),
        ({"interval": 2, "max_keep_ckpts": 2}, [8, 10]),
        ({"interval": 4, "max_keep_ckpts": 1}, [10]),
    ],
)
def test_by_iterations(tmp_path: Path, options: dict[str, Any], expected: list[int]) -> None:
    assert iters(saved(tmp_path, iterations(10), **options)) == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"interval": 2}, [8, 16, 20]),
        ({"interval": 2, "by_epoch": True, "save_last": False}, [8, 16]),
        ({"interval": -1}, [20]),
        ({"interval": 2, "save_begin": 3}, [12, 20]),
        ({"interval": 6, "by_epoch": False}, [6, 12, 18, 20]),
        ({"interval": 1, "max_keep_ckpts": 2}, [16, 20]),
    ],
)
def test_by_epochs(tmp_path: Path, options: dict[str, Any], expected: list[int]) -> None:
    assert iters(saved(tmp_path, epochs(5), **options)) == expected


def best_of(run: Run) -> list[tuple[float, int]]:
    return [(event["value"], event["iter"]) for event in run.events("best")]


CFG = iterations(10, val_interval=2)


def test_the_best_is_kept_beside_the_last(tmp_path: Path) -> None:
    scores = Scores(mIoU=[0.1, 0.7, 0.3, 0.7, 0.6])
    run = saved(tmp_path, CFG, scores, interval=5, save_best="mIoU", max_keep_ckpts=1)
    assert best_of(run) == [(0.1, 2), (0.7, 4)], "an equal score is no better one"
    store = run.runner.checkpointer.store
    assert store.pins() == {"best_mIoU": "iter_4"}
    assert store.load("best").name == "iter_4"
    assert iters(run) == [4, 10]


def test_a_best_at_a_saved_iteration_pins_it(tmp_path: Path) -> None:
    run = saved(tmp_path, CFG, Scores(mIoU=[0.5, 0.4, 0.3, 0.2, 0.1]), interval=2, save_best="auto", max_keep_ckpts=2)
    assert run.runner.checkpointer.store.pins() == {"best_mIoU": "iter_2"}
    assert iters(run) == [2, 8, 10]
    assert [event["name"] for event in run.events("checkpoint")].count("iter_2") == 1


def test_several_metrics_have_their_own_best(tmp_path: Path) -> None:
    scores = Scores(mIoU=[0.1, 0.9, 0.2, 0.2, 0.2], loss=[5.0, 4.0, 1.0, 3.0, 2.0])
    run = saved(tmp_path, CFG, scores, interval=-1, save_best=["mIoU", "loss"], max_keep_ckpts=1)
    assert run.runner.checkpointer.store.pins() == {"best_loss": "iter_6", "best_mIoU": "iter_4"}
    assert iters(run) == [4, 6, 10]


def test_a_score_that_is_no_number_is_never_the_best(tmp_path: Path) -> None:
    scores = Scores(mIoU=[math.nan, 0.2, math.nan, 0.1, math.inf])
    run = saved(tmp_path, CFG, scores, save_best="mIoU")
    assert best_of(run) == [(0.2, 4), (math.inf, 10)]


def test_a_given_rule_wins(tmp_path: Path) -> None:
    run = saved(tmp_path, CFG, Scores(mIoU=[0.5, 0.4, 0.45, 0.3, 0.6]), save_best="mIoU", rule="less")
    assert [at for _, at in best_of(run)] == [2, 4, 8]


def test_the_best_survives_a_restart(tmp_path: Path) -> None:
    saved(tmp_path, iterations(4, val_interval=2), Scores(mIoU=[0.1, 0.7]), save_best="mIoU")
    again = saved(tmp_path, iterations(8, val_interval=2), Scores(mIoU=[0.7, 0.6, 0.5]), save_best="mIoU")
    assert again.runner.checkpointer.store.pins() == {"best_mIoU": "iter_4"}


def test_a_best_from_before_the_restart_is_told_again(tmp_path: Path) -> None:
    """The owner may not have written it down."""
    cfg = iterations(6, val_interval=2)
    saved(tmp_path, iterations(6, val_interval=2), Scores(mIoU=[0.1, 0.7, 0.2]), interval=6, save_best="mIoU")
    again = saved(tmp_path, cfg, Scores(mIoU=[0.3]), save_best="mIoU")
    assert best_of(again)[0] == (0.7, 4)


def test_a_best_whose_checkpoint_is_not_here_is_none(tmp_path: Path) -> None:
    """As after another run's checkpoint was taken over: that one's best lies elsewhere."""
    cfg = iterations(6, val_interval=2)
    first = saved(tmp_path, cfg, Scores(mIoU=[0.1, 0.7, 0.2]), interval=6, save_best="mIoU")
    first.runner.checkpointer.store.unpin("best_mIoU")
    again = saved(tmp_path, iterations(10, val_interval=2), Scores(mIoU=[0.2, 0.3, 0.1]), save_best="mIoU")
    assert best_of(again) == [(0.2, 6), (0.3, 8)]


def test_an_unknown_metric_is_refused_before_training(tmp_path: Path) -> None:
    run = build(tmp_path, default_hooks=hooks(save_best="mIuo"))
    with pytest.raises(ConfigError, match=r"save_best: .*mIuo.*did you mean 'mIoU'"):
        run.runner.train()
    assert run.scalars("train") == {}


def test_epochs_in_an_iteration_loop_are_refused(tmp_path: Path) -> None:
    runner = build(tmp_path, default_hooks=hooks(by_epoch=True)).runner
    with pytest.raises(ConfigError, match=r"default_hooks.checkpoint.by_epoch: True in an iteration loop"):
        runner.train()


def test_a_best_needs_a_validation(tmp_path: Path) -> None:
    runner = build(tmp_path, default_hooks=hooks(save_best="auto"), val_dataloader=None).runner
    with pytest.raises(ConfigError, match="save_best: there is no validation; give val_dataloader"):
        runner.train()


def test_as_many_rules_as_metrics() -> None:
    with pytest.raises(ConfigError, match=r"default_hooks\.checkpoint\.rule: 2 rules for the 1 metrics of save_best"):
        CheckpointHook(save_best="mIoU", rule=["less", "greater"])


@pytest.mark.parametrize(
    ("metric", "rule"), [("mIoU", "greater"), ("IoU.land", "greater"), ("aAcc", "greater"), ("loss", "less")]
)
def test_rules_are_guessed_from_names(metric: str, rule: str) -> None:
    assert guess_rule(metric) == rule


def test_better_is_strict() -> None:
    assert is_better(0.1, None, "greater")
    assert is_better(0.2, 0.1, "greater")
    assert not is_better(0.1, 0.1, "greater")
    assert is_better(0.1, 0.2, "less")
    assert not is_better(0.2, 0.1, "less")


@pytest.mark.parametrize(
    ("metric", "keys", "rule"),
    [
        ("loss_acc", {}, "less"),
        ("IoU.parking time", {}, "greater"),
        ("fuzz", {}, None),
        ("fuzz", {"greater_keys": ["fuzz"]}, "greater"),
        ("my_fuzz", {"less_keys": ["fuzz"]}, "less"),
        ("loss_acc", {"greater_keys": ["loss_acc"]}, "greater"),
    ],
)
def test_corners_of_the_guess(metric: str, keys: dict[str, list[str]], rule: str | None) -> None:
    assert guess_rule(metric, **keys) == rule


def test_keys_of_the_config_decide(tmp_path: Path) -> None:
    scores = Scores(mIoU=[0.5, 0.4, 0.45, 0.3, 0.6])
    run = saved(tmp_path, CFG, scores, save_best="mIoU", less_keys=["miou"], greater_keys="acc")
    assert [at for _, at in best_of(run)] == [2, 4, 8]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"out_dir": "s3://bucket"}, r"out_dir: checkpoints lie where checkpoint_store=dict\(url='s3://bucket'\) says"),
        ({"save_best": ["auto", "loss"]}, "'auto' stands alone"),
        ({"save_best": ["mIoU", "mIoU"]}, "names one twice"),
        (
            {"published_keys": ["state_dict", "optimizer"]},
            "'optimizer' cannot be published, only 'state_dict' and 'meta'",
        ),
        ({"published_keys": "meta"}, "without 'state_dict' there is nothing to publish"),
        ({"published_keys": "state_dict", "save_last": False}, "without save_last or save_best nothing is published"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        CheckpointHook(**options)


def test_a_metric_whose_name_says_nothing_needs_a_rule(tmp_path: Path) -> None:
    runner = build(tmp_path, default_hooks=hooks(save_best="mIoU", greater_keys=["acc"])).runner
    with pytest.raises(ConfigError, match=r"checkpoint\.rule: the name 'mIoU' does not say which is better"):
        runner.train()


def test_what_changes_nothing_is_told(tmp_path: Path) -> None:
    hook = CheckpointHook(save_optimizer=False, filename_tmpl="e_{}.pth")
    assert [note.split()[0] for note in hook.notes] == [
        "default_hooks.checkpoint.save_optimizer",
        "default_hooks.checkpoint.filename_tmpl",
    ]
    assert CheckpointHook().notes == ()


def test_weights_are_published_at_the_end(tmp_path: Path) -> None:
    scores = Scores(mIoU=[0.1, 0.7, 0.3, 0.7, 0.6])
    run = saved(tmp_path, CFG, scores, save_best="mIoU", published_keys=["meta", "state_dict"])
    store = run.runner.checkpointer.store
    for label, name in (("iter_10", "last"), ("best_mIoU_iter_4", "best")):
        (path,) = (tmp_path / "published").glob(f"{label}-????????.safetensors")
        assert path.read_bytes() == store.load(name).read("model.safetensors")
        facts = json.loads(path.with_suffix(".json").read_text())
        assert facts["iter"] == store.load(name).iter
        assert facts["metainfo"]["classes"] == ["dark", "middle", "bright"]
    assert len(list((tmp_path / "published").iterdir())) == 4
    trained = build(tmp_path / "b", load_from=str(path)).runner.model.state_dict()
    assert torch.equal(trained["net.head.weight"], state.load_model_file(store.load("best"))["net.head.weight"])


def test_nothing_is_published_of_a_run_that_is_stopped(tmp_path: Path) -> None:
    stop = Stop()
    options = {"train_cfg": CFG, "default_hooks": hooks(published_keys="state_dict"), "param_scheduler": None}
    train(tmp_path, At("after_train_iter", 3, stop), stop=stop, **options)
    assert not (tmp_path / "published").exists()
