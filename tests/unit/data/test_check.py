"""``data check`` finds what is wrong, and ``data show`` draws what the network gets."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from rayseg.core.errors import ConfigError
from rayseg.data.build import build_dataset
from rayseg.data.check import check_dataset
from rayseg.data.sampler import ResumableSampler
from rayseg.data.show import show_batch
from tests.unit.data.test_loader import Numbers


@pytest.fixture
def config(folder):
    train, val = folder(6), folder(3, split="val", seed=1)
    return {"train_dataloader": {"dataset": train, "batch_size": 2}, "val_dataloader": {"dataset": val}}


def test_clean_data(config) -> None:
    report = check_dataset({**config, "test_dataloader": dict(config["val_dataloader"])})
    assert report.ok
    assert [split.name for split in report.splits] == ["train", "val"]
    train = report.splits[0]
    assert (train.images, train.sizes) == (6, {"20×24": 6})
    assert (train.image_modes, train.mask_modes, train.mask_format) == ({"RGB": 6}, {"L": 6}, "index")
    masks = [build_dataset(config["train_dataloader"]["dataset"]).load(index)[1] for index in range(6)]
    counted = [sum(int((mask == index).sum()) for mask in masks) for index in range(3)]
    assert [row["pixels"] for row in train.classes.values()] == counted
    assert sum(row["share"] for row in train.classes.values()) == pytest.approx(1)
    assert {row["images"] for row in train.classes.values()} == {6}
    assert report.lines()[-1] == "no problem found"
    assert any("tree" in line and "in 6 images" in line for line in report.lines())
    assert json.loads(json.dumps(report.as_dict()))["ok"] is True


def test_every_problem_is_found_in_one_go(config, save, tmp_path) -> None:
    masks, images = tmp_path / "annotations" / "train", tmp_path / "images" / "train"
    save(masks / "000.png", np.full((20, 24), 9, np.uint8))
    save(masks / "001.png", np.zeros((5, 5), np.uint8))
    (images / "002.png").write_bytes(b"broken")
    (tmp_path / "annotations" / "val" / "001.png").unlink()
    report = check_dataset(config)
    assert not report.ok
    problems = "\n".join(report.splits[0].problems)
    assert "000.png: mask values 9 are outside" in problems
    assert "001.png has 20×24 pixels" in problems
    assert "002.png: not a picture" in problems
    assert "1 of 3 images" in report.splits[1].problems[0]
    assert sum("PROBLEM" in line for line in report.lines()) == 4


def test_images_in_two_splits_are_found_by_their_pixels(config, tmp_path) -> None:
    images = tmp_path / "images"
    Image.open(images / "train" / "003.png").save(images / "val" / "001.png", compress_level=0)
    shutil.copy(images / "train" / "003.png", images / "train" / "004.png")
    report = check_dataset(config)
    assert report.duplicates == [{"splits": ["train", "val"], "images": [["003.png", "001.png"]]}]
    assert not report.ok
    assert any("1 images of val are in train too: 003.png = 001.png" in line for line in report.lines())
    assert report.splits[0].notes == ["1 images are there twice: 004.png"]


def test_splits_of_different_classes(config) -> None:
    config["val_dataloader"]["dataset"]["classes"] = ["a", "b", "c"]
    config["val_dataloader"]["dataset"]["ignore_index"] = 9
    report = check_dataset(config)
    problem = "classes=['a', 'b', 'c'], but train has ['sky', 'tree', 'road']"
    assert [split.problems for split in report.splits] == [[], [problem]]
    assert not report.ok


def test_what_is_odd_is_a_note(folder, save, tmp_path) -> None:
    data = folder(2, classes=["sky", "tree", "road", "car"])
    save(tmp_path / "annotations" / "train" / "spare.png", np.zeros((2, 2), np.uint8))
    save(tmp_path / "annotations" / "train" / "000.png", np.full((20, 24), 255, np.uint8))
    report = check_dataset(data)
    assert report.ok
    assert report.splits[0].unlabelled == pytest.approx(0.5)
    assert report.splits[0].notes == ["no pixel is labelled car", "1 masks belong to no image: spare.png"]


def test_a_data_set_of_the_users_own_is_read_by_its_samples() -> None:
    report = check_dataset({"train_dataloader": {"dataset": {"type": Numbers, "size": 5, "widths": 2}}})
    assert report.splits[0].sizes == {"4×4": 3, "4×5": 2}
    assert report.splits[0].classes["a"]["pixels"] == 3 * 16 + 2 * 20


def test_without_data() -> None:
    with pytest.raises(ConfigError, match="names no data"):
        check_dataset({"model": {}})
    with pytest.raises(ConfigError, match="names no training data"):
        show_batch({}, "x.png")


def test_show_draws_the_batch_of_the_first_worker(config, tmp_path) -> None:
    path = show_batch({**config, "scaling": {"num_workers": 2}}, tmp_path / "out" / "batch.png")
    with Image.open(path) as picture:
        pixels = np.array(picture)
    dataset = build_dataset(config["train_dataloader"]["dataset"])
    stream = ResumableSampler(6, seed=0, global_batch_size=4, world_size=2)
    for place, (_, index) in enumerate(next(iter(stream))):
        left = place * (24 + 6)
        expected = dataset[index]["inputs"].permute(1, 2, 0).numpy()
        assert np.array_equal(pixels[:20, left : left + 24], expected)
        assert not np.array_equal(pixels[20:40, left : left + 24], expected)


def test_show_of_another_place_in_the_stream(config, tmp_path) -> None:
    first = show_batch(config, tmp_path)
    assert first == tmp_path / "batch.png"
    assert show_batch(config, tmp_path / "later.png", position=2).read_bytes() != first.read_bytes()


def test_show_writes_pictures_only(config, tmp_path) -> None:
    (tmp_path / "config.py").write_text("mine")
    for name in ("config.py", "photo.jpg", "batch"):
        with pytest.raises(ConfigError, match=rf"^--out: expected a file name that ends in \.png.*{name}'$"):
            show_batch(config, tmp_path / name)
    assert (tmp_path / "config.py").read_text() == "mine"
    assert show_batch(config, tmp_path / "batch.PNG").is_file()


def test_show_in_a_place_that_cannot_be_written(config, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"file/x\.png: cannot be written: ") as caught:
        show_batch(config, tmp_path / "file" / "x.png")
    assert caught.value.problems[0].file == str(tmp_path / "file" / "x.png")
