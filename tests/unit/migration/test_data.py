"""Data loaders, data sets and pipelines."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from rayseg.config import check_config, complete_config, load_config
from rayseg.core.registries import TRANSFORMS
from rayseg.migration import migrate
from rayseg.migration.datasets import migrate_dataset
from rayseg.migration.known_datasets import KNOWN, classes_of
from rayseg.migration.lines import Lines
from rayseg.migration.loaders import DEFAULTS, shortened
from rayseg.migration.transforms import TAKES, migrate_pipeline

from tests.unit.migration.conftest import CONFIGS, Write  # isort: skip


def lines_of(lines: Lines) -> list[str]:
    return [f"{line.kind} {line.key}" for line in lines.sorted()]


def test_transforms_take_what_the_table_says() -> None:
    supplied = {"ignore_index", "test_mode"}
    for name, taken in TAKES.items():
        parameters = set(inspect.signature(TRANSFORMS.resolve(name)).parameters) - supplied
        assert set(taken) == parameters, name


def test_defaults_are_the_data_sets_own() -> None:
    from rayseg.data.folder import FolderDataset

    parameters = inspect.signature(FolderDataset).parameters
    assert {name: parameters[name].default for name in DEFAULTS} == DEFAULTS


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_known_data_sets_have_a_colour_for_each_class(name: str) -> None:
    classes, palette = classes_of(KNOWN[name])
    assert len(classes) == len(set(classes)) == len(palette) > 1
    assert all(name == name.strip() for name in classes)
    assert all(len(colour) == 3 and all(0 <= channel <= 255 for channel in colour) for colour in palette)


def test_numbers_of_classes_that_everybody_knows() -> None:
    counts = {name: len(classes_of(known)[0]) for name, known in KNOWN.items()}
    assert {
        "ADE20KDataset": 150,
        "COCOStuffDataset": 171,
        "CityscapesDataset": 19,
        "DRIVEDataset": 2,
        "LoveDADataset": 7,
        "PascalContextDataset": 60,
        "PascalContextDataset59": 59,
        "PascalVOCDataset": 21,
        "PotsdamDataset": 6,
        "iSAIDDataset": 16,
    }.items() <= counts.items()
    classes, palette = classes_of(KNOWN["CityscapesDataset"])
    assert (classes[0], palette[0]) == ("road", [128, 64, 128])
    assert (classes[-1], palette[-1]) == ("bicycle", [119, 11, 32])


def test_a_pipeline_keeps_what_is_not_loading() -> None:
    lines = Lines()
    pipeline = [
        {"type": "LoadImageFromFile"},
        {"type": "LoadAnnotations", "reduce_zero_label": True},
        {"type": "mmcv.RandomResize", "scale": (8, 4), "ratio_range": [0.5, 2.0], "resize_type": "mmcv.Resize"},
        {"type": "RandomCrop", "crop_size": (4, 4), "ignore_index": 255},
        {"type": "RandomFlip", "prob": 0.5, "swap_label_pairs": [(1, 2)]},
        {"type": "RandomMosaic", "prob": 1.0},
        {"type": "PackSegInputs"},
    ]
    assert migrate_pipeline(pipeline, "p", False, lines) == [
        {"type": "RandomResize", "scale": (8, 4), "ratio_range": (0.5, 2.0), "resize_type": "Resize"},
        {"type": "RandomCrop", "crop_size": (4, 4)},
        {"type": "RandomFlip", "prob": 0.5},
    ]
    assert lines_of(lines) == ["missing p.5", "differs p.4.swap_label_pairs"]


def test_an_evaluation_pipeline() -> None:
    lines = Lines()
    pipeline = [
        {"type": "LoadImageFromFile", "color_type": "grayscale", "backend_args": {"backend": "petrel"}},
        {"type": "ResizeShortestEdge", "scale": 480, "max_size": 2560},
        {"type": "ResizeToMultiple", "size_divisor": 32},
        {"type": "RandomFlip", "prob": 0.5},
        "Resize",
    ]
    assert migrate_pipeline(pipeline, "p", True, lines) == [
        {"type": "Resize", "scale": (2560, 480), "keep_ratio": True}
    ]
    assert lines_of(lines) == [
        "missing p.0.color_type",
        "missing p.0.backend_args",
        "missing p.3",
        "missing p.4",
        "dropped p.2",
    ]


def test_classes_of_ones_own_for_a_known_data_set_become_a_label_map() -> None:
    lines = Lines()
    config = {
        "type": "LoveDADataset",
        "data_root": "data",
        "data_prefix": {"img_path": "a", "seg_map_path": "b"},
        "metainfo": {"classes": ("water", "building")},
    }
    made = migrate_dataset(config, "d", False, lines)
    # Stored: 0 no data, 1 background, 2 building, 3 road, 4 water, ...
    assert made["label_map"] == {0: 255, 1: 255, 2: 1, 3: 255, 4: 0, 5: 255, 6: 255, 7: 255}
    assert made["classes"] == ["water", "building"]
    assert "reduce_zero_label" not in made
    assert made["palette"] == [[0, 0, 255], [255, 0, 0]]
    assert lines_of(lines) == []


def test_a_label_map_means_what_mm_does(tmp_path: Any) -> None:
    import numpy as np

    from rayseg.data.masks import MaskReader, MaskRules

    config = {"type": "LoveDADataset", "metainfo": {"classes": ["water", "building"]}}
    made = migrate_dataset(config, "d", False, Lines())
    rules = MaskRules(num_classes=2, ignore_index=255, mask_format="index", label_map=made["label_map"])
    from PIL import Image

    Image.fromarray(np.arange(8, dtype=np.uint8)[None]).save(tmp_path / "mask.png")
    labels = MaskReader(rules)(tmp_path / "mask.png")
    assert labels.tolist() == [[255, 255, 1, 255, 0, 255, 255, 255]]


def test_own_classes_that_are_not_the_known_ones_are_taken_as_they_are() -> None:
    made = migrate_dataset({"type": "CityscapesDataset", "metainfo": {"classes": ["a", "b"]}}, "d", False, Lines())
    assert made["classes"] == ["a", "b"]
    assert not {"palette", "label_map"} & set(made)


@pytest.mark.parametrize(
    ("config", "kind", "lines"),
    [
        (
            {"type": "BaseSegDataset", "metainfo": {"classes": ["a", "b"], "palette": [[0, 0, 0], [1, 1, 1]]}},
            "Folder",
            [],
        ),
        ({"type": "BaseSegDataset", "metainfo": {"classes": "classes.txt"}}, "Folder", []),
        ({"type": "MyDataset"}, "Folder", ["missing d"]),
        ({"type": "MyDataset", "metainfo": {"classes": ["a", "b"]}}, "Folder", ["differs d"]),
        ({"type": "CityscapesDataset", "indices": 10}, "Folder", ["missing d.indices"]),
        ({"type": "CityscapesDataset", "lazy_init": True, "backend_args": None}, "Folder", []),
        ({"type": "NYUDataset", "data_prefix": {"img_path": "a", "depth_map_path": "b"}}, "replace", ["missing d"]),
        ({"type": "DSDLSegDataset"}, "replace", ["missing d"]),
        (
            {"type": "MultiImageMixDataset", "dataset": {"type": "CityscapesDataset"}, "pipeline": []},
            "Folder",
            ["missing d"],
        ),
        (
            {"type": "ConcatDataset", "datasets": [{"type": "CityscapesDataset"}, {"type": "BDD100KDataset"}]},
            "Concat",
            [],
        ),
        (
            {"type": "ConcatDataset", "datasets": [{"type": "MyDataset"}, {"type": "DSDLSegDataset"}]},
            "Concat",
            ["missing d.datasets.0", "missing d.datasets.1"],
        ),
        ({"type": "RepeatDataset", "times": 3, "dataset": {"type": "DRIVEDataset"}}, "Folder", ["dropped d.times"]),
        ([{"type": "CityscapesDataset"}], "replace", ["missing d"]),
        ({"type": "ConcatDataset", "datasets": 3}, "replace", ["missing d.datasets"]),
        ({"type": "ConcatDataset", "datasets": [{"type": "DRIVEDataset"}, 3]}, "Concat", ["missing d.datasets.1"]),
        ({"type": "CityscapesDataset", "data_prefix": "a"}, "Folder", ["missing d.data_prefix"]),
        ({"type": "CityscapesDataset", "metainfo": [1]}, "Folder", ["missing d.metainfo"]),
        ({"type": "CityscapesDataset", "pipeline": 3}, "Folder", ["missing d.pipeline"]),
    ],
)
def test_data_sets(config: Any, kind: str, lines: list[str]) -> None:
    found = Lines()
    made = migrate_dataset(config, "d", False, found)
    assert made["type"].startswith(kind)
    assert lines_of(found) == lines


def test_validation_says_what_training_does_not(write: Write) -> None:
    sections = {
        "train_dataloader": {
            "batch_size": 2,
            "dataset": {"type": "FolderDataset", "data_root": "a", "ann_file": "x.txt", "classes": ["p", "q"]},
        },
        "val_dataloader": {
            "dataset": {"type": "FolderDataset", "data_root": "a", "classes": ["p", "q"], "pipeline": [1]}
        },
        "test_dataloader": {"dataset": {"type": "FolderDataset", "data_root": "b", "classes": ["p", "q"]}},
    }
    assert shortened(sections) == {
        "train_dataloader": sections["train_dataloader"],
        "val_dataloader": {"dataset": {"ann_file": None, "pipeline": [1]}},
        "test_dataloader": {"dataset": {"data_root": "b", "pipeline": []}},
    }
    same = {**sections, "test_dataloader": sections["val_dataloader"]}
    assert "test_dataloader" not in shortened(same)


def test_what_is_not_said_is_completed_to_what_mm_had(write: Write) -> None:
    path = write(
        "train_dataloader = dict(dataset=dict(ann_file='train.txt', ignore_index=7))\n"
        "test_dataloader = dict(dataset=dict(type='NightDrivingDataset', data_root='data/night', pipeline=[]))"
    )
    migrate(path, "out.py")
    config = load_config("out.py")
    check_config(config)
    completed = complete_config(config)
    train, val, test = (completed[f"{mode}_dataloader"]["dataset"] for mode in ("train", "val", "test"))
    assert (train["ignore_index"], val["ignore_index"], test["ignore_index"]) == (7, 255, 255)
    assert (train["ann_file"], val["ann_file"], test.get("ann_file")) == ("train.txt", None, None)
    assert val["data_prefix"] == {"img_path": "leftImg8bit/val", "seg_map_path": "gtFine/val"}
    assert (test["data_root"], test["seg_map_suffix"], test["pipeline"]) == (
        "data/night",
        "_gtCoarse_labelTrainIds.png",
        [],
    )
    assert train["classes"] == val["classes"] == test["classes"]


def test_loaders(write: Write) -> None:
    text = """
