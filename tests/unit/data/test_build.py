"""Data sets from configs, and the look at all splits before a run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rayseg.core.errors import ConfigError
from rayseg.data.build import build_dataset, preflight


class Bare:
    def __init__(self, size: int = 1, test_mode: bool = False) -> None:
        self.metainfo: dict[str, Any] = {"classes": ["a"]}
        self.size = size
        self.test_mode = test_mode

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Any:
        return index


def test_a_class_of_the_users_own_gets_what_it_takes() -> None:
    dataset = build_dataset({"type": Bare, "size": 4}, test_mode=True)
    assert (len(dataset), dataset.test_mode) == (4, True)
    assert dataset.metainfo["ignore_index"] == 255
    assert len(dataset.metainfo["palette"]) == 1
    live = Bare(2)
    assert build_dataset(live) is live


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"type": Bare, "size": 0}, "Bare is empty"),
        ({"type": "FolderDatset"}, "did you mean 'FolderDataset'"),
        ({"data_root": "."}, "needs a 'type'"),
        (object(), "has no __len__ and no __getitem__"),
        ([1], "expected metainfo="),
        ({"type": Bare, "siz": 1}, "siz"),
    ],
)
def test_what_is_no_data_set(config, message) -> None:
    with pytest.raises(ConfigError, match=message):
        build_dataset(config)


def sections(train: Any, val: Any, **more: Any) -> dict[str, Any]:
    return {f"{split}_dataloader": {"dataset": data} for split, data in {"train": train, "val": val, **more}.items()}


def test_preflight_gives_the_data_sets_and_looks_at_equal_ones_once(folder) -> None:
    train, val = folder(4), folder(2, split="val")
    found = preflight(sections(train, val, test=dict(val)))
    assert {split: len(dataset) for split, dataset in found.items()} == {"train": 4, "val": 2, "test": 2}
    assert found["test"] is found["val"]
    assert (found["train"].test_mode, found["val"].test_mode) == (False, True)
    assert list(preflight({"val_dataloader": {"dataset": val}})) == ["val"]


def test_validation_on_the_training_images_is_still_evaluation(folder) -> None:
    data = folder(2)
    found = preflight(sections(data, dict(data)))
    assert (found["train"].test_mode, found["val"].test_mode) == (False, True)


def test_preflight_tells_the_problems_of_all_splits_with_their_keys(folder, save, tmp_path) -> None:
    config = sections(folder(2), folder(2, split="val"))
    save(tmp_path / "annotations" / "train" / "000.png", np.full((20, 24), 9, np.uint8))
    (tmp_path / "annotations" / "val" / "001.png").unlink()
    with pytest.raises(ConfigError) as caught:
        preflight(config)
    keys = {problem.key: problem.message for problem in caught.value.problems}
    assert "mask values 9" in keys["train_dataloader.dataset"]
    assert "1 of 2 images" in keys["val_dataloader.dataset"]


def test_preflight_refuses_different_classes(folder) -> None:
    val = folder(2, split="val")
    difference = r"classes=\['a', 'b', 'c'\], but train_dataloader\.dataset has \['sky', 'tree', 'road'\]"
    with pytest.raises(ConfigError, match=rf"val_dataloader\.dataset: {difference}"):
        preflight(sections(folder(2), {**val, "classes": ["a", "b", "c"]}))


def test_random_transforms_have_no_place_in_validation(folder) -> None:
    val = folder(2, split="val", pipeline=[{"type": "RandomFlip"}])
    with pytest.raises(ConfigError, match=r"val_dataloader\.dataset: pipeline\.0: RandomFlip draws at random"):
        preflight(sections(folder(2), val))
