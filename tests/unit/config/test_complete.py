# ruff: noqa: C408 (tables of configs, written as configs are)
from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rayseg.config import Config, complete_config, find_search_leaves, load_config
from rayseg.search import choice, uniform

from tests.unit.config.conftest import Write  # isort: skip

TRAIN = dict(batch_size=4, dataset=dict(type="D", root="r", prefix=dict(img="i", ann="a"), pipeline=[1]))


def completed(**sections: Any) -> Config:
    return complete_config(Config.from_dict(sections))


def test_the_six_default_hooks() -> None:
    hooks = completed().default_hooks
    assert {name: hook["type"] for name, hook in hooks.items()} == {
        "timer": "IterTimerHook",
        "logger": "LoggerHook",
        "param_scheduler": "ParamSchedulerHook",
        "checkpoint": "CheckpointHook",
        "sampler_seed": "DistSamplerSeedHook",
        "visualization": "SegVisualizationHook",
    }
    assert completed(default_hooks=None) == completed()


def test_default_hooks_merge_by_name() -> None:
    mine = dict(checkpoint=dict(interval=5), timer=None, logger=dict(type="Mine"), extra=dict(type="X"))
    hooks = completed(default_hooks=mine).default_hooks
    assert list(hooks) == [
        "timer", "logger", "param_scheduler", "checkpoint", "sampler_seed", "visualization", "extra",
    ]  # fmt: skip
    assert hooks.checkpoint == dict(type="CheckpointHook", interval=5)
    assert hooks.timer is None
    assert hooks.logger == dict(type="Mine")


def test_validation_takes_over_the_training_data_without_augmentation() -> None:
    config = completed(train_dataloader=TRAIN, val_dataloader=dict(dataset=dict(split="val", prefix=dict(ann="b"))))
    assert config.val_dataloader == dict(dataset=dict(type="D", root="r", prefix=dict(img="i", ann="b"), split="val"))
    assert config.test_dataloader == config.val_dataloader
    assert config.val_cfg == dict(type="ValLoop")
    assert config.test_cfg == dict(type="TestLoop")
    assert config.val_evaluator == dict(type="IoUMetric") == config.test_evaluator
    assert config.train_dataloader == TRAIN


def test_augmentation_stays_out_of_wrapped_data_sets() -> None:
    train = dict(dataset=dict(type="W", dataset=TRAIN["dataset"], parts=[dict(pipeline=[2], a=1)]))
    dataset = completed(train_dataloader=train, val_dataloader={}).val_dataloader.dataset
    assert dataset == dict(type="W", dataset=dict(type="D", root="r", prefix=dict(img="i", ann="a")), parts=[dict(a=1)])


def test_test_takes_over_from_validation() -> None:
    config = completed(
        train_dataloader=TRAIN,
        val_dataloader=dict(num_workers=3, dataset=dict(split="val", pipeline=[2])),
        test_dataloader=dict(dataset=dict(split="test")),
        val_evaluator=dict(type="Mine"),
    )
    assert config.test_dataloader.dataset == {**config.val_dataloader.dataset, "split": "test"}
    assert config.test_dataloader.dataset.pipeline == [2]
    assert "num_workers" not in config.test_dataloader
    assert config.test_evaluator == dict(type="Mine")
    absent = completed(train_dataloader=TRAIN, val_dataloader=dict(num_workers=3))
    assert absent.test_dataloader == absent.val_dataloader


@pytest.mark.parametrize("val", [None, "absent"])
def test_no_validation(val: Any) -> None:
    config = completed(train_dataloader=TRAIN, **({} if val == "absent" else {"val_dataloader": None}))
    assert not {"val_cfg", "val_evaluator", "test_dataloader", "test_cfg"} & set(config)


def test_test_alone_takes_over_from_training() -> None:
    config = completed(train_dataloader=TRAIN, test_dataloader=dict(dataset=dict(split="test")))
    assert config.test_dataloader.dataset == dict(type="D", root="r", prefix=dict(img="i", ann="a"), split="test")


def test_a_data_set_of_another_type_takes_nothing_over() -> None:
    other = dict(type="E", x=1)
    assert completed(train_dataloader=TRAIN, val_dataloader=dict(dataset=other)).val_dataloader.dataset == other


def test_several_data_sets_are_taken_over_whole_or_not_at_all() -> None:
    train = dict(dataset=dict(type="C", datasets=[TRAIN["dataset"]]))
    whole = dict(type="C", datasets=[dict(type="D", root="r", prefix=dict(img="i", ann="a"))])
    for empty in ({}, dict(dataset={})):
        config = completed(train_dataloader=train, val_dataloader=empty, test_dataloader=empty)
        assert config.val_dataloader.dataset == whole == config.test_dataloader.dataset
    some = dict(dataset=dict(split="x"))
    config = completed(train_dataloader=train, val_dataloader=some, test_dataloader=some)
    assert config.val_dataloader == some == config.test_dataloader
    assert completed(train_dataloader=train, val_dataloader={}, test_dataloader=some).test_dataloader == some
    same = dict(dataset=dict(type="C", test_mode=True))
    assert completed(train_dataloader=train, val_dataloader=same).val_dataloader.dataset == {**whole, "test_mode": True}