train_dataloader = dict(
    drop_last=True, pin_memory=True, collate_fn=dict(type='pseudo_collate'), batch_sampler=dict(type='Mine'),
    sampler=dict(type='WeightedSampler'))
"""
    migration = migrate(write(text))
    loader = migration.sections["train_dataloader"]
    assert {"drop_last", "pin_memory"} <= set(loader)
    assert not {"collate_fn", "batch_sampler", "sampler"} & set(loader)
    found = [f"{line.kind} {line.key}" for line in migration.lines if line.key.startswith("train_dataloader")]
    assert found == [
        "missing train_dataloader.sampler",
        "missing train_dataloader.batch_sampler",
        "dropped train_dataloader.collate_fn",
    ]


def test_the_name_says_how_many_gpus() -> None:
    lines = [line for line in migrate(CONFIGS / "fcn_r50_4xb2-20k_cityscapes.py").lines if "batch_size" in line.key]
    assert [line.do for line in lines] == [
        "say scaling=dict(num_workers=4), or optim_wrapper.accumulative_counts=4",
    ]


def test_an_epoch_of_a_repeated_data_set(write: Write) -> None:
    text = """
train_cfg = dict(_delete_=True, type='EpochBasedTrainLoop', max_epochs=5)
train_dataloader = dict(dataset=dict(
    _delete_=True, type='RepeatDataset', times=4, dataset=dict(type='DRIVEDataset', data_root='d')))
"""
    lines = [line for line in migrate(write(text)).lines if line.kind == "differs" and "times" in line.key]
    assert [line.do for line in lines] == ["say max_epochs=20, and multiply intervals and schedules alike"]
