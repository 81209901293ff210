"""ConcatDataset: whose sample comes when, what must be the same, and where a problem is said to be."""

from __future__ import annotations

import pickle
from itertools import islice

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rayseg.core.errors import ConfigError
from rayseg.data.build import build_dataset, preflight
from rayseg.data.check import check_dataset
from rayseg.data.concat import ConcatDataset, parts_of
from tests.distributed import run_ranks
from tests.unit.data.test_loader import Numbers, indices, train_loader


def concat(*datasets):
    return {"type": "ConcatDataset", "datasets": list(datasets)}


@given(st.lists(st.integers(1, 5), min_size=1, max_size=5))
def test_each_sample_of_each_once_and_in_order(sizes) -> None:
    dataset = ConcatDataset([Numbers(size) for size in sizes])
    samples = [dataset[index] for index in range(len(dataset))]
    expected = [(number, place) for number, size in enumerate(sizes) for place in range(size)]
    assert [int(sample["inputs"][0, 0, 0]) for sample in samples] == [place for _, place in expected]
    facts = [sample["data_samples"].metainfo for sample in samples]
    assert [one["index"] for one in facts] == list(range(len(expected)))
    assert [one["name"] for one in facts] == [f"{number}/{place}" for number, place in expected]
    for outside in (-1, len(dataset)):
        with pytest.raises(IndexError):
            dataset[outside]


def test_each_is_read_in_its_own_way(folder) -> None:
    small = folder(4, pipeline=[{"type": "Resize", "scale": (12, 10)}])
    dataset = build_dataset(concat(small, folder(3, split="more", seed=1)))
    assert len(dataset) == 7
    assert dataset[3]["inputs"].shape == (3, 10, 12)
    assert dataset[4]["inputs"].shape == (3, 20, 24)
    assert dataset[4]["data_samples"].metainfo == {"index": 4, "name": "1/000.png"}
    assert dataset.metainfo["classes"] == ["sky", "tree", "road"]
    assert torch.equal(pickle.loads(pickle.dumps(dataset))[5]["inputs"], dataset[5]["inputs"])


def test_one_in_another(folder) -> None:
    config = concat(folder(4), concat(folder(3, split="b"), folder(2, split="c")))
    dataset = build_dataset(config, test_mode=True)
    assert [len(part) for part in parts_of(dataset)] == [4, 3, 2]
    assert all(part.test_mode for part in parts_of(dataset))
    assert dataset[8]["data_samples"].metainfo["name"] == "1/1/001.png"


def test_a_loader_draws_from_all(folder) -> None:
    dataset = build_dataset(concat(folder(5), folder(3, split="more", seed=1)))
    loader = train_loader({}, dataset=dataset, batch_size=4, global_batch_size=4)
    stream = iter(loader)
    assert sorted(index for batch in islice(stream, 2) for index in indices(batch)) == list(range(8))
    assert next(stream)["inputs"].shape[2:] == (20, 24)
    dataset.datasets[0].pipeline = dataset.datasets[1].pipeline = lambda image, mask: (image[:, :8], mask[:, :8])
    assert next(stream)["inputs"].shape[2:] == (8, 24)


def test_classes_and_ignore_indices_are_the_same(folder) -> None:
    other = folder(2, split="more", classes=["sky", "road", "tree"], ignore_index=9)
    with pytest.raises(ConfigError) as error:
        build_dataset(concat(folder(2), other))
    assert [str(problem) for problem in error.value.problems] == [
        "datasets.1: classes=['sky', 'road', 'tree'], but datasets.0 has ['sky', 'tree', 'road']",
        "datasets.1: ignore_index=9, but datasets.0 has 255",
    ]


def test_a_problem_says_where_it_is(folder, save, tmp_path) -> None:
    good, bad = folder(2), folder(2, split="bad", seed=1)
    save(tmp_path / "annotations" / "bad" / "001.png", torch.full((20, 24), 9, dtype=torch.uint8).numpy())
    with pytest.raises(ConfigError) as error:
        preflight({"train_dataloader": {"dataset": concat(good, bad)}})
    (problem,) = error.value.problems
    assert problem.key == "train_dataloader.dataset.datasets.1"
    assert "mask values 9 are outside" in problem.message
    with pytest.raises(ConfigError) as error:
        build_dataset(concat({**good, "split": "absent"}, good, {**good, "data_root": "nowhere"}))
    assert [problem.key for problem in error.value.problems] == ["datasets.0", "datasets.2.data_root"]
    with pytest.raises(ConfigError, match="at least one data set"):
        build_dataset(concat())


def test_the_fingerprint_follows_every_one(folder, tmp_path) -> None:
    a, b = folder(2), folder(2, split="b", seed=1)
    both = build_dataset(concat(a, b)).fingerprint()
    assert both == build_dataset(concat(a, b)).fingerprint()
    assert both != build_dataset(concat(b, a)).fingerprint()
    (tmp_path / "images" / "b" / "001.png").unlink()
    (tmp_path / "annotations" / "b" / "001.png").unlink()
    assert both != build_dataset(concat(a, b)).fingerprint()
    assert ConcatDataset([Numbers(2), Numbers(3)]).fingerprint() is None


def test_data_check_reads_each(folder, save, tmp_path) -> None:
    a, b = folder(3), folder(2, split="b", seed=1)
    save(tmp_path / "annotations" / "b" / "000.png", torch.full((20, 24), 9, dtype=torch.uint8).numpy())
    report = check_dataset({"train_dataloader": {"dataset": concat(a, concat(b))}, "val_dataloader": {"dataset": a}})
    assert [(split.name, split.images, len(split.problems)) for split in report.splits] == [
        ("train.0", 3, 0),
        ("train.1.0", 2, 1),
        ("val", 3, 0),
    ]
    assert report.duplicates[0]["splits"] == ["train.0", "val"]


def test_data_check_finds_what_training_would_refuse(folder) -> None:
    a, b = folder(2), folder(2, split="b", seed=1)
    other = {**b, "classes": ["sky", "road", "tree"], "ignore_index": 9}
    val = {**folder(2, split="val", seed=2), "classes": ["x", "y", "z"], "ignore_index": 9}
    train = {"dataset": concat(a, concat(other))}
    report = check_dataset({"train_dataloader": train, "val_dataloader": {"dataset": val}})
    assert {split.name: split.problems for split in report.splits} == {
        "train.0": [],
        "train.1.0": [
            "classes=['sky', 'road', 'tree'], but train.0 has ['sky', 'tree', 'road']",
            "ignore_index=9, but train.0 has 255",
        ],
        "val": ["classes=['x', 'y', 'z'], but train.0 has ['sky', 'tree', 'road']"],
    }
    assert not report.ok


def test_a_data_set_may_stand_there_twice(folder) -> None:
    a, b = folder(2), folder(2, split="b", seed=1)
    report = check_dataset({"train_dataloader": {"dataset": concat(a, b, a)}})
    assert [split.notes for split in report.splits] == [[], [], ["2 images are in train.0 too: 000.png, 001.png"]]
    assert report.duplicates == []
    assert report.ok


def lengths(config):
    """On each rank."""
    dataset = build_dataset(config)
    return len(dataset), dataset[len(dataset) - 1]["data_samples"].metainfo["name"]


@pytest.mark.world_size(2)
def test_files_are_listed_for_all_ranks(folder) -> None:
    config = concat(folder(4), folder(3, split="more", seed=1))
    assert run_ranks(lengths, 2, config) == [(7, "1/002.png")] * 2