@pytest.mark.parametrize(("by_epoch", "kind"), [(True, "EpochBasedTrainLoop"), (False, "IterBasedTrainLoop")])
def test_by_epoch_names_the_loop(by_epoch: bool, kind: str) -> None:
    assert completed(train_cfg=dict(by_epoch=by_epoch, n=1)).train_cfg == dict(type=kind, n=1)


def test_top_level_preprocessor_becomes_the_models() -> None:
    preprocessor = dict(mean="imagenet")
    assert completed(model=dict(type="M"), data_preprocessor=preprocessor).model.data_preprocessor == preprocessor
    own = completed(model=dict(type="M", data_preprocessor=None), data_preprocessor=preprocessor)
    assert own.model.data_preprocessor is None


def test_leaves_are_not_taken_over() -> None:
    train = dict(dataset=dict(type="D", root=choice(["a", "b"]), scale=uniform(0, 1), k=1))
    config = completed(train_dataloader=train, val_dataloader={})
    assert config.val_dataloader.dataset == dict(type="D", k=1)
    assert list(find_search_leaves(config)) == ["train_dataloader.dataset.root", "train_dataloader.dataset.scale"]


def test_what_is_malformed_is_left_to_the_checker() -> None:
    malformed = dict(default_hooks=[1], train_dataloader=3, val_dataloader="x", test_dataloader=[2], train_cfg=4)
    malformed |= dict(trackers=[5], vis_backends=6, visualizer=[7])
    assert completed(**malformed) == malformed


def test_the_report_is_made_unless_it_is_turned_off() -> None:
    report = dict(type="Report")
    assert completed().trackers == dict(report=report)
    assert list(completed(trackers=dict(mine=dict(type="M"))).trackers) == ["report", "mine"], "it is made first"
    assert completed(trackers=dict(report=None)).trackers == dict(report=None)
    assert completed(trackers=None).trackers == dict(report=report)


def test_backends_of_mm_become_trackers(write: Write) -> None:
    backends = [dict(type="Local"), dict(type="Board"), dict(type="Cloud", project="p")]
    wanted = dict(board=dict(type="Board"), cloud=dict(type="Cloud", project="p"), report=dict(type="Report"))
    assert completed(vis_backends=backends).trackers == wanted
    assert completed(visualizer=dict(type="V", vis_backends=backends)).trackers == wanted
    assert completed(vis_backends=backends, trackers=dict(cloud=None)).trackers == {**wanted, "cloud": None}
    twice = complete_config(completed(vis_backends=backends))
    assert twice.trackers == wanted
    path = write({"a.py": "vis_backends = [dict(type='Local'), dict(type='Board')]"})
    assert complete_config(load_config(path)).origin("trackers.board").endswith("a.py")


def test_a_wrong_backend_is_left_to_the_checker() -> None:
    assert list(completed(vis_backends=[dict(type="Bord"), dict(type="Board", x=1), 3]).trackers) == ["report"]


def test_origins(write: Write) -> None:
    path = write(
        {
            "data.py": f"train_dataloader = {TRAIN}",
            "a.py": "_base_ = 'data.py'\nval_dataloader = dict(dataset=dict(split='v'))",
        }
    )
    config = complete_config(load_config(path, ["default_hooks.logger.interval=1"]))
    origins = {
        "val_dataloader.dataset.root": "data.py",
        "val_dataloader.dataset.split": "a.py",
        "test_dataloader.dataset.root": "data.py",
        "test_dataloader.dataset.split": "a.py",
        "val_cfg.type": "default",
        "default_hooks.timer": "default",
        "default_hooks.logger.type": "default",
        "default_hooks.logger.interval": "command line",
    }
    assert {key: config.origin(key) for key in origins} == origins


NAMES = st.sampled_from(["type", "dataset", "pipeline", "a", "by_epoch"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.sampled_from(["x", "y"]) | st.just(choice([1, {"type": "x"}])),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
SECTIONS = st.sampled_from(
    [
        "model", "train_dataloader", "val_dataloader", "test_dataloader", "train_cfg", "val_cfg", "test_cfg",
        "val_evaluator", "test_evaluator", "default_hooks", "data_preprocessor",
    ]
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(values=st.dictionaries(SECTIONS, VALUES, max_size=6))
def test_completing_twice_changes_nothing(values: dict[str, Any]) -> None:
    config = Config.from_dict(values, "a.py")
    once = complete_config(config)
    twice = complete_config(once)
    assert repr(twice) == repr(once)
    assert twice.provenance == once.provenance
    assert config == values
